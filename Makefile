# make setup      everything hibana needs on a Debian machine (packages, .venv, GPAW)
# make setup-learn  the same with what the learning modules need (scikit-learn, matminer, PyTorch)
# make demo       from two CIF files to tables and figures, with the rehearsal engine; result in demo/
# make demo-bulk  the same with dielectric tensors, Γ phonons, optics and the dielectric-dependent hybrid
# make demo-vacancy  the oxygen vacancy in MgO, charges 0 and +2, with every term of its formation energy
# make test       all tests, physics in its reduced form, side by side, one process more than cores: many wait (JOBS=1: one by one)
# make test-full  all tests at full size
# make test-queues  campaigns through a real Slurm, its PBS commands and a real Grid Engine on this machine (needs root)
# make check      ruff and mypy
# make bench      the benchmarks; numbers go to benchmarks/results/
# make clean      remove the demo's results (not the environment)

SHELL := /bin/bash
VENV ?= $(or $(HIBANA_VENV),.venv)
BIN := $(VENV)/bin
export HIBANA_VENV := $(VENV)
export OMP_NUM_THREADS ?= 1
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: setup setup-learn demo demo-bulk demo-vacancy test test-full test-queues check bench clean

setup:
	@scripts/setup.sh

setup-learn:
	@scripts/setup.sh embedded,rehearsal,dev,learn

demo: setup
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh

demo-bulk: setup
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh bulk

demo-vacancy: setup
	@PATH="$(abspath $(BIN)):$$PATH" scripts/demo.sh vacancy

test: setup-learn
	@PATH="$(abspath $(BIN)):$$PATH" $(PYTEST)

test-full: setup-learn
	@PATH="$(abspath $(BIN)):$$PATH" HIBANA_FULL=1 $(PYTEST)

test-queues: setup-learn
	@PATH="$(abspath $(BIN)):$$PATH" HIBANA_QUEUES=1 $(BIN)/python -m pytest tests/queues

check: setup-learn
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

bench: setup-learn
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m benchmarks

clean:
	@if [ -f demo/store/server.json ]; then $(BIN)/hibana store down --directory demo/store; fi
	@rm -rf demo
