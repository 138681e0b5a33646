PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run materialize status scrub repair api dashboard test test-slow test-faults test-damage test-nights test-cells test-scale mutate lint bench bench-ads bench-ads-queries bench-api bench-readers bench-banks bench-behavior duckdb psql clean

run: $(VENV)/.installed  ## the UI on 127.0.0.1:3000, and behind it the sample, all assets and a table of what was done
	@$(BIN)/analytics-assets run

materialize: $(VENV)/.installed  ## the same without the UI
	@$(BIN)/analytics-assets materialize

status: $(VENV)/.installed  ## which partitions are behind, why, and since when
	@$(BIN)/analytics-assets status

scrub: $(VENV)/.installed  ## read all live files of the lake and compare them with their checksums
	@$(BIN)/analytics-assets scrub

repair: $(VENV)/.installed  ## make damaged logs of the lake readable; materialize then mends the rest
	@$(BIN)/analytics-assets repair

api: $(VENV)/.installed  ## what is promoted, over HTTP on 127.0.0.1:8000
	@$(BIN)/analytics-assets api

dashboard: $(VENV)/.installed  ## what is promoted, as pages on 127.0.0.1:8050
	@$(BIN)/analytics-assets dashboard

test: lint  ## formatting, types, import rules and the test suite
	@$(BIN)/python -m pytest -m "not slow and not scale" --numprocesses 3 --dist loadfile

test-slow: $(VENV)/.installed-dev  ## the proofs that take minutes: the UI's own backfills, in a browser
	@$(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile

test-faults: $(VENV)/.installed-dev  ## make test-faults KILLS=200 SEED=1: kill runs at any moment, lose nothing
	@KILLS=$(KILLS) SEED=$(SEED) $(BIN)/python -m pytest analytics_assets_tests/faults/test_kills.py analytics_assets_tests/faults/test_killed_jobs.py -m slow -s

test-damage: $(VENV)/.installed-dev  ## make test-damage PLACES=1000 SEED=1: damage files anywhere, serve no wrong number
	@PLACES=$(PLACES) SEED=$(SEED) $(BIN)/python -m pytest analytics_assets_tests/faults/test_damage.py -m slow -s

test-nights: $(VENV)/.installed-dev  ## make test-nights SEEDS=20: sixty nightly loads of ads give what one load gives
	@SEEDS=$(SEEDS) $(BIN)/python -m pytest analytics_assets_tests/ad_metrics/test_reference.py -m slow -k sixty --numprocesses 2

test-cells: $(VENV)/.installed-dev  ## make test-cells YEARS=all: attack what readers of the published files see with linear programs
	@YEARS=$(YEARS) $(BIN)/python -m pytest analytics_assets_tests/births/test_small_cells.py -m slow -s

test-scale: $(VENV)/.installed-dev  ## make test-scale KILLS=50 SEED=1: S3, PostgreSQL, Redis and three workers, killed at any moment (needs redis-server)
	@KILLS=$(KILLS) SEED=$(SEED) $(BIN)/python -m pytest analytics_assets_tests/scale -m scale -s

mutate: $(VENV)/.installed-dev  ## make mutate BUDGET=30 SEED=1: minutes of small changes of the code, which tests should notice
	@$(BIN)/python -m analytics_assets_tests.mutate $(or $(BUDGET),30) $(or $(SEED),1)

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy
	@$(BIN)/pylint analytics_assets

bench: $(VENV)/.installed-dev  ## against the floor of a plain script; BIRTHS=5000000 are ten years, 27500000 ten national ones
	@$(BIN)/python -m analytics_assets_tests.bench $(BIRTHS)

bench-ads: $(VENV)/.installed-dev  ## the ad metrics against theirs; EVENTS=10000000 for the size that their brief speaks of
	@$(BIN)/python -m analytics_assets_tests.bench.ads $(EVENTS)

bench-api: $(VENV)/.installed-dev  ## 50 clients for SECONDS=60, also while the database is stopped and started
	@SECONDS=$(SECONDS) $(BIN)/python -m pytest analytics_assets_tests/api/test_load.py -m slow -s

bench-ads-queries: $(VENV)/.installed-dev  ## what production answers about a year of ads, and pages of it; ROWS=10000 a day
	@$(BIN)/python -m analytics_assets_tests.bench.ads_queries $(ROWS)

bench-readers: $(VENV)/.installed-dev  ## questions and pages of ten national years, and the memory of the dashboard
	@$(BIN)/python -m analytics_assets_tests.bench.readers

bench-banks: $(VENV)/.installed-dev  ## answers of the metric repository, at 200 to 2,000,000 values
	@$(BIN)/python -m analytics_assets_tests.bench.banks

bench-behavior: $(VENV)/.installed-dev  ## export and analyses of 100,000 and 1,000,000 events
	@$(BIN)/python -m analytics_assets_tests.bench.behavior $(ROWS)

duckdb: $(VENV)/.installed  ## make duckdb SQL='select ...': one statement on the warehouse, as CSV
	@$(BIN)/analytics-assets duckdb $(if $(SQL),"$$SQL")

psql: $(VENV)/.installed  ## make psql SQL='select ...': one statement on production, as CSV
	@$(BIN)/analytics-assets psql $(if $(SQL),"$$SQL")

export SQL

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; assert (3, 10) <= v <= (3, 13), f"Python 3.10 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}; set PYTHON=..."'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) with the tools for tests (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[all,scale,dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) *.egg-info
