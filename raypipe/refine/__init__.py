"""Maps that keep what matches an object cluster, and their boxes."""
