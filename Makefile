# `make help` lists what there is. Every target is one command and makes the environment if it is missing.
#
# Values reach the shell as environment variables (GIVEN_RESULTS ...), never as text, so that a path may hold
# blanks, quotes, `$` or any letter. ARGS alone is text: words as one would write them in a shell.
SWEEP ?= quick
OPTIMIZERS ?=
OPTIMIZER ?=
TASKS ?=
RESULTS ?=
FILE ?=
ARGS ?=
PYTHON ?= python3
VENV ?= .venv
# ordinary names that other programs export for purposes of their own: read from make's own words only
OUT :=
EXTRAS :=

given := SWEEP OPTIMIZERS OPTIMIZER TASKS RESULTS OUT FILE EXTRAS PYTHON
$(foreach name,$(given),$(eval export GIVEN_$(name) := $$(value $(name))))
# make would expand what its command line says once more for the shell, and run a $(shell ...) that stands in it
unexport $(given) VENV ARGS
option = $${GIVEN_$1:+"--$2=$$GIVEN_$1"}
folders := $(call option,RESULTS,results) $(call option,OUT,out)

# what a target reads; anything else on its command line is refused
all_read := PYTHON VENV
sweep_reads := SWEEP OPTIMIZERS OPTIMIZER TASKS RESULTS OUT ARGS
challenge_reads := OPTIMIZER RESULTS OUT ARGS
report_reads := RESULTS OUT ARGS
setup_reads := EXTRAS
check-optimizer_reads := FILE ARGS
bench_reads := ARGS
test_reads := ARGS
check_reads :=
faults_reads := ARGS FAULTS FAULTS_SEED
clean_reads :=
help_reads :=
targets := sweep challenge report setup check-optimizer bench test check faults clean help
# settings of libraries, which make hands on to what it starts
environment := TMPDIR HOME PATH OPTIMIZER_BENCHMARK_% JAX_% XLA_% TORCH_% PYTORCH_% CUDA_% RAY_% OMP_% MKL_% HF_% \
               UV_% PIP_% PYTEST_% PYTHONPATH PYTHONWARNINGS PYTHONUNBUFFERED GNUMAKEFLAGS MAKEFLAGS SHELL

goals := $(or $(MAKECMDGOALS),help)
reads := $(foreach goal,$(goals),$($(goal)_reads)) $(all_read)
# of what is written there, all that is not known
named := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
strange := $(filter-out $(reads) $(environment),$(named))
$(foreach name,$(filter $(environment) FAULTS FAULTS_SEED,$(named)),$(eval export override $(name) := $$(value $(name))))
stray := $(filter-out $(targets),$(goals))
quoted = '$(subst ','\'',$1)'
nearest := import difflib, sys; word, *known = sys.argv[1:]; like = {k.lower(): k for k in known}; \
  print(*(f"(did you mean {like[k]}?)" for k in difflib.get_close_matches(word.lower(), like, 1, 0.7)))
near = $(shell $(call quoted,$(value PYTHON)) -c $(call quoted,$(nearest)) $(call quoted,$1) $2 2>/dev/null)

ifneq ($(stray),)
  $(error there is no target '$(firstword $(stray))' $(call near,$(firstword $(stray)),$(targets)): there are $(targets). A value with blanks needs quotes: OPTIMIZERS="adamw, muon")
endif
ifneq ($(strange),)
  $(error 'make $(goals)' does not read $(firstword $(strange)) $(call near,$(firstword $(strange)),$(reads)): it reads $(reads))
endif
$(foreach name,$(filter-out $(all_read),$(reads)),$(if $(filter environment,$(origin $(name))),$(if $(value $(name)),\
  $(warning $(name)=$(value $(name)) is taken from the environment; unset $(name) to go without it))))

# the environment's place as an absolute path, which no leading dash can turn into an option
first := $(firstword $(value VENV))
export GIVEN_VENV := $(if $(filter /%,$(first)),$(value VENV),$(if $(filter ~/%,$(first)),$(HOME)/$(subst \
  ~/,,$(value VENV)),$(CURDIR)/$(value VENV)))
python := "$$GIVEN_VENV/bin/python"
# uv where present (seconds instead of half a minute), else venv and pip; uv leaves pip out of what it makes
ifneq ($(shell command -v uv 2>/dev/null),)
  create := uv venv -q --clear --python "$$GIVEN_PYTHON" "$$GIVEN_VENV"
  install := uv pip install -q --python $(python) -c constraints.txt
else
  create := "$$GIVEN_PYTHON" -m venv "$$GIVEN_VENV"
  install := { $(python) -m pip --version >/dev/null 2>&1 || $(python) -m ensurepip >/dev/null; } && \
             $(python) -m pip install -q --disable-pip-version-check -c constraints.txt
