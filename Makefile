# make up    the whole thing on this machine, without Docker     make check  linters, types, layers, docs
# make shell a shell in which gateway and simulator are commands
# make test  every test, against real servers                    make chaos  ten minutes of faults under load
# make bench figures of this machine beside raw COPY             make clean  removes .venv and .local (the data!)

PYTHON ?= python3
# Tests wait more than they compute; each of these processes starts the servers it needs.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: up shell test check bench chaos clean install

up: $(STAMP)
	@exec $(BIN)/gateway up --demo

# The addresses of a running `make up` come along, for commands that want one (simulator --database).
shell: $(STAMP)
	@set -a; if test -f .local/stack.env; then . ./.local/stack.env; fi; set +a; \
	PATH="$(CURDIR)/$(BIN):$$PATH" exec "$${SHELL:-/bin/sh}"

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile tests/docs

bench: $(STAMP)
	$(BIN)/python -m tests.servers.bench $(ARGS)

chaos: $(STAMP)
	$(BIN)/python -m tests.chaos $(ARGS)

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	@home=$$(readlink .local/home 2>/dev/null) && rm -rf "$$home" || true
	rm -rf $(VENV) .local
