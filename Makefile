# heapwright: `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp

.DEFAULT_GOAL := help
.PHONY: help setup run test lint type check bench suites sanitize fuzz clean

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

# Everything but the binding compiles without Python.h, so each tests/native/test_*.c is a program of its own.
NATIVE_SOURCES := $(filter-out native/binding/%,$(shell find native -name '*.c'))
NATIVE_HEADERS := $(shell find native -name '*.h')
NATIVE_OBJECTS := $(patsubst %.c,build/sanitize/%.o,$(NATIVE_SOURCES))
NATIVE_TESTS   := $(patsubst tests/native/%.c,build/sanitize/%,$(wildcard tests/native/test_*.c))
SANITIZE       := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZE_CC    := $(CC) -std=c11 -O1 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter $(SANITIZE) -Inative

build/sanitize/native/%.o: native/%.c $(NATIVE_HEADERS)
	@mkdir -p $(@D)
	$(SANITIZE_CC) -c $< -o $@

build/sanitize/%: tests/native/%.c $(NATIVE_OBJECTS) $(NATIVE_HEADERS)
	$(SANITIZE_CC) $< $(NATIVE_OBJECTS) -pthread -lm -o $@

sanitize: $(NATIVE_TESTS) ## the native core under ASan and UBSan, without Python
	@set -e; for program in $^; do echo "$$program"; $$program; done

FUZZ_SECONDS ?= 60
fuzz: $(NATIVE_TESTS) ## the same with new random programs, each for FUZZ_SECONDS (default 60)
	@set -e; for program in $^; do echo "$$program"; HEAPWRIGHT_FUZZ_SECONDS=$(FUZZ_SECONDS) $$program; done

bench: $(STAMP) ## every benchmark in a short form (benchmarks/README.md: the long ones)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks

SUITES ?= numpy pandas sklearn
suites: $(STAMP) ## SUITES=numpy|pandas|sklearn: other people's tests without and under us, compared one by one
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[suites]'
	nice $(BIN)/python tests/suites/run.py $(SUITES)

clean: ## remove what was built
	rm -rf $(VENV) build dist src/*.egg-info src/heapwright/*.so
