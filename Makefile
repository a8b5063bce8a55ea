.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# the first interpreter on this machine that is 3.11, 3.12 or 3.13
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)

.PHONY: help run test test-all benchmark lint format lock wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.installed  ## train the default model; options: make run ARGS="data=mnist seed=1"
	@$(BIN)/python train.py $(ARGS)

test: $(VENV)/.installed  ## the fast tests
	@echo "running the fast tests (four to five minutes on two cores)"
	@$(BIN)/pytest -n auto --dist loadfile -m "not slow and not gpu" $(ARGS)

test-all: $(VENV)/.installed  ## the fast and the slow tests
	@echo "running all tests (long: thousands of damaged files and hundreds of kills are among them)"
	@$(BIN)/pytest -n auto --dist loadfile -m "not gpu" $(ARGS)

benchmark: $(VENV)/.installed  ## training, IWAE-5000 and exact EM beside what else one could run; leave the machine alone meanwhile
	@$(BIN)/python benchmarks/training.py $(ARGS)

lint: $(VENV)/.installed  ## format, style and types
	@echo "checking format, style and types"
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/pyright

format: $(VENV)/.installed  ## rewrite the files in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: $(VENV)/.installed  ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --extra dev \
		pyproject.toml -o requirements.lock

wheel: $(VENV)/.installed  ## build dist/*.whl
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist . && ls dist

clean:  ## remove .venv and what the tools left
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found" >&2; \
		echo "hint: install one, or say which: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "hint: on Debian, apt install python3-venv" >&2; exit 2; }
	@echo "installing the locked packages: PyTorch is large, this takes one to five minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9 || true
	@if test -x $(BIN)/uv; then \
		$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
			--require-hashes -r requirements.lock && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .; \
	fi
	@touch $@ && echo "installed"
