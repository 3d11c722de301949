"""Micro-annotation: show each cluster to a person, and keep what the person answers."""
