# Everything runs in .venv, which `make setup` makes from the versions pinned in requirements.lock.
PYTHON ?= $(shell command -v python3.11 || echo python3)
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup mnist fashion test test-slow torture bench lint format lock clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: .venv/installed  ## Make the environment .venv

.venv/installed: requirements.lock setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

mnist: setup  ## Train the README's network on MNIST; ARGS="--net conv --epochs 20" for others
	$(BIN)/python examples/mnist.py $(ARGS)

fashion: setup  ## Train on Fashion-MNIST from HDF5 files (needs Debian's dataset-fashion-mnist)
	$(BIN)/python examples/fashion.py $(ARGS)

test: setup  ## Run the tests and the examples in docstrings, under ten minutes
	$(BIN)/python -m pytest $(ARGS)

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

lint: setup  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## Write requirements.lock anew, from the newest versions that fit setup.py
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip "setuptools<81" wheel
	.venv-lock/bin/python -m pip install --quiet ".[dev]"
	.venv-lock/bin/python -m pip freeze --all --exclude arignote --exclude pip > requirements.lock
	rm -rf .venv-lock

clean:  ## Remove the environment, caches and runs
	rm -rf .venv .venv-lock .venv-bench build *.egg-info .pytest_cache .ruff_cache runs
