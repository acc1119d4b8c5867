# `make demo` and `make test` need only make, bash and Python 3.11 or newer. Everything is installed into .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
DEMO_DATA ?= .strata/demo
QUESTION ?= What distracted the student pilot while taxiing to parking?

BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
STRATA := $(BIN)/strata --data-dir $(DEMO_DATA)

.PHONY: help demo test lint check docs constraints clean

help:
	@echo 'make demo    ingest examples/ and answer a question from them'
	@echo 'make test    run the tests'
	@echo 'make check   linters, types, layers and tests'
	@echo 'make docs    write the generated pages of docs/'
	@echo 'make clean   remove what make made'

demo: $(VENV)/.installed
	@echo '$$ strata ingest examples/flying-club'
	@$(STRATA) ingest examples/flying-club
	@echo
	@echo '$$ strata ask "$(QUESTION)"'
	@$(STRATA) ask "$(QUESTION)"

test: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

docs: $(VENV)/.installed
	$(BIN)/python -m services.config.reference docs/configuration.md
	$(BIN)/python -m services.cli.reference docs/cli.md

clean:
	rm -rf $(VENV) $(DEMO_DATA) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# --- Installing ------------------------------------------------------------------------------------------------------

# $(1): what to install. Dots show that it goes on; the log is shown when it fails.
define install
@set -o pipefail; log=$(VENV)/install.log; \
echo "Installing into $(VENV) (some minutes the first time; log: $$log)"; \
$(BIN)/python -m pip install --disable-pip-version-check --no-color -c constraints.txt $(1) 2>&1 | tee $$log | \
awk '/^(Collecting|Requirement already) / { printf "."; fflush() } /^Installing/ { printf " unpacking"; fflush() } END { print "" }' || \
{ tail -n 30 $$log >&2; exit 1; }
endef

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(PINS) | $(BIN)/python
	$(call install,-e .)
	@touch $@

$(VENV)/.installed-$(EXTRAS): $(PINS) | $(BIN)/python
	$(call install,-e '.[$(EXTRAS)]')
	@touch $@ $(VENV)/.installed

# Takes the newest versions that pyproject.toml allows, of PyTorch the pinned one: newer builds bring other GPU libraries.
constraints: export SCRATCH = build/constraints
constraints:
	rm -rf $$SCRATCH
	$(PYTHON) -m venv $$SCRATCH
	grep '^torch==' constraints.txt > $$SCRATCH/torch.txt
	$$SCRATCH/bin/python -m pip install --quiet --disable-pip-version-check -c $$SCRATCH/torch.txt -e '.[dev]'
	{ head -n 1 constraints.txt; $$SCRATCH/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > $$SCRATCH/pins.txt
	mv $$SCRATCH/pins.txt constraints.txt
