# One environment, made from hashed lock files. `make demo` and `make test` are all that a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
STORE  ?= memory
MINUTES ?= 10
STREAMS ?= 500
CALLS   ?= 2

# How Envoy asks in `soak` and `chaos`: Check and Process, or with CALLS=1 Process alone.
ONE_CALL = $(if $(filter 1,$(CALLS)),--one-call,$(if $(filter 2,$(CALLS)),,$(error CALLS is 1 or 2)))

.PHONY: demo up test lint bench soak chaos fuzz docs proto lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo  ## start Envoy, tidegate and a model app, drive them as a client, print a table
	$(BIN)/tidegate demo --store $(STORE)

up: $(VENV)/.demo  ## the same stack, left running, with curl lines to try
	$(BIN)/tidegate demo --store $(STORE) --keep

test: $(VENV)/.dev  ## everything, real Envoy and real Redis included
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.check_proto
	$(BIN)/python -m tests.policy_reference
	$(BIN)/python -m tests.detector_reference
	$(BIN)/python -m tests.metrics_reference

bench: $(VENV)/.dev  ## a table of ratios, measured in one run, in twenty minutes or so; the last line is JSON
	$(BIN)/python -m tests.bench

soak: MINUTES = 30
soak: $(VENV)/.dev  ## MINUTES of mixed traffic with STREAMS event streams held open, and what must hold after it
	$(BIN)/python -m tests.load.soak --minutes $(MINUTES) --streams $(STREAMS) $(ONE_CALL)

chaos: $(VENV)/.dev  ## faults under traffic, each by itself: some five minutes; FAULTS="redis-frozen …" for some of them
	$(BIN)/python -m tests.load.chaos $(ONE_CALL) $(FAULTS)

fuzz: $(VENV)/.dev  ## what strangers send, for MINUTES each (a release takes 10); what is found lies in .fuzz
	$(BIN)/python -m tests.fuzz --seconds $$(($(MINUTES) * 60))

docs: $(VENV)/.dev  ## write every page that is made from the code, or measured on it
	for page in $(notdir $(basename $(wildcard tests/*_reference.py))); do $(BIN)/python -m tests.$$page --write || exit 1; done

proto: $(VENV)/.dev  ## regenerate the Python code of our own API
	$(BIN)/python -m tests.check_proto --write

# Resolved for every platform and Python >= 3.11 at once; index hosts are never written.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header
lock: $(VENV)/.dev
	$(LOCK) tests/requirements.in -o tests/requirements.lock
	$(LOCK) service/demo.in -c tests/requirements.lock -o service/demo.lock
	$(LOCK) service/ner.in -c tests/requirements.lock -o service/ner.lock
	$(LOCK) service/requirements.in -c tests/requirements.lock -o service/requirements.lock
	$(LOCK) tests/bench/litellm.in -o tests/bench/litellm.lock

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tidegate needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: service/demo.lock service/ner.lock pyproject.toml clients/python/pyproject.toml | $(VENV)/bin/pip
	@echo 'installing into $(VENV), once: a minute or three, without a word'
	$(PIP) install --require-hashes -r service/demo.lock -r service/ner.lock
	$(PIP) install --no-deps --no-build-isolation -e . -e clients/python
	touch $@

$(VENV)/.dev: tests/requirements.lock $(VENV)/.demo | $(VENV)/bin/pip
	$(PIP) install --require-hashes -r tests/requirements.lock
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-litellm .demo .fuzz build dist
