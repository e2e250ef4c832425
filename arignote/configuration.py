"""The configuration of ``arignote train``: a file in YAML or JSON, all of whose entries are checked."""

import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from arignote.image import augment
from arignote.nnets import definitions
from arignote.nnets.callbacks import Callback, EarlyStopping, Record
from arignote.nnets.nets import NNClassifier
from arignote.nnets.schedules import Rule
from arignote.util import checks

# The entries: name -> what is accepted, and an example.
ENTRIES: dict[str, tuple[Any, str]] = {
    "name": (str, "MNIST"),
    "rng": (int, "42"),
    "layers": (list, "[[ClassificationOutputLayer, {n_classes: 10}]]"),
    "fit": (Mapping, "{n_epochs: 50, batch_size: 128}"),
    "shuffle": (bool, "true"),
    "augmentation": (Mapping, "{shift: 3}"),
    "early_stopping": (bool | Mapping, "{patience: 10}"),
    "record": (str, "history.csv"),
    "size": (int | Sequence[int], "28"),
    "gray": (bool, "true"),
    "check": (str, "all"),
}
OF_IMAGES = ("size", "gray", "check")
# The arguments of `fit` that are given otherwise.
NOT_IN_FIT = ("self", "X", "y", "valid", "test", "checkpoint", "callbacks", "progress", "resume", "interrupt", *ENTRIES)
AUGMENTATIONS = ("shift", "flip", "quarter_turns")


class Kind(NamedTuple):
    """A kind of values: how it is called, an example, and the check."""

    needed: str
    example: str
    accepts: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


KINDS: dict[Any, Kind] = {
    bool: Kind("true or false", "true", lambda value: isinstance(value, bool)),
    int: Kind("a whole number", "10", lambda value: _is_number(value) and value == int(value)),
    float: Kind("a number", "0.1", _is_number),
    str: Kind("text", '"text"', lambda value: isinstance(value, str)),
    list: Kind("a list", "[1, 2]", lambda value: isinstance(value, list)),
    Sequence: Kind("a list", "[1, 2]", lambda value: isinstance(value, list)),
    Mapping: Kind("entries {name: value}", "{name: value}", lambda value: isinstance(value, dict)),
}


def read(name: str | Path) -> dict[str, Any]:
    """Read a configuration and check all of it.

    Returns
    -------
    dict
        The entries that have a value.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        The message names the file and the entry.
    """
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"got the configuration {str(name)!r}; need a file that exists; try another path")
    try:
        config = _parse(path)
        config = {} if not isinstance(config, dict) else {k: value for k, value in config.items() if value is not None}
        if "layers" not in config:
            raise ValueError("got no layers; need a list of layers; try the example in arignote --help")
        _check_entries(config)
    except RecursionError as error:
        raise ValueError(f"{path}: got entries nested too deeply; need a configuration; try fewer levels") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return config


# -- files -----------------------------------------------------------------------------------------------------------


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"got {error}; need text in UTF-8; try another editor") from error
    if path.suffix == ".json":
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            raise ValueError(f"got {error}; need valid JSON; try a JSON checker") from error
    if util.find_spec("yaml") is None:
        raise ImportError(f"{path}: got a YAML file; need the package PyYAML; try: pip install pyyaml, or a .json file")
    return _parse_yaml(text)


