"""Imports run one way: a contract for every pair of packages, also for imports inside functions."""

import ast
from pathlib import Path

import pytest

from tests.helpers import ROOT

ENGINES = ("theano", "pytensor")
# A package, or a module on the top level -> those that it may import. Everything may import the version.
PACKAGES = {
    "util": (),
    "native": ("util",),
    "engine": ("native", "util"),
    "ops": ("engine", "native", "util"),
    "data": ("util",),
    "image": ("data", "util"),
    "checkpoint": ("data", "util"),
    "sample_data": ("data",),
    "nnets": ("checkpoint", "data", "engine", "native", "ops", "util"),
    "misc": ("engine", "util"),
    "plotting": ("checkpoint", "engine", "util"),
    "estimator": ("data", "nnets"),
    "configuration": ("image", "nnets", "util"),
    "prediction": ("data", "nnets"),
    "command": ("checkpoint", "configuration", "data", "engine", "native", "nnets", "plotting", "prediction", "util"),
    "examples": ("checkpoint", "data", "image", "nnets", "sample_data"),
    "__main__": ("command",),
}
# The parts of a package, from the lowest to the highest. None imports a later one.
PARTS = {
    "util": ("checks", "functions", "hints", "streams", "netlog"),
    "engine": ("errors", "compiled", "choice", "flags", "theano_flags", "jax_backend", "theano_engine",
               "pytensor_engine", "__init__"),
    "ops": ("base", "philox", "in_jax", "matmul", "convolve", "flatten", "activate", "pool", "dropout", "softmax",
            "update", "__init__"),
    "data": ("atomic", "storage", "unpickle", "journal", "frames", "reader", "prefetch", "formats", "images",
             "image_folder", "hdf", "order", "dataset", "labels", "fingerprint", "loader"),
    "checkpoint": ("registry", "state", "migrations", "first_arignote", "stores", "names", "format", "models",
                   "lock.owner", "lock.local", "lock.lease"),
    "nnets": ("activations", "schedules", "updates", "objectives", "arguments", "metrics", "layers", "shortcuts",
              "definitions", "classes", "network", "onnx_export", "callbacks", "checkpoints", "train.inputs",
              "train.interrupt",
              "train.environment", "train.executors.base", "train.executors.local", "train.executors.sharded",
              "train.executors.local_cluster", "train.executors.ray", "train.state", "train.resume",
              "train.executors.choice", "train.loop", "nets"),
}  # fmt: skip
# Modules with names for users to import, and nothing else; no other module of the library imports them.
FOR_USERS = (
    "cluster", "data.files", "data.readers", "nnets.sgd_update", "nnets.sgd_updates", "nnets.training", "util.misc",
    "util.plotting",
)  # fmt: skip


def modules():
    """Return the name of each module, without "arignote.", and its file."""
    folder = ROOT / "arignote"
    names = {path: ".".join(path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.rglob("*.py"))}
    return {name: path for path, name in names.items()}


MODULES = modules()


def is_module(name):
    return name in MODULES or f"{name}.__init__" in MODULES


def imports(path: Path):
    """Return the names of what a module imports, inside functions too; those of the library without "arignote."."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if is_module(full.removeprefix("arignote.")) else node.module)
    return found


def own_imports(name):
    """Return the modules of the library that a module imports."""
    found = {full.removeprefix("arignote.") for full in imports(MODULES[name]) if full.startswith("arignote.")}
    return {one if one in MODULES else f"{one}.__init__" for one in found}


def package(name):
    return name.split(".")[0]


def rank(name):
    """Return the position of a module among the parts of its package."""
    rest = name.partition(".")[2]
    fitting = [i for i, part in enumerate(PARTS[package(name)]) if rest == part or rest.startswith(f"{part}.")]
    assert len(fitting) == 1, f"{name} has no place in the order of its package"
    return fitting[0]


INNER = [name for name in MODULES if name != "__init__" and name not in FOR_USERS]


def test_every_module_is_in_a_package():
    assert {package(name) for name in INNER} == set(PACKAGES)
    assert all(name in MODULES for name in FOR_USERS)


@pytest.mark.parametrize("name", INNER)
def test_a_module_imports_only_from_packages_below_it(name):
    others = {other for other in own_imports(name) if package(other) != package(name)}
    wrong = sorted(other for other in others if package(other) not in PACKAGES[package(name)])
    assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("name", [name for name in INNER if package(name) in PARTS and not name.endswith(".__init__")])
def test_a_module_imports_only_from_parts_below_it(name):
    others = {other for other in own_imports(name) if package(other) == package(name) and other not in FOR_USERS}
    later = sorted(other for other in others if not other.endswith("__init__") and rank(other) > rank(name))
    assert not later, f"{name} imports {later}"


@pytest.mark.parametrize("name", INNER)
def test_no_module_imports_a_module_for_users(name):
    assert not own_imports(name) & set(FOR_USERS)


@pytest.mark.parametrize("name", FOR_USERS)
def test_modules_for_users_contain_only_names(name):
    body = ast.parse(MODULES[name].read_text()).body
    allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.Expr
    assert not [node for node in body if not isinstance(node, allowed)]
    values = [node.value for node in body if isinstance(node, ast.Assign | ast.Expr)]
    assert not [value for value in values if not isinstance(value, ast.List | ast.Name | ast.Constant)]


@pytest.mark.parametrize("name", MODULES)
def test_only_the_engine_imports_theano_and_pytensor(name):
    if package(name) != "engine":
        assert not {one.split(".")[0] for one in imports(MODULES[name])} & set(ENGINES)
