# Sets up a virtual environment of its own and runs things in it.
#
#   make demo        a 1024 x 1024 field at FIRST's pixel, beam and noise, in demo/
#   make test        the tests
#   make test-slow   the tests and the slow ones
#   make lint        ruff and mypy
#   make docs        the documentation, in docs/_build/html
#   make figures     the figures of the README and the documentation, in docs/_static
#   make benchmarks  the figures that the documentation quotes; BENCHMARKS=--quick for rough ones
#
# PYTHON is the interpreter that makes the environment, VENV where it lies, DEMO where the demo goes, BENCHMARKS
# what is given to benchmarks/run.py, JOBS how many processes run the tests.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
JOBS ?= 2
BENCHMARKS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# the stamp files hold what was installed, so that the second call starts at once
INPUTS := pyproject.toml constraints.txt

.PHONY: help install demo test test-slow lint docs figures benchmarks clean

help:
	@sed -n '/^#   make/s/^# *//p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "skygal needs Python 3.11, 3.12 or 3.13, got %d.%d: set PYTHON=..." % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(INPUTS) | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[plot,test]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/skygal simulate --survey FIRST --size 1024 --n-sources 300 --flux "3 mJy" --las mirabest --seed 1 --plot --output $(DEMO) --overwrite

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

figures: $(VENV)/.installed
	$(BIN)/python docs/make_figures.py

benchmarks: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py $(BENCHMARKS)

clean:
	rm -rf $(VENV) $(DEMO) build docs/_build .pytest_cache .ruff_cache .mypy_cache
