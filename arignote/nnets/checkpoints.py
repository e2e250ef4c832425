"""The checkpoints of a run: which files there are, when they are written, and the thread that writes them."""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from arignote.checkpoint import format as checkpoint_format
from arignote.checkpoint import lock
from arignote.checkpoint.migrations import migrate
from arignote.checkpoint.names import checkpoint_path, stem
from arignote.data import storage
from arignote.util import checks

logger = logging.getLogger(__name__)

Snapshot = tuple[dict[str, Any], bytes]
PATIENCE = 2.0  # seconds that training waits for the checkpoint before
LONGEST_WAIT = 300.0  # seconds that the end of training waits for the last one
MOST_WAITING = 4  # snapshots of epochs


@dataclass(frozen=True)
class Checkpoint:
    """Where and when to write checkpoints: the argument `checkpoint` of `fit`, where a name alone is not enough.

    Parameters
    ----------
    name : str or Path
        ``DIR/STEM``: the network is written to ``DIR/STEM_last.pkl.gz`` and ``DIR/STEM_best_model.pkl.gz``; or an
        address such as ``s3://bucket/run/STEM``. The extension of a file name does not count: ``DIR/STEM.pkl.gz`` is
        the same, and so is ``DIR/STEM_last.pkl.gz``. A folder alone, such as ``"runs/"``, gets a stem with the date;
        see :mod:`arignote.checkpoint.names`.
    seconds : float or None, optional
        Within an epoch, write after this many seconds, by default 60; None for never.
    batches : int, optional
        Within an epoch, write after this many minibatches.
    keep_all : bool, optional
        Keep the checkpoint of each epoch, as ``DIR/STEM_epoch3.pkl.gz``; by default False.
    spot_notice : bool or str, optional
        Check every five seconds whether this EC2 spot machine is about to be taken away; if it is, stop as by Ctrl-C. A
        string is the address of another metadata service.

    Examples
    --------
    ``classifier.fit(X, y, ..., checkpoint=Checkpoint("runs/mnist", seconds=300, spot_notice=True))``
    """

    name: str | Path
    seconds: float | None = 60.0
    batches: int | None = None
    keep_all: bool = False
    spot_notice: bool | str = False

    def __post_init__(self) -> None:
        check_intervals(self.seconds, self.batches)


def check_intervals(seconds: float | None, batches: int | None, prefix: str = "") -> None:
    """Refuse intervals that are no numbers; `prefix` belongs to the names of the arguments."""
    if seconds is not None:
        checks.number(seconds, f"{prefix}seconds", least=0)
    if batches is not None:
        checks.whole_number(batches, f"{prefix}batches")


def as_checkpoint(given: str | Path | Checkpoint, **details: Any) -> Checkpoint:
    """Return the checkpoint of `fit`, given as one object, or as a name and details.

    Parameters
    ----------
    given : str, Path or Checkpoint
    **details
        The other fields of `Checkpoint`. With an object, all must be the defaults.

    Raises
    ------
    TypeError
        If details are given in addition to an object.
    """
    if not isinstance(given, Checkpoint):
        check_intervals(details["seconds"], details["batches"], "checkpoint_")
        return Checkpoint(given, **details)
    defaults = {field.name: field.default for field in fields(Checkpoint)}
    for name, value in details.items():
        if value != defaults[name]:
            raise TypeError(
                f"got a Checkpoint and, in addition, {name}; need one or the other; "
                f"try Checkpoint({str(given.name)!r}, {name}={value!r})"
            )
    return given


