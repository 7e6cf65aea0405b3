# Everything runs in .venv, which `make setup` makes and refreshes when what it is made from changes.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint format bench docs clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.ready-test: .venv/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group test --group lint --group docs
	touch $@

demo: .venv/.ready
	$(BIN)/segmentry demo --out demo-output

test: .venv/.ready-test
	$(BIN)/pytest -n auto

lint: .venv/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.ready-test
	$(BIN)/python benchmarks/run.py

docs: .venv/.ready-test
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv site docs/generated demo-output
