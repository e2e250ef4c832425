"""Names of checkpoints: which files belong to a name, and which name is meant.

A run called ``DIR/STEM`` is kept in ``DIR/STEM_last.pkl.gz`` and other files whose names begin with the stem. Where the
name of such a file is given instead, its extension and a final ``_last`` or ``_best_model`` do not count. A folder
alone, such as ``"runs/"``, holds runs that are named after the moment when they began.
"""

import logging
import os
import re
import time
from pathlib import Path

from arignote.data import storage

logger = logging.getLogger(__name__)

EXTENSIONS = (".pkl", ".pickle", ".gz", ".gzip")
ENDINGS = ("_last", "_best_model")
# Stems in a folder alone; those of the first Arignote had no time.
DATED = re.compile(r"\d{8}(_\d{6})?_checkpoint")


def has_extension(name: str | Path) -> bool:
    """Return True if a name ends as that of a file does: in .pkl, .pickle, .gz or .gzip."""
    return str(name).lower().endswith(EXTENSIONS)


def stem(name: str | Path) -> str:
    """Return ``DIR/STEM`` for the name of a run, or of its last or best checkpoint.

    Examples
    --------
    >>> stem("runs/mnist.pkl.gz"), stem("runs/mnist_last.pkl.gz"), stem("runs/mnist_best_model")
    ('runs/mnist', 'runs/mnist', 'runs/mnist')
    >>> stem("runs/rate0.1"), stem("runs/mnist_previous")
    ('runs/rate0.1', 'runs/mnist_previous')
    """
    folder, base = _split(name)
    return folder + _without(base, (*EXTENSIONS, *ENDINGS))


def checkpoint_path(name: str | Path, kind: str | None = None) -> str | Path:
    """Return the file in which a checkpoint `DIR/STEM` is kept: ``DIR/STEM_last.pkl.gz``, or another kind than last.

    Without a kind, the full name of a file is returned as it is. Addresses such as ``s3://bucket/STEM`` stay text.

    Examples
    --------
    >>> checkpoint_path("runs/mnist", "best_model").name
    'mnist_best_model.pkl.gz'
    >>> checkpoint_path("s3://bucket/run/mnist")
    's3://bucket/run/mnist_last.pkl.gz'
    """
    if kind is not None:
        full = f"{stem(name)}_{kind}.pkl.gz"
    elif has_extension(name):
        full = str(name)
    else:
        full = f"{name}.pkl.gz" if str(name).endswith(ENDINGS) else f"{name}_last.pkl.gz"
    return full if storage.is_remote(name) else Path(full)


def previous_path(path: str | Path) -> str | Path | None:
    """Return where the checkpoint before the last one is kept, if `path` is that of a last one."""
    full = str(path)
    if not full.endswith("_last.pkl.gz"):
        return None
    previous = full.removesuffix("_last.pkl.gz") + "_previous.pkl.gz"
    return previous if storage.is_remote(path) else Path(previous)


def parse_checkpoint(checkpoint: str | Path | None) -> tuple[str | None, str | None]:
    """Return the folder and the stem of a checkpoint.

    Parameters
    ----------
    checkpoint : str, Path or None
        As `fit` takes it. A folder alone, such as ``"runs/"``, gets a stem with the date and the time.

    Returns
    -------
    folder, stem : str
        None and None if there is no checkpoint; the folder is empty for the current one.

    Examples
    --------
    >>> parse_checkpoint("runs/mnist.pkl.gz")
    ('runs', 'mnist')
    >>> parse_checkpoint("runs/")  # doctest: +SKIP
    ('runs', '20261125_131427_checkpoint')
    """
    if checkpoint is None:
        return None, None
    folder, base = _split(stem(in_folder(checkpoint, resume=False)))
    return folder.rstrip("/") or folder[:1], base


def in_folder(name: str | Path, resume: bool) -> str | Path:
    """Return the name of a run, chosen here if a folder alone is given, and as it is otherwise.

    Parameters
    ----------
    name : str or Path
        A folder alone ends in a slash, or is ``"."`` or ``".."``.
    resume : bool
        Choose the newest run in the folder that was named in this way, if there is one.
    """
    if not is_folder(name):
        return name
    chosen = newest(name) if resume else None
    if chosen is None:
        chosen = _dated(name)
        while storage.exists(checkpoint_path(chosen)):  # a run of the same second
            time.sleep(0.1)
            chosen = _dated(name)
    logger.info("Checkpoint in the folder %s: %s.", name, chosen)
    return chosen


def _dated(folder: str | Path) -> str | Path:
    return _joined(folder, time.strftime("%Y%m%d_%H%M%S_checkpoint"))


def is_folder(name: str | Path) -> bool:
    """Return True if a name is a folder alone."""
    return _split(name)[1] in ("", ".", "..")


def newest(folder: str | Path) -> str | Path | None:
    """Return the newest of the runs that are named after the moment when they began, or None if there is none."""
    ending = "_last.pkl.gz"
    stems = [file.removesuffix(ending) for file in storage.names_in(folder) if file.endswith(ending)]
    dated = [each for each in stems if DATED.fullmatch(each)]
    return _joined(folder, max(dated)) if dated else None


def find(name: str | Path, *kinds: str) -> str | Path:
    """Return the file that is meant by the name of a run or of a file; one that exists, if any does.

    A run of this name is preferred to a file of this name, unless the name ends as that of a file does.

    Parameters
    ----------
    name : str or Path
        A folder alone means its newest run.
    *kinds : str
        Which files of a run, the most wanted first; by default only "last".
    """
    if is_folder(name):
        run = newest(name)
        if run is None:
            raise storage.missing(name)
        name = run
    own = checkpoint_path(name)
    of_run = [checkpoint_path(name, kind) for kind in kinds or ("last",)]
    exact = str(name) if storage.is_remote(name) else Path(name)
    if _without(str(name), EXTENSIONS).endswith(ENDINGS):
        of_run = []  # one file of the run is asked for
    wanted = [own, *of_run] if has_extension(name) else [*of_run, own, exact]
    return next((path for path in wanted if storage.exists(path)), own)


def to_resume(name: str | Path) -> str | Path | None:
    """Return the file from which `fit` resumes a run: its last state, or else the file of this name, or None."""
    wanted = [checkpoint_path(name, "last"), *([checkpoint_path(name)] if has_extension(name) else [])]
    return next((path for path in wanted if storage.exists(path)), None)


def _without(text: str, endings: tuple[str, ...]) -> str:
    """Return a name without any number of these endings; something is left of it."""
    while known := [end for end in endings if text.lower().endswith(end) and text.lower() != end]:
        text = text[: -len(known[0])]
    return text


def _split(name: str | Path) -> tuple[str, str]:
    """Return the folder of a name, with its slash, and the rest."""
    text = str(name)
    start = max(text.rfind(slash) for slash in {"/", os.sep}) + 1
    return text[:start], text[start:]


def _joined(folder: str | Path, base: str) -> str | Path:
    """Return a name in a folder alone."""
    if isinstance(folder, Path):
        return folder / base
    return f"{folder}{'' if _split(folder)[1] == '' else '/'}{base}"
