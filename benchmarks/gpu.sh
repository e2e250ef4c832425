#!/usr/bin/env bash
# Benchmark on a GPU: the README's network and the conv net, compared with PyTorch, eager and compiled with CUDA graphs, and
# plain JAX, in a separate environment. Requires only Python 3.11 or newer and a driver.
#
#   benchmarks/gpu.sh           tests the GPU, runs the benchmarks, and writes benchmarks/RESULTS-GPU.md
#   benchmarks/gpu.sh cpu       the same on a machine without a GPU, to check that it works
#   WHEELS=folder benchmarks/gpu.sh
#                               installs packages from a folder, for machines that cannot download them; to fill it:
#                               pip download --dest folder ".[gpu,hdf5]" torch scikit-learn pytest hypothesis setuptools
#
# VENV sets another folder for the environment, which may already exist. Further arguments are passed to the benchmarks:
# benchmarks/gpu.sh gpu --only seed --rounds 3
set -eu
cd "$(dirname "$0")/.."
device=gpu
if [ $# -gt 0 ]; then
    device=$1
    shift
fi
venv=${VENV:-.venv-gpu}
extra=$([ "$device" = gpu ] && echo gpu || echo jax)
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    ARIGNOTE_ENGINE=pytensor "$venv/bin/python" -m pip install --quiet ${WHEELS:+--no-index --find-links "$WHEELS"} \
        ".[$extra,hdf5]" torch scikit-learn pytest hypothesis
fi
export ARIGNOTE_ENGINE=pytensor ARIGNOTE_BACKEND=jax ARIGNOTE_DEVICE=$device PYTHONPATH=.
"$venv/bin/python" -c "from arignote import engine; print(engine.describe())"
"$venv/bin/python" -m pytest -q tests/engine/test_jax_backend.py tests/nnets/layers tests/resume/test_exact.py
"$venv/bin/python" examples/mnist.py --epochs 10 --fresh --checkpoint runs/gpu
"$venv/bin/python" -m benchmarks.speed --device "$device" --peers "$venv/bin/python" --pytensor "$venv/bin/python" \
    --output "benchmarks/RESULTS-${device^^}.md" "$@"
