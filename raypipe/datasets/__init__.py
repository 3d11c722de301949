"""Where images and their labels come from; one file a layout, found by entry point."""
