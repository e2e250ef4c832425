"""Imports run one way: a contract for every pair of rooms, also for imports inside functions."""

import ast
from pathlib import Path

import pytest

from tests.helpers import ROOT

ENGINES = ("theano", "pytensor")
# A room, by the beginning of its modules' names -> the rooms that it may import. Everything may import the version.
ROOMS = {
    "util": (),
    "native": ("util",),
    "engine": ("native", "util"),
    "ops": ("engine", "native", "util"),
    "data": ("util",),
    "image": ("data", "util"),
    "checkpoint": ("data", "util"),
    "sample_data": ("data",),
    "nnets": ("checkpoint", "data", "engine", "native", "ops", "util"),
    "plotting": ("checkpoint", "engine", "util"),
    "estimator": ("data", "nnets"),
    "command": ("checkpoint", "data", "engine", "image", "native", "nnets", "plotting", "util"),
    "__main__": ("command",),
}
# Inside a room: its parts, from the lowest to the highest. None imports one that stands after it.
PARTS = {
    "util": ("checks", "streams", "netlog"),
    "engine": ("errors", "compiled", "choice", "flags", "theano_flags", "jax_backend", "theano_engine",
               "pytensor_engine", "__init__"),
    "ops": ("base", "philox", "in_jax", "matmul", "convolve", "flatten", "activate", "pool", "dropout", "softmax",
            "update", "__init__"),
    "data": ("atomic", "storage", "unpickle", "journal", "reader", "prefetch", "formats", "image_folder", "hdf",
             "order", "dataset", "loader"),
    "checkpoint": ("registry", "state", "migrations", "first_arignote", "format"),
    "nnets": ("activations", "schedules", "updates", "objectives", "metrics", "layers", "definitions", "network",
              "onnx_export", "callbacks", "checkpoints", "train.inputs", "train.interrupt", "train.executors.base",
              "train.executors.local", "train.executors.sharded", "train.executors.ray", "train.state",
              "train.executors.choice", "train.loop", "nets"),
}  # fmt: skip
# Places to import from: they hold nothing, and no other module of the library imports them.
DOORS = ("cluster", "data.files", "data.readers", "nnets.sgd_updates", "nnets.training", "util.plotting")


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


def room(name):
    return name.split(".")[0]


def rank(name):
    """Return the position of a module among the parts of its room."""
    rest = name.partition(".")[2]
    fitting = [i for i, part in enumerate(PARTS[room(name)]) if rest == part or rest.startswith(f"{part}.")]
    assert len(fitting) == 1, f"{name} has no place in the order of its room"
    return fitting[0]


INNER = [name for name in MODULES if name != "__init__" and name not in DOORS]


def test_every_module_is_in_a_room():
    assert {room(name) for name in INNER} == set(ROOMS)
    assert all(door in MODULES for door in DOORS)


@pytest.mark.parametrize("name", INNER)
def test_a_module_imports_only_from_rooms_below_it(name):
    others = {other for other in own_imports(name) if room(other) != room(name)}
    wrong = sorted(other for other in others if room(other) not in ROOMS[room(name)])
    assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("name", [name for name in INNER if room(name) in PARTS and not name.endswith(".__init__")])
def test_a_module_imports_only_from_parts_below_it(name):
    others = {other for other in own_imports(name) if room(other) == room(name) and other not in DOORS}
    later = sorted(other for other in others if not other.endswith("__init__") and rank(other) > rank(name))
    assert not later, f"{name} imports {later}"


@pytest.mark.parametrize("name", INNER)
def test_no_module_imports_a_door(name):
    assert not own_imports(name) & set(DOORS)


@pytest.mark.parametrize("name", DOORS)
def test_doors_hold_nothing(name):
    body = ast.parse(MODULES[name].read_text()).body
    allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.Expr
    assert not [node for node in body if not isinstance(node, allowed)]
    values = [node.value for node in body if isinstance(node, ast.Assign | ast.Expr)]
    assert not [value for value in values if not isinstance(value, ast.List | ast.Name | ast.Constant)]


@pytest.mark.parametrize("name", MODULES)
def test_only_the_engine_imports_theano_and_pytensor(name):
    if room(name) != "engine":
        assert not {one.split(".")[0] for one in imports(MODULES[name])} & set(ENGINES)
