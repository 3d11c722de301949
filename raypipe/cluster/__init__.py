"""Regions of a class to a few clusters that a person can judge."""
