# The platform on one machine, its tests and its demo. `make` alone prints the targets.

# The interpreter of a new .venv; without one, the first supported python3 on PATH.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.9
export PYTHONPATH := $(CURDIR)
LOCAL := $(BIN)/python -m include.local
# Tests that need services get the settings of the local platform.
WITH_PLATFORM := set -a; . .local/env; set +a;
# Tests run side by side, file by file: those that wait for services in three processes, since two leave a third of two
# cores idle; those of the whole platform share it, and run one after the other.
BY_FILE := --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help verify setup up down status logs clean demo test chaos soak unit lint bench prove

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with the locked libraries

$(STAMP): requirements.lock
	@PYTHON="$(PYTHON)" VENV="$(VENV)" UV_VERSION="$(UV_VERSION)" bash .ci/install
	@touch $@

up: setup ## start Kafka, ClickHouse, Spark and Airflow, and wait until they work
	@$(LOCAL) up

down: ## stop every process of the platform; its data stays
	@if [ -x $(BIN)/python ] && [ -d .local ]; then $(LOCAL) down; else echo "Nothing was started here."; fi

status: setup ## show each service: process, age, ready or what it waits for
	@$(LOCAL) status

logs: setup ## follow the logs of all services
	@$(LOCAL) logs

clean: ## stop the platform and remove its data, logs and passwords
	@if [ -x $(BIN)/python ]; then $(LOCAL) clean; else rm -rf .local; fi

demo: setup ## run the main job end to end through Airflow, and report
	@PYTHONPATH=$(CURDIR) $(BIN)/python -m include.demo

unit: setup ## the tests that need no service
	@$(BIN)/pytest tests/unit -n 2 $(BY_FILE)

test: unit up ## all tests: unit, then integration and system on the running platform
	@$(WITH_PLATFORM) $(BIN)/pytest tests/integration -m "not long" -n 3 $(BY_FILE) --durations=15
	@$(WITH_PLATFORM) $(BIN)/pytest tests/system -m "not long" --durations=15

chaos: up ## kill, pause and stop every part under traffic; CHAOS_KILLS rounds (3), CHAOS_SEED
	@$(WITH_PLATFORM) $(BIN)/pytest tests/system -m chaos

soak: up ## ten minutes of 5,000 events/s: memory, parts, freshness; SOAK_SECONDS for longer
	@$(WITH_PLATFORM) $(BIN)/python -m benchmarks.soak $(if $(SOAK_SECONDS),--seconds $(SOAK_SECONDS))

verify: setup ## prove one certificate again: STREAM=ad_events HOUR=2026-01-01T05 [SEAL=12]
	@$(WITH_PLATFORM) $(BIN)/python -m include.reconcile.prove_again "$(STREAM)" "$(HOUR)" $(if $(SEAL),--seal "$(SEAL)")

prove: up ## 200 random faults, 200 clean hours: all found, mended, no false alarm; PROVE_STREAM (all), PROVE_SEED, PROVE_FAULTS
	@$(WITH_PLATFORM) $(BIN)/python -m tests.prove $(if $(PROVE_STREAM),--stream "$(PROVE_STREAM)") \
		$(if $(PROVE_SEED),--seed $(PROVE_SEED)) $(if $(PROVE_FAULTS),--faults $(PROVE_FAULTS))

lint: setup ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict include jobs

bench: up ## measure the streaming job against the obvious one
	@$(WITH_PLATFORM) $(BIN)/python -m benchmarks
