# The two commands of the README are `make run` and `make test`; each sets up all that it needs.

VENV := .venv
BIN := $(VENV)/bin
RUN_HOME := build/run-home

.PHONY: help setup run test check fix clean

help: ## Lists the targets.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/.for-use: pyproject.toml scripts/setup
	scripts/setup $(VENV) programs
	@touch $@

$(BIN)/.for-work: pyproject.toml scripts/setup
	scripts/setup $(VENV) dev
	@touch $@ $(BIN)/.for-use

setup: $(BIN)/.for-work ## Makes the virtual environment with everything in it.

run: $(BIN)/.for-use ## Runs a tuning job of real training to its end.
	rm -rf $(RUN_HOME)
	$(BIN)/katib run examples/quickstart.yaml --home $(RUN_HOME)

test: $(BIN)/.for-work ## Runs all tests.
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(BIN)/.for-work ## Lint, format, types, import layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

fix: $(BIN)/.for-work ## Repairs what the linter can repair.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Removes what the other targets made.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
