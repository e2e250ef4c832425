# Everything runs in .venv, which `make setup` makes from the versions pinned in requirements.lock; or, with
# ENGINE=pytensor, in .venv-pytensor, from requirements-pytensor.lock.
PYTHON ?= $(shell command -v python3.11 || echo python3)
ENGINE ?= theano
ARGS ?=
comma := ,
SUFFIX := $(if $(filter pytensor,$(ENGINE)),-pytensor)
VENV := .venv$(SUFFIX)
BIN := $(VENV)/bin
# Two processes, each with one thread: two threads each would wait for each other. A file is run by one process, since
# its tests may share what is slow to set up.
PARALLEL := -m pytest -n 2 --dist loadfile
PYTEST := ARIGNOTE_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python $(PARALLEL)
PYTEST_PYTENSOR := ARIGNOTE_THREADS=1 OMP_NUM_THREADS=1 .venv-pytensor/bin/python $(PARALLEL)
# What an engine can break; the rest of the tests knows nothing of engines.
ENGINE_TESTS := tests/engine tests/ops tests/nnets tests/resume/test_exact.py tests/test_seed_script.py \
    tests/checkpoint/test_migrations.py
JAX_TESTS := tests/engine tests/nnets/layers tests/resume/test_exact.py::test_so_does_a_conv_net \
    tests/resume/test_exact.py::test_three_resumes_within_one_epoch_end_the_same

.DEFAULT_GOAL := help
.PHONY: help setup mnist fashion test test-pytensor test-jax test-slow torture bench docs lint format lock clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/installed  ## Make the environment .venv, or, with ENGINE=pytensor, .venv-pytensor

$(VENV)/installed: requirements$(SUFFIX).lock setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements$(SUFFIX).lock
	ARIGNOTE_ENGINE=$(ENGINE) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

mnist: setup  ## Train the README's network on MNIST; ARGS="--net conv --epochs 20" for others
	$(BIN)/python examples/mnist.py $(ARGS)

fashion: setup  ## Train on Fashion-MNIST from HDF5 files (needs Debian's dataset-fashion-mnist)
	$(BIN)/python examples/fashion.py $(ARGS)

test: setup  ## Run the tests and the examples in docstrings, about five minutes; on PyTensor those that depend on it
	$(PYTEST) $(ARGS)
	$(if $(SUFFIX),,$(MAKE) test-pytensor)

test-pytensor:  ## Run the tests that depend on the engine on PyTensor, some of them on JAX
	$(MAKE) setup ENGINE=pytensor
	$(PYTEST_PYTENSOR) $(ENGINE_TESTS) $(ARGS)
	ARIGNOTE_BACKEND=jax $(PYTEST_PYTENSOR) $(JAX_TESTS) $(ARGS)

test-jax:  ## Run all tests that depend on the engine on JAX (ten minutes)
	$(MAKE) setup ENGINE=pytensor
	ARIGNOTE_BACKEND=jax $(PYTEST_PYTENSOR) $(ENGINE_TESTS) $(ARGS)

test-slow: setup  ## Run the tests that take minutes each
	$(BIN)/python -m pytest -m slow $(ARGS)

torture: setup  ## Kill real runs at random moments, and saves at each system call (needs strace; half an hour)
	$(BIN)/python -m tests.resume.torture $(ARGS)

bench: setup .venv-bench/installed  ## Measure speed beside PyTorch, JAX and scikit-learn, in turn (half an hour)
	$(BIN)/python -m benchmarks.speed --peers .venv-bench/bin/python $(ARGS)

.venv-bench/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	touch $@

docs: setup  ## Build the documentation: docs/build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/build/html

lint: setup  ## Check style, types, and that every check of the tests can fail
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.lint

format: setup  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## Write requirements.lock, or, with ENGINE=pytensor, requirements-pytensor.lock anew, from the newest versions that fit setup.py
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip "setuptools<81" wheel
	ARIGNOTE_ENGINE=$(ENGINE) .venv-lock/bin/python -m pip install --quiet ".[dev$(if $(SUFFIX),,$(comma)docs$(comma)ray)]"
	.venv-lock/bin/python -m pip freeze --all --exclude arignote --exclude pip > requirements$(SUFFIX).lock
	rm -rf .venv-lock

clean:  ## Remove the environment, caches and runs
	rm -rf .venv .venv-* build *.egg-info .pytest_cache .ruff_cache .mypy_cache docs/build docs/notebooks runs
