# What a person does with this project: `make` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
SERVE ?= yes
N ?= 1000000
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
# A test on PostgreSQL waits for the server: with one more than there are cores, none of them is idle.
POSTGRES_ARGS ?= $(subst -n auto,-n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1),$(PYTEST_ARGS))

# The first of these that is 3.11 or later, and can, makes the virtual environment; PYTHON=... overrides.
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	if $$each -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$each; break; fi; done)

# Each command is a process of its own: without bytecode it would compile the whole program before it begins.
unexport PYTHONDONTWRITEBYTECODE

# To serve without any configuration: debug mode, which needs no secret.
ifeq ($(wildcard .env)$(SECRET_KEY),)
TRIAL := DEBUG=$${DEBUG:-true}
endif

.PHONY: help setup setup-dev demo serve test test-slow test-browser lint bench bench-web screenshots focus requirements sbom audit-deps clean

help:
	@echo "make setup         the virtual environment, from requirements.txt"
	@echo "make demo          a sample institution in var/demo, served at http://localhost:$(PORT) (SERVE=no: not served)"
	@echo "make serve         web and worker together (PORT=8000)"
	@echo "make test          the tests on SQLite, and on PostgreSQL where TEST_POSTGRES_URL names a server"
	@echo "make test-slow     killed processes, races, lost machines, fuzzed addresses, first steps in a fresh clone"
	@echo "make test-browser  journeys in headless Chromium, which has to be installed"
	@echo "make lint          ruff, mypy, migrations and deploy checks"
	@echo "make bench         speed and memory against a floor measured in the same run (N=1000000 rows)"
	@echo "make bench-web     every main page over HTTP, by one client and by eight (N=1000000 charges)"
	@echo "make screenshots   the pictures of the documentation, docs/images, from the sample institution (Chromium)"
	@echo "make sbom          what the program is made of, as CycloneDX JSON: sbom.json"
	@echo "make audit-deps    known vulnerabilities of what it is made of, asked of PyPI (exit 2: could not be asked)"
	@echo "make focus         FOCUS files that usage becomes, checked by the FinOps Foundation's validator"
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
	$(BIN)/python manage.py demo --port $(PORT) $(if $(filter no,$(SERVE)),--no-serve)

serve: setup
	$(TRIAL) $(BIN)/python manage.py serve --port $(PORT)

# Tests marked so, on SQLite and on PostgreSQL. The SQLite leg sets DATABASE_URL, so that neither .env nor the shell
# turns it into another database; the other leaves out what has nothing to do with the database (see tests/conftest.py).
define run-tests
	@began=$$SECONDS; \
	took() { printf '%s: %dm %02ds\n\n' "$$1" $$(((SECONDS - began) / 60)) $$(((SECONDS - began) % 60)); began=$$SECONDS; }; \
	echo "== $(1) on SQLite"; \
	DEBUG=true DATABASE_URL=sqlite:///$(CURDIR)/var/tests.sqlite3 $(BIN)/python -m pytest $(PYTEST_ARGS) -m "$(2)" $(3); \
	took "$(1) on SQLite"; \
	postgres="$${TEST_POSTGRES_URL:-}"; \
	case "$${DATABASE_URL:-}" in postgres*|psql*|pgsql*) postgres="$${postgres:-$$DATABASE_URL}";; esac; \
	if test -n "$$postgres"; then \
		echo "== $(1) on PostgreSQL"; \
		DEBUG=true DATABASE_URL="$$postgres" $(BIN)/python -m pytest $(POSTGRES_ARGS) -m "$(2)" $(3) --only-on-databases; \
		took "$(1) on PostgreSQL"; \
	else \
		echo "PostgreSQL left out: set TEST_POSTGRES_URL=postgres://user@host/name to test on it too."; \
	fi
endef

test: setup-dev
	$(call run-tests,tests,not browser and not slow)

# The files that have slow tests: to read all others too takes each worker as long as some of these tests.
SLOW = $(shell grep -rlE 'mark\.slow\b' tests --include='test_*.py' | sort)

test-slow: setup-dev
	$(call run-tests,slow tests,slow,$(SLOW))

# Pages are the same on either database.
test-browser: setup-dev
	DEBUG=true DATABASE_URL=sqlite:///$(CURDIR)/var/tests.sqlite3 $(BIN)/python -m pytest $(PYTEST_ARGS) -m browser tests/browser

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DEBUG=true $(BIN)/mypy billing statements journals openchargeback tests
	DEBUG=true $(BIN)/python manage.py makemigrations --check --dry-run
	DEBUG=false VAR_DIR=$$(mktemp -d) DATABASE_URL=sqlite://:memory: \
		SITE_URL=https://billing.example.edu ALLOWED_HOSTS=billing.example.edu \
		SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

bench: setup
	$(BIN)/python benchmarks/run.py --rows $(N)
	$(BIN)/python benchmarks/usage.py --jobs $(N)

bench-web: setup
	$(BIN)/python benchmarks/web.py --rows $(N)

screenshots: setup-dev
	DEBUG=true DATABASE_URL=sqlite:///$(CURDIR)/var/tests.sqlite3 $(BIN)/python -m pytest tests/browser/screenshots.py

# It asks for Python 3.12, and tests/check_focus.py says how it runs on 3.11.
FOCUS := .venv-focus

$(FOCUS)/.installed: requirements-focus.txt
	test -n "$(PYTHON)" && $(PYTHON) -m venv $(FOCUS)
	$(FOCUS)/bin/python -m pip install --quiet --disable-pip-version-check --ignore-requires-python --require-hashes -r requirements-focus.txt
	@touch $@

focus: setup-dev $(FOCUS)/.installed
	DEBUG=true FOCUS_PYTHON=$(FOCUS)/bin/python DATABASE_URL=sqlite:///$(CURDIR)/var/tests.sqlite3 $(BIN)/python -m pytest tests/billing/usage/test_focus_rows.py

COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links

requirements: setup-dev
	$(COMPILE) --output-file requirements.txt requirements.in
	$(COMPILE) --output-file requirements-dev.txt requirements-dev.in
	$(COMPILE) --output-file requirements-audit.txt requirements-audit.in

# The tools are in an environment of their own, so that the program's holds what it runs on and nothing else.
AUDIT := .venv-audit

$(AUDIT)/.installed: requirements-audit.txt
	test -n "$(PYTHON)" && $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	@touch $@

sbom: $(AUDIT)/.installed
	$(AUDIT)/bin/cyclonedx-py requirements requirements.txt --output-reproducible --of JSON --sv 1.6 -o sbom.json
	@$(AUDIT)/bin/python -c 'import json; parts = json.load(open("sbom.json"))["components"]; print(f"sbom.json: {len(parts)} components, each with its hashes.")'

# pip-audit ends with 1 for a vulnerability and for a service that it cannot reach; only the first is a finding.
audit-deps: $(AUDIT)/.installed
	@report=$$(mktemp); status=0; \
	$(AUDIT)/bin/pip-audit --requirement requirements.txt --require-hashes --disable-pip --format json --output "$$report" || status=$$?; \
	if test ! -s "$$report"; then \
		rm -f "$$report"; echo "Not audited: the list of vulnerabilities could not be read (see above). This says nothing about them." >&2; exit 2; \
	fi; rm -f "$$report"; exit $$status

clean:
	rm -rf $(VENV) $(AUDIT) $(FOCUS) sbom.json staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/out
	find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +
