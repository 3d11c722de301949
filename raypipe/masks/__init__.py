"""The masks step: from refined maps to masks at image size."""
