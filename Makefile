# `make help` lists what there is. Every target is one command and makes the environment if it is missing.
SWEEP ?= quick
OPTIMIZERS ?=
OPTIMIZER ?=
TASKS ?=
RESULTS ?= results
ARGS ?=
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

flags := $(if $(OPTIMIZERS),--optimizers $(OPTIMIZERS)) $(if $(OPTIMIZER),--optimizer $(OPTIMIZER)) \
         $(if $(TASKS),--tasks $(TASKS)) --results $(RESULTS) $(ARGS)

# uv where present (seconds instead of half a minute), else venv and pip
ifneq ($(shell command -v uv 2>/dev/null),)
  create := uv venv -q --clear --python $(PYTHON) $(VENV)
  install := VIRTUAL_ENV=$(abspath $(VENV)) uv pip install -q -c constraints.txt
else
  create := $(PYTHON) -m venv $(VENV)
  install := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
endif

.DEFAULT_GOAL := help
.PHONY: help setup sweep challenge report test check check-optimizer bench faults clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18
	@echo; echo "make sweep SWEEP=micro OPTIMIZERS=adamw,muon   another sweep, a part of it; running it again resumes"
	@echo "make sweep OPTIMIZER=path/to/mine.py            your own optimizer beside the others"
	@echo "make sweep SWEEP=path/to/mine.py                your own sweep"

$(BIN)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12"; exit 1; }
	@echo "Making the environment in $(VENV) (about a minute, once) ..."
	@test -x $(BIN)/python || $(create)
	@$(install) -e .
	@touch $@

$(BIN)/.ready-dev: $(BIN)/.ready
	@echo "Adding what the tests need ..."
	@$(install) -e '.[torch,apidocs,dev]'
	@touch $@

setup: $(BIN)/.ready ## make the environment that a sweep needs

sweep: $(BIN)/.ready ## run a sweep (default: quick), build the pages, print the answer
	@$(BIN)/python -m sweeps $(SWEEP) $(flags)

challenge: $(BIN)/.ready ## does OPTIMIZER=mine.py beat a tuned AdamW? the cheapest sufficient evidence
	@$(BIN)/python -m sweeps challenge --optimizer $(OPTIMIZER) $(ARGS)

report: $(BIN)/.ready ## rebuild the pages in reports/ from results/
	@$(BIN)/python -m benchmark.report --results $(RESULTS)

test: $(BIN)/.ready-dev ## run the tests
	@$(BIN)/python -m pytest

check: $(BIN)/.ready-dev ## lint, types, tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/python -m pytest

check-optimizer: $(BIN)/.ready-dev ## run the conformance kit on FILE=mine.py or optimizers/lion.py
	@$(BIN)/python -m benchmark.kit $(FILE)

bench: $(BIN)/.ready-dev ## measure training speed, what a sweep costs, interval coverage; ARGS=--full does more (an hour)
	@$(BIN)/python -m tools.bench $(ARGS)

faults: $(BIN)/.ready-dev ## kill a sweep at random moments and see that nothing is lost; FAULTS=50 kills more often
	@$(BIN)/python -m pytest -n0 -m faults $(ARGS) tests/sweeps

clean: ## remove the environment and the built pages; results stay
	@rm -rf $(VENV) reports .pytest_cache .ruff_cache .hypothesis *.egg-info
