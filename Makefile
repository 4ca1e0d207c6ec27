# make train: set up and run the main job on drawn pictures.   make test: set up and pass the quick tests.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.10,$(shell command -v python$(v) 2>/dev/null)) python3)
VENV ?= .venv
# One thread a test process: several of them share the cores. And compiled modules are kept, whatever the shell says of
# that: hundreds of tests start processes that import them.
TEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest
BIN := $(VENV)/bin
SETUP := setup.cfg pyproject.toml constraints.txt

.PHONY: train test test-slow test-all lint notebooks docs clean
.DELETE_ON_ERROR:

train: $(VENV)/.core
	$(BIN)/python -m dogbreed.train experiment=quickstart

test: lint
	$(TEST) -m "not slow" -n auto

# The tests of a file share what they prepare: the features of thousands of photographs, above all.
test-slow: $(VENV)/.dev
	$(TEST) -m slow -n auto --dist loadfile

test-all: test test-slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every notebook executed in a fresh kernel, and as a page for the site.
notebooks: $(VENV)/.dev
	rm -rf build/notebooks
	$(BIN)/python -m docs_build.notebooks build/notebooks

docs: notebooks
	NO_MKDOCS_2_WARNING=1 DOGBREED_NOTEBOOKS=build/notebooks $(BIN)/python -m mkdocs build --site-dir build/site
	@echo "wrote build/site/; open build/site/index.html, or look for a word in it: no network is needed"

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The stamps make a second run quick: nothing is installed again until the set-up itself changes.
$(VENV)/.core: $(SETUP) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[sweeps,serving,sagemaker,standin]"
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
