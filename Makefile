# One line of work each; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help install demo test test-long check up bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Compiled at once: a run starts seven processes, and each would compile what it imports.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

install: $(STAMP)  ## install everything from the lock into .venv

demo: $(STAMP)  ## the next day of a sandbox company through one audited run in Airflow
	@$(BIN)/onefunnel demo

# A reader on DuckDB 1.x, in an environment of its own: what BI tools use today.
.venv-client/.installed: requirements-client.lock
	$(PYTHON) -m venv .venv-client
	.venv-client/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-client.lock
	touch $@

test: $(STAMP) .venv-client/.installed  ## the suite, under ten minutes on two cores
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long"

# What the image holds, from the image's lock: the services of docker-compose.yml run from it against a real PostgreSQL.
.venv-containers/.installed: requirements-containers.lock pyproject.toml
	$(PYTHON) -m venv .venv-containers
	$(BIN)/uv pip install --quiet --python .venv-containers/bin/python --compile-bytecode --no-deps --require-hashes -r requirements-containers.lock
	$(BIN)/uv pip install --quiet --python .venv-containers/bin/python --no-deps --no-build-isolation --editable .
	touch $@

# The vendors' own clients, against the sandbox's servers.
.venv-sdks/.installed: requirements-sdks.lock
	$(PYTHON) -m venv .venv-sdks
	.venv-sdks/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-sdks.lock
	touch $@

test-long: $(STAMP) .venv-client/.installed .venv-containers/.installed .venv-sdks/.installed  ## the full matrices
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(STAMP)  ## ruff, mypy, sqlfluff, import-linter, layer rules, metrics
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd dbt_project && ../$(BIN)/sqlfluff lint models tests --disable-progress-bar
	$(BIN)/sqlfluff lint docs/sql --disable-progress-bar
	$(BIN)/onefunnel validate
	$(BIN)/python -m pytest tests/test_repo_conventions.py
	cd dbt_project && ../$(BIN)/dbt parse --quiet --profiles-dir . && DBT_PROFILES_DIR=. ../$(BIN)/mf validate-configs --skip-dw

up: $(STAMP)  ## Airflow's UI on 127.0.0.1:8080 over the same state, DAGs paused
	@if test -e "$${ONEFUNNEL_HOME:-var}/sandbox.json"; then flag=--sandbox; fi; $(BIN)/onefunnel airflow $$flag

bench: $(STAMP)  ## the benchmarks, as ratios
	$(BIN)/python -m benchmarks

lock: $(STAMP)  ## resolve pyproject.toml into the locks
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --group dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --group containers --constraint requirements.lock pyproject.toml -o requirements-containers.lock
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --group sdks -o requirements-sdks.lock
	echo "duckdb<2" | $(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes - -o requirements-client.lock

clean:  ## remove the demo's state (var/), nothing else
	rm -rf var
