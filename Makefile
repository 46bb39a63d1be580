# Two commands: `make demo` and `make test`. Everything is installed into .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all check docs bench clean

demo: $(VENV)/.train
	$(BIN)/sixfold run recipes/breast_cancer.yaml --out runs/breast_cancer
	@echo
	@echo "Serve it:    $(BIN)/sixfold serve runs/breast_cancer/bundle"
	@echo "Read it:     runs/breast_cancer/bundle/report.html"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

docs: $(VENV)/.dev
	$(BIN)/python -m sixfold.resolve
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.dev
	$(BIN)/python -m bench

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[train]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[train,test,dev]'
	@touch $@ $(VENV)/.train

clean:
	rm -rf $(VENV) runs site .mypy_cache .ruff_cache .hypothesis
