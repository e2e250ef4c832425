"""Minibatches cut into shards, whose gradients are added up in a fixed order.

The gradient of a shard is a function of the parameters, its rows, the seed and the position (epoch, batch, shard),
and of nothing else; dropout and augmentation are keyed by that position. Gradients are added up as a binary tree over
all shards: ``(g0 + g1) + (g2 + g3)``. So the result is the same to the bit whether one process computes all shards,
or many machines share them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import numpy as np

from arignote import engine, native
from arignote.data.loader import Batch, BatchRef, Loader, shard_rows
from arignote.engine import tensor
from arignote.nnets.network import Network
from arignote.nnets.updates import SGD

Key = tuple[int, int]
"""A partial sum of the tree: its level, from 0 for single shards, and its number within the level."""
PartialSums = dict[Key, np.ndarray | None]


def n_levels(n_shards: int) -> int:
    """Return the number of the level at the root of the tree.

    Examples
    --------
    >>> [n_levels(n) for n in (1, 2, 3, 4, 8)]
    [0, 1, 2, 2, 3]
    """
    return (n_shards - 1).bit_length()


def merge(sums: PartialSums, n_shards: int) -> PartialSums:
    """Add up neighbours of the tree as far as both are known. None stands for shards without rows.

    Examples
    --------
    >>> one = np.ones(1)
    >>> merge({(0, 0): one, (0, 1): one, (0, 3): one}, n_shards=4)
    {(0, 3): array([1.]), (1, 0): array([2.])}
    """
    merged: PartialSums = {}
    known = dict(sums)
    for level in range(n_levels(n_shards) + 1):
        indices = sorted(index for at, index in known if at == level)
        n_indices = -(-n_shards // 2**level)
        for index in indices:
            value = known.get((level, index))
            other = index ^ 1
            if level == n_levels(n_shards) or (other < n_indices and (level, other) not in known):
                merged[level, index] = value
            elif index % 2 == 0:
                known[level + 1, index // 2] = _sum(value, known.get((level, other)))
    return merged


def _sum(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


class ShardComputer:
    """Computes shards, and the losses and outputs of whole minibatches, in this process.

    Parameters
    ----------
    network : Network
    loader : Loader
    n_shards : int
        The parts that a minibatch of training is cut into.
    train_loss : str, optional
        Name of the loss to train on; not needed to evaluate or predict.
    losses : sequence of str, optional
        Names of the losses to evaluate.
    """

    def __init__(
        self, network: Network, loader: Loader, n_shards: int, train_loss: str | None = None, losses: Sequence[str] = ()
    ):
        self.network, self.loader, self.n_shards = network, loader, n_shards
        self._train_loss, self._losses = train_loss, tuple(losses)

    def compile(self) -> None:
        """Compile what training needs."""
        if self._train_loss is not None:
            _ = self._gradient, self.network.compiled_losses(self._losses)

    @cached_property
    def _gradient(self):
        """Compiled: the loss, the gradients and the new values of buffers for a shard, each times its weight."""
        network = self.network
        assert self._train_loss is not None
        weight = tensor.scalar("weight", dtype=engine.float_type())
        loss = weight * network.loss(self._train_loss, training=True)
        gradients = engine.grad(loss, network.trainable, disconnected_inputs="ignore")
        buffers = [weight * value for _, value in network.buffer_updates()]
        inputs = [network.x, network.y, network.position, weight]
        return engine.function(inputs, [loss, *gradients, *buffers], on_unused_input="ignore")

    def load(self, ref: BatchRef, shards: Sequence[int]) -> dict[int, Batch | None]:
        """Read some shards of a minibatch."""
        return dict(zip(shards, self.loader.read_shards(ref, tuple(shards), self.n_shards), strict=True))

    def partial_sums(self, ref: BatchRef, batches: Mapping[int, Batch | None]) -> PartialSums:
        """Return what some shards contribute to a training step, added up as far as the tree allows.

        Each value is a vector: the gradients of all trainable parameters, the new values of all buffers, and the loss.
        A shard counts by its part of the rows of the minibatch.
        """
        sums: PartialSums = {}
        for shard, batch in batches.items():
            sums[0, shard] = None
            if batch is not None:
                first, last = shard_rows(ref.n_rows, shard, self.n_shards)
                weight = (last - first) / ref.n_rows
                loss, *others = self._gradient(batch.X, batch.y, np.array([ref.epoch, ref.index, shard]), weight)
                sums[0, shard] = np.concatenate([np.ravel(part) for part in (*others, loss)])
        return merge(sums, self.n_shards)

    def losses(self, ref: BatchRef) -> tuple[int, list[float]]:
        """Return the number of rows of a whole minibatch, and the losses of the deterministic network on it."""
        batch = self.loader.read(ref)
        return len(batch.X), [float(loss) for loss in self.network.compiled_losses(self._losses)(*batch)]

    def output(self, ref: BatchRef) -> np.ndarray:
        """Return the output of the deterministic network for a whole minibatch."""
        return self.network.predict_batch(self.loader.read(ref).X)

    def close(self) -> None:
        """Close the files."""
        self.loader.close()


class ShardedExecutor:
    """Cuts minibatches into shards, computes them in this process, and takes the steps.

    Parameters
    ----------
    network : Network
    loader : Loader
    sgd : SGD
    train_loss : str
    losses : sequence of str
        Names of the losses to evaluate.
    n_shards : int
    threads : int, optional
        Threads to compute in, by default 1: the same as those of workers, for the same bytes.
    """

    chunk = 1

    def __init__(
        self,
        network: Network,
        loader: Loader,
        sgd: SGD,
        train_loss: str,
        losses: Sequence[str],
        n_shards: int,
        threads: int = 1,
    ):
        self._network, self._loader, self._sgd, self._n_shards = network, loader, sgd, n_shards
        self._computer = ShardComputer(network, loader, n_shards, train_loss, losses)
        self._open = ExitStack()
        self._open.callback(loader.close)
        if network is not None:  # there is something to compute
            self._open.enter_context(native.using_threads(threads))

    def compile(self) -> None:
        _ = self._update
        self._computer.compile()

    @cached_property
    def _update(self):
        """Compiled: a function of all gradients and new values of buffers that updates parameters and buffers."""
        network, sgd = self._network, self._sgd
        params, buffers = network.trainable, [buffer for buffer, _ in network.buffer_updates()]
        gradients, values = ([_symbol_like(variable) for variable in group] for group in (params, buffers))
        full = gradients
        penalty = network.penalty()
        if not isinstance(penalty, int | float):
            extra = engine.grad(penalty, params, disconnected_inputs="ignore")
            full = [gradient + more for gradient, more in zip(gradients, extra, strict=True)]
        updates = sgd.updates_from(full, params, network.constrain, network.decay)
        updates += list(zip(buffers, values, strict=True))
        inputs = [*gradients, *values, *sgd.inputs]
        return engine.function(inputs, [], updates=updates, on_unused_input="ignore")

    @cached_property
    def _parts(self) -> list[tuple[slice, tuple[int, ...]]]:
        """Where each gradient and each value of a buffer lies in the vector of a step, and its shape."""
        variables = [*self._network.trainable, *(buffer for buffer, _ in self._network.buffer_updates())]
        parts, first = [], 0
        for variable in variables:
            shape = variable.get_value(borrow=True).shape
            parts.append((slice(first, first + math.prod(shape)), shape))
            first += math.prod(shape)
        return parts

    def load(self, refs: Sequence[BatchRef]) -> Sequence[Any]:
        return [(ref, self._computer.load(ref, range(self._n_shards))) for ref in refs]

    def step(self, loaded: Sequence[Any], hyper: Sequence[Sequence[float]]) -> list[float]:
        return [self._step(each, values) for each, values in zip(loaded, hyper, strict=True)]

    def _step(self, loaded: Any, hyper: Sequence[float]) -> float:
        total = self._total(loaded)
        self._update(*(total[where].reshape(shape) for where, shape in self._parts), *hyper)
        return float(total[-1])

    def _total(self, loaded: Any) -> np.ndarray:
        """Return what all shards together contribute to a training step; see :meth:`ShardComputer.partial_sums`."""
        (total,) = self._computer.partial_sums(*loaded).values()
        assert total is not None  # a minibatch has rows
        return total

    def evaluate(self, refs: Iterable[BatchRef]) -> Iterator[tuple[int, list[float]]]:
        return map(self._computer.losses, refs)

    def predict(self, refs: Iterable[BatchRef]) -> Iterator[np.ndarray]:
        return map(self._computer.output, refs)

    def close(self) -> None:
        self._open.close()


def _symbol_like(variable):
    """Return a symbolic array of the dtype and number of axes of a shared variable."""
    return tensor.TensorType(variable.dtype, (False,) * variable.ndim)(f"new {variable.name}")
