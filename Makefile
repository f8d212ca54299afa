# One entry per thing a person does. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed

# Byte code makes every start-up two times faster.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo chapter test lint ui lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the locked dependencies

# uv itself comes from the lock, hash-checked by pip; everything else comes through uv.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("whydeep needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup ## stacked 3x3 filters against 5x5 and 7x7 on handwritten digits: a study, its verdicts, a report (two minutes)
	$(BIN)/whydeep study stacked_filters workers=2

chapter: setup ## every study of the chapter and the book of their verdicts (two hours; scale=toy: minutes, to try it)
	$(BIN)/whydeep chapter workers=2 yes=true $(if $(scale),scale=$(scale))

test: setup ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: setup ## browse the recorded runs in MLflow, on this machine only
	$(BIN)/whydeep ui

lock: setup ## resolve pyproject.toml again into requirements.lock (names == versions with hashes, no addresses)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--extra dev --python-version 3.11 --upgrade pyproject.toml --output-file requirements.lock