def _parse_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads 1e-3 as a number, as YAML 1.2 does; to YAML 1.1 it is text."""

    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        for mapping in _mappings(node):
            keys = [(key.value, None) for key, _ in mapping.value if isinstance(key.value, str)]
            _unique(keys, f" in the entries from line {mapping.start_mark.line + 1} on")
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(f"got {error}; need valid YAML; try spaces instead of tabs") from error


def _mappings(document: Any) -> Iterator[Any]:
    """Iterate over the mappings in a YAML document, each of them once: an alias may be inside what it stands for."""
    waiting, seen = [document], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(getattr(node, "value", None), list):
            continue
        seen.add(id(node))
        if node.id == "mapping":
            yield node
        waiting += [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]


def _unique(pairs: Sequence[tuple[str, Any]], where: str = "") -> dict[str, Any]:
    """Return a dictionary of pairs; refuse a key that comes twice, of which parsers take the last."""
    for key, n in Counter(key for key, _ in pairs).items():
        if n > 1:
            raise ValueError(f"got {key!r} {n} times{where}; need each entry once; try removing one of them")
    return dict(pairs)


# -- checks ----------------------------------------------------------------------------------------------------------


def _check_entries(config: Mapping[str, Any]) -> None:
    for name, value in config.items():
        if name not in ENTRIES:
            raise ValueError(f"got the entry {name!r}; need a known entry; {checks.suggestion(name, ENTRIES)}")
        _check(name, value, *ENTRIES[name])
    definitions.read(config["layers"])
    _check_arguments("fit", config.get("fit", {}), NNClassifier.fit, NOT_IN_FIT)
    if isinstance(config.get("early_stopping"), dict):
        _check_arguments("early_stopping", config["early_stopping"], EarlyStopping)
    augmentation(config)
    callbacks(config)


def _check_arguments(where: str, given: Mapping[str, Any], function: Callable, hidden: Sequence[str] = ()) -> None:
    """Refuse arguments that a function does not take, or not in this form, as the types in its signature say."""
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    known = {name: one for name, one in inspect.signature(function).parameters.items() if name not in hidden}
    for name, value in given.items():
        if name not in known:
            raise ValueError(
                f"got {name!r} under {where}; need an argument of {where}; {checks.suggestion(name, known)}"
            )
        _check(name, value, hints.get(name, Any), where=f" under {where}")
        if Rule in get_args(hints.get(name)) and isinstance(value, dict):
            _check_arguments(name, value, Rule)
            Rule.read(value, name)


def _check(name: str, value: Any, hint: Any, example: str = "", where: str = "") -> None:
    """Refuse a value that is not of the types that a hint names. Where a file can hold none of them, `fit` checks."""
    if hint is Any or (value is None and NoneType in get_args(hint)):
        return
    allowed = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = {KINDS[get_origin(one) or one]: get_args(one) for one in allowed if (get_origin(one) or one) in KINDS}
    if not kinds or any(kind.accepts(value) and _fits_inside(value, inside) for kind, inside in kinds.items()):
        return
    needed = " or ".join(dict.fromkeys(kind.needed for kind in kinds))
    note = " (yes, no, on and off in YAML)" if isinstance(value, bool) and KINDS[str] in kinds else ""
    example = example or next(iter(kinds)).example
    raise ValueError(f"got {name}={checks.brief(value)}{note}{where}; need {needed}; try {name}: {example}")


def _fits_inside(value: Any, inside: tuple) -> bool:
    """Return True if the items of a list are of the type that its hint names."""
    kind = KINDS.get(inside[0]) if inside and isinstance(value, list) else None
    return kind is None or all(kind.accepts(item) for item in value)


# -- what the entries make -------------------------------------------------------------------------------------------


def augmentation(config: Mapping[str, Any]) -> augment.Augmentation | None:
    """Return the augmentation of a configuration: one or several functions, applied in order."""
    made = []
    for name, value in config.get("augmentation", {}).items():
        function = getattr(augment, checks.choice(name, AUGMENTATIONS, "the augmentation"))
        if value is False:
            continue
        arguments = _arguments(name, function, value)
        _check_arguments(name, arguments, function)
        for key, parameter in inspect.signature(function).parameters.items():
            if parameter.default is parameter.empty and key not in arguments:
                raise ValueError(f"got {name} without {key}; need it; try {name}: {{{key}: 3}}")
        made.append(function(**arguments))
    return augment.pipeline(*made) if made else None


def _arguments(name: str, function: Callable, value: Any) -> Mapping[str, Any]:
    """Return the arguments of an augmentation: some by name, the first alone, or none (true)."""
    if value is True or isinstance(value, dict):
        return {} if value is True else value
    parameters = list(inspect.signature(function).parameters)
    if not parameters:
        _check(name, value, bool)
    return {parameters[0]: value}


def callbacks(config: Mapping[str, Any]) -> list[Callback]:
    """Return the callbacks of a configuration."""
    wanted = config.get("early_stopping", False)
    stopping = [EarlyStopping(**(wanted if isinstance(wanted, dict) else {}))] if wanted is not False else []
    return [*stopping, *([Record(config["record"])] if "record" in config else [])]
