# make setup      everything hibana needs on a Debian machine (packages, .venv, GPAW)
# make demo       from two CIF files to tables and figures, with the rehearsal engine; result in demo/
# make demo-bulk  the same with dielectric tensors, Γ phonons, optics and the dielectric-dependent hybrid
# make test       all tests, physics in its reduced form
# make test-full  all tests at full size
# make check      ruff and mypy
# make bench      the benchmarks; numbers go to benchmarks/results/
# make clean      remove the demo's results (not the environment)

SHELL := /bin/bash
VENV ?= $(or $(HIBANA_VENV),.venv)
BIN := $(VENV)/bin
export HIBANA_VENV := $(VENV)
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo demo-bulk test test-full check bench clean

setup:
	@scripts/setup.sh

demo: setup
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh

demo-bulk: setup
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh bulk

test: setup
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest

test-full: setup
	@PATH="$(abspath $(BIN)):$$PATH" HIBANA_FULL=1 $(BIN)/python -m pytest

check: setup
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

bench: setup
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m benchmarks

clean:
	@if [ -f demo/store/server.json ]; then $(BIN)/hibana store down --directory demo/store; fi
	@rm -rf demo
