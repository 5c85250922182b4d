# make up    the whole thing on this machine, without Docker     make check  linters, types, layers, docs
# make shell a shell in which gateway and simulator are commands
# make test  every test, against real servers                    make chaos  ten minutes of faults under load
# make bench figures of this machine beside raw COPY             make clean  removes .venv and .local (the data!)
# make peers the same beside InfluxDB, VictoriaMetrics, FastAPI  make instructions  what a request costs, and its ceiling
# make hostile  eight minutes of attacks, others are served      make fuzz  any bytes into everything that reads bytes
# With PYTHON=python3.13 each does it on that interpreter, in an environment of its own: make test PYTHON=python3.13

PYTHON ?= python3
# Tests wait more than they compute; each of these processes starts the servers it needs.
JOBS ?= 3
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
# What runs the gateway, and with it what tests it: who only looks at it waits for a third of the packages.
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

# Compiling everything takes as long as fetching it; what is used is compiled at first use, and kept whatever is set here.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: up shell test check instructions bench peers chaos hostile fuzz clean install

up: $(RUN)
	@exec $(BIN)/gateway up --demo

# The addresses of a running `make up` come along, for commands that want one (simulator --database).
shell: $(RUN)
	@set -a; if test -f .local/stack.env; then . ./.local/stack.env; fi; set +a; \
	PATH="$(CURDIR)/$(BIN):$$PATH" exec "$${SHELL:-/bin/sh}"

test: $(DEV)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests/docs
	$(BIN)/python -m tests.instructions || { test $$? -eq 3 && test -z "$$REQUIRE_VALGRIND"; }

instructions: $(DEV)
	$(BIN)/python -m tests.instructions $(ARGS)

bench: $(DEV)
	$(BIN)/python -m tests.servers.bench $(ARGS)

peers: $(DEV)
	$(BIN)/python -m tests.peers $(ARGS)

chaos: $(DEV)
	$(BIN)/python -m tests.chaos $(ARGS)

hostile: $(DEV)
	$(BIN)/python -m tests.hostile $(ARGS)

# Atheris is not for every interpreter: where it does not install hypothesis does it.
fuzz: $(DEV)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(INSTALL) atheris || true
	$(BIN)/python -m tests.fuzz $(ARGS)

install: $(DEV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[local,simulator]'
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $(RUN) $@

clean:
	@home=$$(readlink .local/home 2>/dev/null) && rm -rf "$$home" || true
	rm -rf .venv .venv-* .local
