# make demo   sets up .venv and runs the sample job
# make quick  runs the unit tests: without Ray or long waits
# make test   sets up .venv and runs every check: format, lint, types, tests
# make test-all  also runs the tests that take minutes
# make chaos  kills everything that can be killed, and compares the outputs; KILLS=100 by default
# make check  runs the checks without the tests
# make clean  removes .venv, builds and caches; keeps outputs/

PYTHON ?= python3
KILLS ?= 100
BIN := .venv/bin

# Otherwise, hundreds of processes would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

# Two processes; each runs whole files, in the order set by conftest.py.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25

.PHONY: demo quick test test-all chaos check clean

demo: .venv/.installed-demo
	$(BIN)/python -m jobs.batch_infer +dataset=sample
	@echo "next: source .venv/bin/activate; shardlens --help" >&2

quick: .venv/.installed-test
	$(PYTEST) -m "not cluster and not slow and not long"

test: check
	$(PYTEST) -m "not long"

test-all: check
	$(PYTEST)

chaos: .venv/.installed-test
	PYTHONPATH=tests/fixtures $(BIN)/python tests/fixtures/chaos.py --kills $(KILLS)

check: .venv/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps record what is installed, so that a second run installs nothing and demo needs no test tools. Modules are
# compiled on first import: most are never imported.
.venv/.installed-demo: INSTALL := .
.venv/.installed-test: INSTALL := .[heif,jxl,k8s,nvimgcodec,sample,test,timm,torchvision,transformers]

.venv/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '$(INSTALL)'
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv .venv
