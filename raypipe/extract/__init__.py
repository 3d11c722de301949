"""Images to foreground maps, regions and a background bank."""
