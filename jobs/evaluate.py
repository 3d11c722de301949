"""Evaluation alone, for `ray job submit -- python jobs/evaluate.py jobs/ilsvrc.toml`."""

import sys

from raypipe.cli import main

main(["evaluate", "--config", *sys.argv[1:]])
