# heapwright: `make help` lists the targets.
VENV  ?= .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.stamp
PIP   := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.SECONDARY:
.PHONY: help setup run test test-slow check lint type sanitize sanitize-memory sanitize-threads fuzz kill-test bench bench-native suites prove prove-short prove-tools lockstep theorems docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# The first of these that is new enough; `make setup PYTHON=...` names another.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
            $(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

setup: $(STAMP) ## create .venv with heapwright and what its tests and examples need

$(STAMP): pyproject.toml setup.py $(shell find native -name '*.[ch]')
	@test -n "$(PYTHON)" || { echo "heapwright needs Python 3.11 or later: make setup PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev,examples]'
	@touch $@

run: $(STAMP) ## a real program, depth from a stereo camera, and where its memory went
	$(BIN)/heapwright run examples/stereo_depth.py

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest

test-slow: $(STAMP) ## run those that take long as well: the same in many more cases
	$(BIN)/python -m pytest -m 'slow or not slow'

check: lint type test ## all of lint, type and test

# ---- what reads the code -------------------------------------------------------------------------------------------

# Two views of every C file: with warnings as errors, optimised, since some warnings come from the optimiser's analysis;
# and everything but the binding without Python's headers in sight.
NATIVE_HEADERS := $(shell find native -name '*.h')
NATIVE_SOURCES := $(shell find native -name '*.c' -not -path 'native/binding/*')
BINDING        := $(wildcard native/binding/*.c)
STRICT         := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -Inative
PYTHON_HEADERS  = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')

build/warnings/native/binding/%.o: EXTRA = -isystem $(PYTHON_HEADERS)
build/warnings/%.o: %.c $(NATIVE_HEADERS)
	@mkdir -p $(@D)
	@$(CC) $(STRICT) -O2 $(EXTRA) -c $< -o $@

lint: $(STAMP) $(patsubst %.c,build/warnings/%.o,$(NATIVE_SOURCES) $(BINDING)) ## ruff, import-linter, C warnings as errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

type: $(STAMP) ## mypy --strict, and the stub of the extension module against the module
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest heapwright._native --allowlist tests/typing/stubtest_allowlist.txt --ignore-unused-allowlist

# ---- what runs the core without Python -----------------------------------------------------------------------------

# Each tests/native/test_*.c is a program of its own. `make build/sanitize/test_fit` builds one; tests/test_native_core.py
# runs them like that. Objects are kept between them.
NATIVE_TESTS := $(patsubst tests/native/%.c,%,$(wildcard tests/native/test_*.c))
THREAD_TESTS := test_pooled test_sampler test_shared_graph test_concurrent_pool test_records_beside

comma := ,
# $(1) the folder under build, $(2) the sanitizers
define sanitized
build/$(1)/native/%.o: native/%.c $(NATIVE_HEADERS)
	@mkdir -p $$(@D)
	$$(CC) $(STRICT) -O1 -g $(2) -c $$< -o $$@

build/$(1)/%: tests/native/%.c $(patsubst %.c,build/$(1)/%.o,$(NATIVE_SOURCES)) $(NATIVE_HEADERS)
	$$(CC) $(STRICT) -O1 -g $(2) $$< $$(filter %.o,$$^) -pthread -lm -o $$@
endef
$(eval $(call sanitized,sanitize,-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer))
$(eval $(call sanitized,sanitize-threads,-fsanitize=thread))

RUN_EACH = @set -e; for program in $^; do echo "$$program"; $$program; done

sanitize: sanitize-memory sanitize-threads ## the native core without Python, under ASan, UBSan and TSan

sanitize-memory: $(NATIVE_TESTS:%=build/sanitize/%) ## under ASan and UBSan alone
	$(RUN_EACH)

sanitize-threads: $(THREAD_TESTS:%=build/sanitize-threads/%) ## what has threads, under TSan alone
	$(RUN_EACH)

FUZZ_SECONDS ?= 60
fuzz: export HEAPWRIGHT_FUZZ_SECONDS = $(FUZZ_SECONDS)
fuzz: $(NATIVE_TESTS:%=build/sanitize/%) ## new random programs under ASan and UBSan, each test for FUZZ_SECONDS (default 60)
	$(RUN_EACH)

KILL_ROUNDS ?= 500
kill-test: $(STAMP) ## processes that own memory together, killed at random KILL_ROUNDS times (default 500)
	nice $(BIN)/python tests/owners/kill_rounds.py $(KILL_ROUNDS)

# ---- what measures and compares ------------------------------------------------------------------------------------

bench: $(STAMP) ## every benchmark in a short form (benchmarks/README.md: the long ones)
	$(PIP) --editable '.[bench]'
	$(BIN)/python -m benchmarks

# Programs that measure the core in C, with the compiler flags of the extension module.
build/bench/native/%.o: native/%.c $(NATIVE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(STRICT) -O2 -g -c $< -o $@

build/bench/%: benchmarks/native/%.c $(patsubst %.c,build/bench/%.o,$(NATIVE_SOURCES)) $(wildcard benchmarks/native/*.h)
	$(CC) $(STRICT) -I. -O2 -g $< $(filter %.o,$^) -pthread -lm -ldl -o $@

build/bench/%.so: benchmarks/native/preload/%.c
	@mkdir -p $(@D)
	$(CC) $(STRICT) -O2 -fPIC -shared $< -o $@

BENCH_NATIVE := build/bench/fits build/bench/small_blocks build/bench/records
bench-native: $(BENCH_NATIVE) ## what allocations cost in C, beside glibc, mimalloc and tcmalloc
	$(RUN_EACH)

SUITES ?= numpy pandas sklearn
suites: $(STAMP) ## SUITES=numpy|pandas|sklearn: other people's tests without and under us, compared one by one
	$(PIP) --editable '.[suites]'
	nice $(BIN)/python tests/suites/run.py $(SUITES)

# ---- what proves ---------------------------------------------------------------------------------------------------

prove: $(STAMP) ## check every theorem, and that each check finds its planted faults (docs/how-to/prove.md)
	nice $(BIN)/heapwright prove

prove-short: $(STAMP) ## the same in smaller scopes: what CI runs
	$(BIN)/heapwright prove --short

lockstep: $(STAMP) ## ten million random operations, on every strategy and its definition side by side
	nice $(BIN)/heapwright prove --only 'lockstep-*'

prove-tools: ## CBMC, the model checker for the C core, into build/cbmc; nothing is installed
	tools/install-cbmc.sh

theorems: $(STAMP) ## write docs/reference/theorems.md anew, from the theorems
	$(BIN)/python -m heapwright.prove.page docs/reference/theorems.md

# ---- what is not there yet -----------------------------------------------------------------------------------------

docs: ## not built yet: read docs/README.md; its examples are run by `make test`
	@echo "make docs: no site is built yet; it comes with a later milestone. The pages are Markdown: docs/README.md." >&2
	@exit 1

clean: ## remove what was built
	rm -rf $(VENV) build dist src/*.egg-info src/heapwright/*.so
