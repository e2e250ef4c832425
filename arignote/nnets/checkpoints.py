"""The files of a training run, written beside the training."""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from arignote.data import files, storage
from arignote.util import checks

logger = logging.getLogger(__name__)


class Checkpoints:
    """The files of one training run: ``NAME_last``, ``NAME_best_model``, ``NAME_epoch3``, each .pkl.gz.

    The state is taken when `write` is called; a thread packs it and brings it to the disk while training goes on. A
    file that cannot be written is reported, and tried again before the next one.

    Parameters
    ----------
    name : str or Path
        ``DIR/STEM``, or an address such as ``s3://bucket/run/STEM``.
    metadata : dict
        Stored with each file.
    seconds : float, optional
        Within an epoch, write after this long. By default a minute.
    batches : int, optional
        Within an epoch, write after this many minibatches.

    Raises
    ------
    OSError
        If no file can be written there.
    ValueError
        If the metadata are more than plain data, or an interval is no number.
    """

    def __init__(
        self, name: str | Path, metadata: Mapping[str, Any], seconds: float | None = 60.0, batches: int | None = None
    ):
        self.name = name
        self.metadata = files.plain_metadata(metadata)
        self._seconds = None if seconds is None else checks.number(seconds, "checkpoint_seconds", least=0)
        self._batches = None if batches is None else checks.whole_number(batches, "checkpoint_batches")
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="arignote-checkpoint")
        self._writing: Future | None = None
        self._unwritten: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._at, self._batches_since = time.monotonic(), 0
        try:
            for kind in ("last", "best_model"):
                storage.require_writable(files.checkpoint_path(name, kind))
        except OSError as error:
            raise OSError(
                f"got checkpoint={str(name)!r}, and no file can be written there ({error}); "
                "need a place for checkpoints; try another"
            ) from error

    @property
    def batches_left(self) -> int | None:
        """After how many more minibatches to write within the epoch, or None if their number does not matter."""
        return None if self._batches is None else self._batches - self._batches_since

    def is_due(self, n_batches: int) -> bool:
        """Count minibatches, and say whether it is time to write within the epoch."""
        self._batches_since += n_batches
        if self._batches is not None and self._batches_since >= self._batches:
            return True
        return self._seconds is not None and time.monotonic() - self._at >= self._seconds

    def exists(self, kind: str) -> bool:
        """Say whether there is a file of this kind."""
        return storage.exists(files.checkpoint_path(self.name, kind))

    def warn_of_replacing(self) -> None:
        """Say so if there are checkpoints of another training here, which this one will replace."""
        if self.exists("last"):
            path, name = files.checkpoint_path(self.name), str(self.name)
            logger.warning(
                "A new training replaces the checkpoint %s, which is kept as the previous one for now; "
                "files.checkpoint_read(%r) would go on with it.", path, name,
            )  # fmt: skip

    def write(self, kind: str, model: Any) -> None:
        """Take the model's present state, and write it to one of the files in the background."""
        if kind == "last":
            self._at, self._batches_since = time.monotonic(), 0
        taken = files.take_state(model, self.metadata)
        if self._writing is not None:
            self._writing.result()  # never more than one is under way
        self._writing = self._executor.submit(self._write, kind, taken)

    def finish(self) -> None:
        """Wait until all is written."""
        self._executor.shutdown()
        if self._unwritten:
            logger.error("Not written: %s. Earlier files of that name are as they were.", ", ".join(self._unwritten))

    def _write(self, kind: str, taken: tuple[dict[str, Any], bytes]) -> None:
        self._unwritten[kind] = taken
        for pending in list(self._unwritten):
            path = files.checkpoint_path(self.name, pending)
            try:
                files.write_content(path, files.checkpoint_content(*self._unwritten[pending]))
                del self._unwritten[pending]
            except Exception as error:  # whatever a disk or a network can come up with
                logger.error("Checkpoint %s could not be written (%s). Training goes on.", path, error)
