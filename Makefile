PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPS := $(VENV)/.installed

.PHONY: demo test lint soak bench clean

$(DEPS): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "goodgrain needs Python 3.11 or newer; make PYTHON=python3.12 names another one"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $(DEPS)

demo: $(DEPS)
	$(BIN)/goodgrain demo

lint: $(DEPS)
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

test: lint
	@sh tests/need_chromium.sh
	$(BIN)/pytest

soak: $(DEPS)
	GOODGRAIN_SOAK=1 $(BIN)/pytest -m soak

bench: $(DEPS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,bench]"
	$(BIN)/python benchmarks/speed_prune.py
	$(BIN)/python benchmarks/speed_k_center.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
