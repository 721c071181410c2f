# What a person does with this project: `make` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
SERVE ?= yes
N ?= 1000000
PYTEST_ARGS ?= -n auto --maxprocesses 4

# The first of these that is 3.11 or later, and can, makes the virtual environment; PYTHON=... overrides.
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	if $$each -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$each; break; fi; done)

# For a look around without any configuration: debug mode, which needs no secret.
ifeq ($(wildcard .env)$(SECRET_KEY),)
TRIAL := DEBUG=$${DEBUG:-true}
endif

.PHONY: help setup setup-dev demo serve test lint bench requirements clean

help:
	@echo "make setup         the virtual environment, from requirements.txt"
	@echo "make demo          a sample institution with two months, served at http://localhost:$(PORT) (SERVE=no: not served)"
	@echo "make serve         web and worker together (PORT=8000)"
	@echo "make test          all tests on SQLite, and on PostgreSQL where TEST_POSTGRES_URL names a server"
	@echo "make lint          ruff, mypy, migrations and deploy checks"
	@echo "make bench         speed and memory against a floor measured in the same run (N=1000000 rows)"
	@echo "make requirements  compile the pinned requirements from the .in files"
	@echo "make clean         remove the virtual environment and caches; var/ stays"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later with venv is needed, and none was found." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.installed

setup-dev: $(VENV)/.installed-dev

demo: setup
	$(TRIAL) $(BIN)/python manage.py demo --port $(PORT) $(if $(filter no,$(SERVE)),--no-serve)

serve: setup
	$(TRIAL) $(BIN)/python manage.py serve --port $(PORT)

# The SQLite leg sets DATABASE_URL, so that neither .env nor the shell turns it into another database.
test: setup-dev
	@echo "== tests on SQLite"
	DEBUG=true DATABASE_URL=sqlite:///$(CURDIR)/var/tests.sqlite3 $(BIN)/python -m pytest $(PYTEST_ARGS)
	@postgres="$${TEST_POSTGRES_URL:-}"; \
	case "$${DATABASE_URL:-}" in postgres*|psql*|pgsql*) postgres="$${postgres:-$$DATABASE_URL}";; esac; \
	if test -n "$$postgres"; then \
		echo "== tests on PostgreSQL"; \
		DEBUG=true DATABASE_URL="$$postgres" $(BIN)/python -m pytest $(PYTEST_ARGS); \
		echo "Tested on SQLite and on PostgreSQL."; \
	else \
		echo "Tested on SQLite; PostgreSQL left out: set TEST_POSTGRES_URL=postgres://user@host/name to test on it too."; \
	fi

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DEBUG=true $(BIN)/mypy billing statements journals openchargeback tests
	DEBUG=true $(BIN)/python manage.py makemigrations --check --dry-run
	DEBUG=false VAR_DIR=$$(mktemp -d) DATABASE_URL=sqlite://:memory: \
		SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

bench: setup
	$(BIN)/python benchmarks/run.py --rows $(N)

COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links

requirements: setup-dev
	$(COMPILE) --output-file requirements.txt requirements.in
	$(COMPILE) --output-file requirements-dev.txt requirements-dev.in

clean:
	rm -rf $(VENV) staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/out
	find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +
