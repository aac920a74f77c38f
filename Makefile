# Two commands do everything on a machine that has Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: env test test-slow lint demo clean

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

test: env  ## the default test suite
	$(BIN)/python -m pytest -m "not slow"

test-slow: env  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: env  ## lint, format check, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: env  ## a synthetic scene, the default model, and a table of what was written and its mIoU
	mkdir -p $(DEMO)
	$(BIN)/geoseg synth $(DEMO)/scene.tif --size 3000x2000 --seed 2026 --truth $(DEMO)/truth.tif --overwrite
	$(BIN)/geoseg predict $(DEMO)/scene.tif -o $(DEMO)/classes.tif -o $(DEMO)/classes.zarr \
	  --reference $(DEMO)/truth.tif --preview $(DEMO)/look.png --overwrite --restart

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
