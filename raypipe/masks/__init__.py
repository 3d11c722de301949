"""The step from refined maps to masks at image size."""
