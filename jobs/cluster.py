"""Clustering alone, for `ray job submit -- python jobs/cluster.py jobs/ilsvrc.toml`."""

import sys

from raypipe.cli import main

main(["cluster", "--config", *sys.argv[1:]])
