# heapwright: `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp

.DEFAULT_GOAL := help
.PHONY: help setup run test lint type check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## create .venv with heapwright and what its tests need

$(STAMP): pyproject.toml setup.py $(shell find native -name '*.[ch]')
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,examples]'
	@touch $@

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest

lint: $(STAMP) ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

type: $(STAMP) ## mypy --strict
	$(BIN)/mypy

check: lint type test ## all of lint, type and test

clean: ## remove what was built
	rm -rf $(VENV) build dist src/*.egg-info src/heapwright/*.so
