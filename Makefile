# Two commands on a fresh machine (Debian, Python 3.11, make): `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

# Where it is set, each of the many processes that Ray and the tests start compiles torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check bench docs lock
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with raypipe and everything pinned in requirements.lock

# Byte-compiling torch's 30,000 files would take longer than the demo; Python does it as needed.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $(STAMP)

demo: setup ## run the whole method on drawn scenes
	$(BIN)/raypipe demo

test: setup check ## run lint, types, import rules and all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup ## lint, types, import rules, docs in step with the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/reference.py --check

bench: setup ## measure the method on real images (needs RAYPIPE_TEST_DATA)
	$(BIN)/python benchmarks/msrc.py

docs: setup ## regenerate the reference pages and build the site into docs/_site
	$(BIN)/python tools/reference.py
	$(BIN)/zensical build

lock: setup ## pin all dependencies anew
	$(BIN)/uv pip compile --quiet --extra dev --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --output-file requirements.lock pyproject.toml
