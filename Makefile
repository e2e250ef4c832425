# All commands run in .venv, which `make setup` creates from the versions pinned in requirements.lock; with
# ENGINE=pytensor, in .venv-pytensor, from requirements-pytensor.lock.
PYTHON ?= $(shell command -v python3.11 || echo python3)
ENGINE ?= theano
ARGS ?=
comma := ,
SUFFIX := $(if $(filter pytensor,$(ENGINE)),-pytensor)
VENV := .venv$(SUFFIX)
BIN := $(VENV)/bin
# Two processes with one thread each, which do not wait for each other. All tests of a file run in one process, since
# they may share a slow fixture.
PARALLEL := -m pytest -n 2 --dist loadfile
PYTEST := ARIGNOTE_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python $(PARALLEL)
PYTEST_PYTENSOR := ARIGNOTE_THREADS=1 OMP_NUM_THREADS=1 .venv-pytensor/bin/python $(PARALLEL)
# The tests that depend on the engine.
ENGINE_TESTS := tests/engine tests/ops tests/nnets tests/resume/test_exact.py tests/test_seed_script.py \
    tests/checkpoint/test_migrations.py
JAX_TESTS := tests/engine tests/nnets/layers tests/resume/test_exact.py::test_so_does_a_conv_net \
    tests/resume/test_exact.py::test_three_resumes_within_one_epoch_end_the_same

.DEFAULT_GOAL := help
.PHONY: help setup mnist fashion test test-pytensor test-jax test-slow torture fuzz bench docs lint format lock clean

help:  ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/installed  ## Create the environment .venv, or .venv-pytensor with ENGINE=pytensor

$(VENV)/installed: requirements$(SUFFIX).lock setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements$(SUFFIX).lock
	ARIGNOTE_ENGINE=$(ENGINE) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

mnist: setup  ## Train the network of the README on MNIST; ARGS="--net conv --epochs 20" for another one
	$(BIN)/python examples/mnist.py $(ARGS)

fashion: setup  ## Train on Fashion-MNIST from HDF5 files (requires Debian's dataset-fashion-mnist)
	$(BIN)/python examples/fashion.py $(ARGS)

test: setup  ## Run all tests and docstring examples, then the engine tests on PyTensor (six minutes)
	$(PYTEST) $(ARGS)
	$(if $(SUFFIX),,$(MAKE) test-pytensor)

test-pytensor:  ## Run the engine tests on PyTensor, and some of them on JAX
	$(MAKE) setup ENGINE=pytensor
	$(PYTEST_PYTENSOR) $(ENGINE_TESTS) $(ARGS)
	ARIGNOTE_BACKEND=jax $(PYTEST_PYTENSOR) $(JAX_TESTS) $(ARGS)

test-jax:  ## Run all engine tests on JAX (ten minutes)
	$(MAKE) setup ENGINE=pytensor
	ARIGNOTE_BACKEND=jax $(PYTEST_PYTENSOR) $(ENGINE_TESTS) $(ARGS)

test-slow: setup  ## Run the slow tests, which take minutes each
	$(BIN)/python -m pytest -m slow $(ARGS)

torture: setup  ## Kill runs at random moments, and saves at each system call (requires strace; half an hour)
	$(BIN)/python -m tests.resume.torture $(ARGS)

fuzz: setup  ## Fuzz the readers of untrusted files, ten minutes each; ARGS="--seconds 60 npz"
	$(BIN)/python -m pip install --quiet --requirement tests/fuzz/requirements.txt
	ARIGNOTE_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)

bench: setup .venv-bench/installed  ## Compare speed with PyTorch, JAX and scikit-learn (half an hour)
	$(BIN)/python -m benchmarks.speed --peers .venv-bench/bin/python $(ARGS)

.venv-bench/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	touch $@

docs: setup  ## Build the documentation: docs/build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/build/html

lint: setup  ## Check style and types, and find tests that cannot fail
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.lint

format: setup  ## Fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## Update requirements.lock, or requirements-pytensor.lock with ENGINE=pytensor, to the newest versions allowed by setup.py
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip "setuptools<81" wheel
	ARIGNOTE_ENGINE=$(ENGINE) .venv-lock/bin/python -m pip install --quiet ".[dev$(if $(SUFFIX),,$(comma)docs$(comma)ray)]"
	.venv-lock/bin/python -m pip freeze --all --exclude arignote --exclude pip > requirements$(SUFFIX).lock
	rm -rf .venv-lock

clean:  ## Remove the environment, caches and runs
	rm -rf .venv .venv-* build *.egg-info .pytest_cache .ruff_cache .mypy_cache docs/build docs/notebooks runs
