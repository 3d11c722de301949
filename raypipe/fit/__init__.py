"""Classes that a network does not know: a linear head from image-level labels."""
