"""Shards of images on their way to the network: read, decoded, or rejected with a reason."""