class CheckpointWriter:
    """Writes the checkpoints of one run: ``NAME_last``, ``NAME_best_model``, ``NAME_epoch3``, each .pkl.gz.

    `write` takes a snapshot of the state; a thread packs it and writes it while training continues. Training waits for
    a moment if the one before is still being written, and no longer: where a store is slow, or does not answer, the
    newest snapshot of each kind is kept until it does. A file that cannot be written is reported, and tried again with
    the next one.

    The name is locked until `finish`, or until the end of a ``with`` block. If another program has taken it over in
    spite of that, nothing more is written: `write` and `finish` raise InUseError.

    Parameters
    ----------
    checkpoint : Checkpoint

    Raises
    ------
    InUseError
        If another program, or another `fit` of this one, trains under this name.
    OSError
        If no file can be written there.
    """

    def __init__(self, checkpoint: Checkpoint):
        name, seconds, batches = checkpoint.name, checkpoint.seconds, checkpoint.batches
        self.name = stem(name)
        self.metadata: dict[str, Any] = {}
        self._seconds, self._batches = seconds, batches
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._is_writing = self._is_late = self._has_told = self._has_foreign_last = False
        self._unwritten: dict[str, Snapshot] = {}
        self._failure: BaseException | None = None
        self._at, self._batches_since = time.monotonic(), 0
        try:
            self._lock = self._take_place()
        except OSError as error:
            raise OSError(
                f"got checkpoint={str(name)!r}, and no file can be written there ({error}); "
                "need a place for checkpoints; try another"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.finish()
        finally:
            self._lock.release()

    def set_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Set what is stored with each file; refuse more than plain data."""
        self.metadata = checkpoint_format.plain_metadata(metadata)

    @property
    def batches_left(self) -> int | None:
        """Number of minibatches until the next checkpoint within the epoch, or None if it does not depend on them."""
        return None if self._batches is None else self._batches - self._batches_since

    def is_due(self, n_batches: int) -> bool:
        """Count minibatches; return True if it is time to write within the epoch."""
        self._batches_since += n_batches
        if self._batches is not None and self._batches_since >= self._batches:
            return True
        return self._seconds is not None and time.monotonic() - self._at >= self._seconds

    def exists(self, kind: str) -> bool:
        """Return True if there is a file of this kind, of this run."""
        return not (kind == "last" and self._has_foreign_last) and storage.exists(checkpoint_path(self.name, kind))

    def replace_earlier(self, run: Mapping[str, Any] | None = None, is_from_here: bool = False) -> None:
        """Set aside the best network of another run under this name, and warn if its last state is replaced.

        The best network gets another name now, since a run without validation data never writes one.

        Parameters
        ----------
        run : dict, optional
            The state of the classifier whose run is resumed; by default a new run begins.
        is_from_here : bool, optional
            True if the last state under this name is known to be of this run, and need not be read again.
        """
        best, last = checkpoint_path(self.name, "best_model"), checkpoint_path(self.name)
        if _is_of_another_run(best, run):
            storage.write(checkpoint_path(self.name, "best_model_previous"), storage.read(best))
            storage.delete(best)
        if not is_from_here and _is_of_another_run(last, run):
            self._has_foreign_last = True
            logger.warning(
                "%s training replaces the checkpoint %s, which is kept as the previous one for now; "
                "files.checkpoint_read(%r) would resume it.",
                "A new" if run is None else "The resumed", last, self.name,
            )  # fmt: skip

    def write(self, kind: str, model: Any) -> None:
        """Take a snapshot of the model, and write it to one of the files in the background."""
        if kind == "last":
            self._at, self._batches_since, self._has_foreign_last = time.monotonic(), 0, False
        taken = checkpoint_format.take_state(model, self.metadata)
        self._wait(0 if self._is_late else PATIENCE)
        self._raise_failure()
        with self._guard:
            self._unwritten[kind] = taken
            self._give_up_oldest()
            if self._is_writing:
                return  # its thread comes to this one, too
            self._is_writing, self._is_late = True, False
            self._thread = threading.Thread(target=self._write_all, name="arignote-checkpoint", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait until everything is written, and leave the name to others. More than one call does no harm."""
        if self._thread is not None:
            self._thread.join(LONGEST_WAIT)
        with self._guard:
            unwritten, self._unwritten = list(self._unwritten), {}
        self._lock.release()
        if unwritten:
            logger.error("Not written: %s. Earlier files of these names are unchanged.", ", ".join(unwritten))
        self._thread = None
        self._raise_failure()

    def _wait(self, seconds: float) -> None:
        """Wait until the snapshot before is written, or so long."""
        if self._thread is not None and self._is_writing:
            self._thread.join(seconds)
            self._is_late = self._thread.is_alive()
            if self._is_late and not self._has_told:
                self._has_told = True
                logger.warning("Checkpoint %s takes long to be written. Training continues.", self.name)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _give_up_oldest(self) -> None:
        """Keep few snapshots that wait: of the two that are needed to resume, and of the last epochs."""
        epochs = [kind for kind in self._unwritten if kind.startswith("epoch")]
        for kind in epochs[:-MOST_WAITING]:
            del self._unwritten[kind]
            logger.error("Checkpoint %s of %s is given up, since it could not be written so far.", self.name, kind)

    def _take_place(self) -> lock.Lock:
        """Lock the name, and make sure that files can be written."""
        with ExitStack() as undo:
            held = undo.enter_context(lock.acquire(self.name))
            for kind in ("last", "best_model"):
                # Only now, since temporary files that it deletes may be those of the program that has the lock.
                storage.require_writable(checkpoint_path(self.name, kind))
            undo.pop_all()
        return held

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        """Write all snapshots that wait, each once, and those that come meanwhile."""
        tried: dict[str, Snapshot] = {}
        try:
            while (kind := self._next(tried)) is not None:
                self._write(kind, tried[kind])
        except BaseException as error:
            self._failure = error
            with self._guard:
                self._is_writing = False

    def _next(self, tried: dict[str, Snapshot]) -> str | None:
        """Return the kind of a snapshot that was not tried, which is noted, or None if there is none."""
        with self._guard:
            for kind, taken in self._unwritten.items():
                if tried.get(kind) is not taken:
                    tried[kind] = taken
                    return kind
            self._is_writing = False
            return None

    def _write(self, kind: str, taken: Snapshot) -> None:
        path = checkpoint_path(self.name, kind)
        try:
            self._lock.check()
            checkpoint_format.write_content(path, checkpoint_format.checkpoint_content(*taken))
        except lock.InUseError:
            raise
        except Exception as error:  # a disk or a network can fail in many ways
            logger.error("Checkpoint %s could not be written (%s). Training continues.", path, error)
            return
        with self._guard:
            if self._unwritten.get(kind) is taken:  # there is no newer one
                del self._unwritten[kind]


def _is_of_another_run(path: str | Path, run: Mapping[str, Any] | None) -> bool:
    """Return True if there is a file of a run that is not this one, given as the state of its classifier.

    A file that cannot be read is of another one. The histories of two states of one run begin alike.
    """
    if run is None or not storage.exists(path):
        return storage.exists(path)
    try:
        stored = migrate(checkpoint_format.read_state(path)[0])
    except ValueError:
        return True
    histories = [(state["run"] or {}).get("history", []) for state in (stored, run)]
    pairs = list(zip(*histories, strict=False))
    if pairs:
        return any(one != other for one, other in pairs)
    return any(stored[name] != run[name] for name in ("layer_defs", "seed", "dropout_seed")) or not stored["run"]
