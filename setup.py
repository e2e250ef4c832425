"""Packaging. `pip install .`, `python setup.py develop` and `python setup.py install` all work."""

import os
import re
import subprocess
import sys
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent

# The built-in commands of setuptools resolve requirements in an outdated way, and install versions that do not fit.
BY_PIP = {"develop": ["--editable", str(here)], "install": [str(here)]}
if len(sys.argv) > 1 and sys.argv[1] in BY_PIP:
    command = [sys.executable, "-m", "pip", "install", *BY_PIP[sys.argv[1]], *sys.argv[2:]]
    sys.exit(subprocess.run(command).returncode)

version = re.search(r'__version__ = "(.+)"', (here / "arignote/__init__.py").read_text()).group(1)

onednn = ["onednn-cpu-gomp>=2023.2", "onednn-devel-cpu-gomp>=2023.2"]
onednn = [f"{name}; sys_platform == 'linux' and platform_machine == 'x86_64'" for name in onednn]

# The engine for this version of Python. Theano and PyTensor need different versions of numpy: to get PyTensor on
# Python 3.11, set ARIGNOTE_ENGINE=pytensor while installing.
theano = ["Theano==1.0.5", "numpy>=1.23,<1.24", "six"]
pytensor = ["pytensor>=3.0,<4"]
wanted = os.environ.get("ARIGNOTE_ENGINE", "").lower()
if wanted:
    engine = {"theano": theano, "pytensor": pytensor}[wanted]
else:
    engine = [f"{name}; python_version < '3.12'" for name in theano]
    engine += [f"{name}; python_version >= '3.12'" for name in pytensor]

hdf5 = ["h5py>=3.8", "hdf5plugin>=4", "pandas>=1.5"]
jax = ["jax>=0.8"]
gpu = [*pytensor, "jax[cuda12]>=0.8; sys_platform == 'linux'"]
# JAX and Theano need different versions of numpy, too.
jax_beside = jax if wanted == "pytensor" else [f"{name}; python_version >= '3.12'" for name in jax]
images = ["pillow>=9.4"]
plot = ["matplotlib>=3.7"]
export = ["onnx>=1.14", "safetensors>=0.4"]
command = ["pyyaml>=6"]
sklearn = ["scikit-learn>=1.6"]
ray = ["ray>=2.40"]
s3 = ["fsspec>=2023.1", "s3fs>=2023.1"]

setup(
    name="arignote",
    version=version,
    description="Feed-forward neural networks on Theano, trained from data of any size, stopped and resumed exactly",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["arignote", "arignote.*"]),
    package_data={
        "arignote.native": ["*.cpp", "*.h"],
        "arignote.ops": ["*.cpp", "*.h"],
        "arignote.sample_data": ["mnist.pkl.gz"],
    },
    python_requires=">=3.11",
    install_requires=[*engine, "scipy>=1.9", "scipy-openblas32>=0.3.23", "tqdm>=4.64", *onednn],
    extras_require={
        "theano": theano,
        "pytensor": pytensor,
        "jax": [*pytensor, *jax],
        "gpu": gpu,
        "hdf5": hdf5,
        "images": images,
        "plot": plot,
        "s3": s3,
        "export": export,
        "command": command,
        "sklearn": sklearn,
        "ray": ray,
        "dev": [
            *hdf5,
            *images,
            *plot,
            *s3,
            *jax_beside,
            *export,
            *command,
            *sklearn,
            "onnxruntime>=1.17",
            "tables>=3.8",
            "moto[s3,server]",
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "mypy",
            "ruff",
        ],
        "docs": ["sphinx>=8", "furo", "myst-nb>=1.2", "nbclient>=0.10", "ipykernel>=6", "tensorboardX>=2.6"],
    },
    entry_points={"console_scripts": ["arignote = arignote.command:main"]},
    zip_safe=False,
)
