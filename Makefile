# Two commands do everything on a machine that has Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: env test test-slow lint docs pictures demo bench-peers gpu-wheels bench-gpu clean

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

test: env  ## the default test suite
	$(BIN)/python -m pytest -m "not slow"

test-slow: env  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: env docs  ## lint, format check, types, import contract, and the documentation's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: env  ## the documentation as a site, in build/site; a broken link or a missing anchor is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: env  ## draws the pictures of the README and the documentation
	$(BIN)/python pipelines/pictures.py

demo: env  ## a synthetic scene, the default model, and a table of what was written and its mIoU
	mkdir -p $(DEMO)
	$(BIN)/geoseg synth $(DEMO)/scene.tif --size 3000x2000 --seed 2026 --truth $(DEMO)/truth.tif --overwrite
	$(BIN)/geoseg predict $(DEMO)/scene.tif -o $(DEMO)/classes.tif -o $(DEMO)/classes.zarr \
	  --reference $(DEMO)/truth.tif --preview $(DEMO)/look.png --overwrite --restart

bench-peers: env  ## geoseg against its peers, same weights and scene; makes the peers' environments first
	$(BIN)/python benchmarks/peers/run.py

# A bare machine with a GPU has PyTorch but no network: what else is needed travels as wheels, fetched beforehand for
# its Python, and is installed into a folder of its own, so that nothing of the machine's is replaced.
GPU_PYTHON ?= 3.12
WHEELS := wheels
WHEEL_PLATFORMS := $(foreach tag,2_28 2_27 2_24 2_17,--platform manylinux_$(tag)_x86_64) --platform manylinux2014_x86_64
GPU_SITE := runs/gpu-site

gpu-wheels:  ## fetches them
	rm -rf $(WHEELS)
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
	  $(WHEEL_PLATFORMS) -d $(WHEELS) -r benchmarks/gpu/wheels.txt

bench-gpu:  ## a GPU's figures, with the Python that has PyTorch; wheels/ is installed beside it if it is there
	if [ -d $(WHEELS) ]; then rm -rf $(GPU_SITE) && $(PYTHON) -m pip install --quiet --no-index --no-deps \
	  --no-compile --target $(GPU_SITE) $(WHEELS)/*.whl; fi
	PYTHONPATH=$(GPU_SITE):. $(PYTHON) benchmarks/gpu/run.py --device cuda

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
