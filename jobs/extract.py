"""Extraction alone, for `ray job submit -- python jobs/extract.py jobs/ilsvrc.toml`."""

import sys

from raypipe.cli import main

main(["extract", "--config", *sys.argv[1:]])
