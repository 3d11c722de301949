"""Find objects in images from image-level labels alone, on Ray.

Importing this package is cheap: torch and ray are imported by the steps that need them.
"""

__version__ = "0.1.0"
