"""Training steps and losses computed in this process."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from arignote import engine
from arignote.data.loader import Batch, BatchRef, Loader
from arignote.nnets.network import Network
from arignote.nnets.train.executors.base import chunks
from arignote.nnets.updates import SGD


class LocalExecutor:
    """Computes whole minibatches in this process.

    Parameters
    ----------
    network : Network
    loader : Loader
    sgd : SGD, optional
        The update rule; not needed to evaluate or predict.
    train_loss : str, optional
        Name of the loss to train on.
    losses : sequence of str, optional
        Names of the losses to evaluate.
    """

    def __init__(
        self,
        network: Network,
        loader: Loader,
        sgd: SGD | None = None,
        train_loss: str | None = None,
        losses: Sequence[str] = (),
    ):
        self._network, self._loader, self._sgd = network, loader, sgd
        self._train_loss, self._losses = train_loss, tuple(losses)

    @property
    def chunk(self) -> int:
        return self._step.block_size

    def compile(self) -> None:
        _ = self._step, self._evaluate

    @cached_property
    def _step(self) -> Any:
        assert self._sgd is not None and self._train_loss is not None
        return self._network.compiled_step(self._sgd, self._train_loss)

    @cached_property
    def _evaluate(self) -> Any:
        return self._network.compiled_losses(self._losses)

    def load(self, refs: Sequence[BatchRef]) -> list[tuple]:
        return [(*self._read(ref), np.array([ref.epoch, ref.index, 0])) for ref in refs]

    def step(self, loaded: Sequence[tuple], hyper: Sequence[Sequence[float]]) -> list[float]:
        calls = [(*batch, *values) for batch, values in zip(loaded, hyper, strict=True)]
        return [float(loss) for loss in self._step.block(calls)]

    def evaluate(self, refs: Iterable[BatchRef]) -> Iterator[tuple[int, list[float]]]:
        evaluate = self._evaluate
        for chunk in chunks(refs, lambda: evaluate.block_size):
            batches = [self._read(ref) for ref in chunk]
            for batch, losses in zip(batches, evaluate.block([tuple(batch) for batch in batches]), strict=True):
                yield len(batch.X), [float(loss) for loss in losses]

    def predict(self, refs: Iterable[BatchRef]) -> Iterator[np.ndarray]:
        for ref in refs:
            yield self._network.predict_batch(self._loader.read(ref).X)

    def close(self) -> None:
        self._loader.close()

    def _read(self, ref: BatchRef) -> Batch:
        return self._loader.read(ref)


class DeviceExecutor(LocalExecutor):
    """As :class:`LocalExecutor`, on a device: data in memory are copied there once, and minibatches are row numbers."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._copies: dict[tuple, tuple] = {}

    def _read(self, ref: BatchRef) -> Batch:
        copies = self._copied(ref.split) if self._loader.is_static(ref.split) else (None,)
        if any(copy is None for copy in copies):
            return super()._read(ref)
        rows = self._loader.row_numbers(ref) - self._loader.splits[ref.split].start
        X, y = (engine.Rows(copy, rows) for copy in copies)
        return Batch(X, y)

    def _copied(self, split: str) -> tuple:
        """Return the features and labels of a split on the device; None for one that is too large to be kept there."""
        data = self._loader.splits[split]
        key = id(data.features), id(data.labels), data.start, data.stop  # two splits may have the same rows
        if key not in self._copies:
            self._copies[key] = tuple(engine.resident(array) for array in self._loader.whole(split))
        return self._copies[key]
