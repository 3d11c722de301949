"""Refining alone, for `ray job submit -- python jobs/refine.py jobs/ilsvrc.toml`."""

import sys

from raypipe.cli import main

main(["refine", "--config", *sys.argv[1:]])