endif
# jax for an NVIDIA GPU where the driver's own tool finds one, unless all are hidden
gpu := [ -n "$${CUDA_VISIBLE_DEVICES-all}" ] && nvidia-smi -L 2>/dev/null | grep -q '^GPU '
# whether what is to be installed changed after the file that marks the end of an installation
outdated = [ -n "$$(find pyproject.toml constraints.txt -newer "$$GIVEN_VENV/bin/$1" 2>&1)" ]

.DEFAULT_GOAL := help
.PHONY: $(targets) ready ready-dev

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 18
	@echo
	@echo 'make sweep SWEEP=micro OPTIMIZERS=adamw,muon   another sweep, a part of it; running it again resumes'
	@echo 'make sweep OPTIMIZER=path/to/mine.py           your own optimizer beside the others'
	@echo 'make sweep SWEEP=path/to/mine.py               your own sweep'
	@echo 'make sweep ARGS="--corpus local:my-texts"      any option; `make sweep ARGS=--help` lists them'
	@echo
	@echo 'What each reads (and $(all_read), every one):'
	@$(foreach target,$(targets),$(if $($(target)_reads),printf '%-18s%s\n' '$(target)' '$($(target)_reads)';))
	@echo 'Those of the environment count too, and are named then, but OUT and EXTRAS.'

ready:
	@$(call outdated,.ready) || exit 0; \
	"$$GIVEN_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12" >&2; exit 1; }; \
	echo "Making the environment in $$GIVEN_VENV (about a minute, once) ..."; \
	if [ ! -x $(python) ]; then \
	  if [ -e "$$GIVEN_VENV" ] && [ ! -e "$$GIVEN_VENV/pyvenv.cfg" ] && [ -n "$$(ls -A "$$GIVEN_VENV")" ]; then \
	    echo "$$GIVEN_VENV holds other files and is left as it is; name another place with VENV=" >&2; exit 1; fi; \
	  $(create) || exit 1; fi; \
	what=.; if $(gpu); then what='.[cuda]'; \
	  echo "nvidia-smi finds a GPU: adding jax for CUDA (the extra cuda; CUDA_VISIBLE_DEVICES= goes without)"; fi; \
	$(install) -e "$$what" && touch "$$GIVEN_VENV/bin/.ready"

ready-dev: ready
	@$(call outdated,.ready-dev) || exit 0; \
	echo "Adding what the tests need ..."; \
	$(install) -e '.[torch,apidocs,dev]' && touch "$$GIVEN_VENV/bin/.ready-dev"

setup: ready ## make the environment that a sweep needs; EXTRAS=hub,torch adds to it
	@[ -z "$$GIVEN_EXTRAS" ] || { $(python) -m benchmark.extras "$$GIVEN_EXTRAS" && \
	  $(install) -e ".[$$GIVEN_EXTRAS]"; }

sweep: ready ## run a sweep (default: quick), build the pages, print the answer
	@$(python) -m sweeps $(call option,OPTIMIZERS,optimizers) $(call option,OPTIMIZER,optimizer) \
	  $(call option,TASKS,tasks) $(folders) $(ARGS) -- "$$GIVEN_SWEEP"

challenge: ready ## does OPTIMIZER=mine.py beat a tuned AdamW? the cheapest sufficient evidence
	@$(python) -m sweeps challenge $(call option,OPTIMIZER,optimizer) $(folders) $(ARGS)

report: ready ## rebuild the pages in reports/ from results/
	@$(python) -m benchmark.report $(folders) $(ARGS)

test: ready-dev ## run the tests
	@$(python) -m pytest $(ARGS)

check: ready-dev ## lint, types, tests
	@"$$GIVEN_VENV/bin/ruff" check . && "$$GIVEN_VENV/bin/ruff" format --check . && "$$GIVEN_VENV/bin/pyright" && $(python) -m pytest

check-optimizer: ready-dev ## run the conformance kit on FILE=mine.py or optimizers/lion.py
	@[ -n "$$GIVEN_FILE" ] || { echo "name what to check: make check-optimizer FILE=mine.py" >&2; exit 2; }; \
	$(python) -m benchmark.kit $(ARGS) -- "$$GIVEN_FILE"

bench: ready-dev ## measure training speed, what a sweep costs, interval coverage; ARGS=--full does more (an hour)
	@$(python) -m tools.bench $(ARGS)

faults: ready-dev ## kill a sweep at random moments and see that nothing is lost; FAULTS=50 kills more often
	@$(python) -m pytest -n0 -m faults $(ARGS) tests/sweeps

clean: ## remove the environment and the built pages; results stay
	@[ ! -e "$$GIVEN_VENV/pyvenv.cfg" ] || rm -rf "$$GIVEN_VENV"
	@[ ! -e reports/assets/files.json ] || rm -rf reports
	@rm -rf .pytest_cache .ruff_cache .hypothesis *.egg-info
