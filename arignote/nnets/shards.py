"""Training in shards: the work on a minibatch, cut into parts that do not know who computes them.

A minibatch is cut into a fixed number of shards. The gradient of a shard is a function of the parameters, its rows, the
seed and the position (epoch, batch, shard), and of nothing else; dropout and augmentation are keyed by that position.
Gradients are added up as a binary tree over all shards, whoever holds them: ``(g0 + g1) + (g2 + g3)``. So what comes
out is the same to the bit, whether one process computes all shards or many machines share them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from arignote import engine
from arignote.data.readers import Data
from arignote.engine import tensor
from arignote.nnets.inputs import require_finite
from arignote.nnets.network import Network
from arignote.nnets.sgd_updates import SGD
from arignote.util import checks, streams

Node = tuple[int, int]
"""Part of the tree: a level, from 0 for single shards, and a number in it."""


@dataclass(frozen=True)
class Place:
    """A minibatch by its place, in lieu of its rows: whoever computes reads them."""

    part: str
    epoch: int
    batch: int
    n_rows: int

    def __len__(self) -> int:
        return self.n_rows


def n_levels(n_shards: int) -> int:
    """Return the number of the level at the root of the tree.

    Examples
    --------
    >>> [n_levels(n) for n in (1, 2, 3, 4, 8)]
    [0, 1, 2, 2, 3]
    """
    return (n_shards - 1).bit_length()


def merge(nodes: Mapping[Node, np.ndarray | None], n_shards: int) -> dict[Node, np.ndarray | None]:
    """Add up neighbours as far as both are there. None stands for shards without rows.

    Examples
    --------
    >>> one = np.ones(1)
    >>> merge({(0, 0): one, (0, 1): one, (0, 3): one}, n_shards=4)
    {(0, 3): array([1.]), (1, 0): array([2.])}
    """
    merged: dict[Node, np.ndarray | None] = {}
    left = dict(nodes)
    for level in range(n_levels(n_shards) + 1):
        here = sorted(index for at, index in left if at == level)
        n_here = -(-n_shards // 2**level)
        for index in here:
            value = left.get((level, index))
            other = index ^ 1
            if level == n_levels(n_shards) or (other < n_here and (level, other) not in left):
                merged[level, index] = value
            elif index % 2 == 0:
                left[level + 1, index // 2] = _sum(value, left.get((level, other)))
    return merged


def _sum(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


class ShardReader:
    """Reads the rows of shards, and of no others.

    Parameters
    ----------
    data : Data
    network : Network or None
        What they are prepared for.
    batch_size, n_shards, seed : int
    augment : callable, optional
        ``augment(X, y, epoch, batch, shard)`` returns what to use instead of a shard.
    """

    def __init__(
        self,
        data: Data,
        network: Network | None,
        batch_size: int,
        n_shards: int,
        seed: int,
        augment: Callable | None = None,
    ):
        self.data, self.network, self.batch_size, self.n_shards = data, network, batch_size, n_shards
        self.seed, self.augment = seed, augment
        self._open = ExitStack()
        self._reads: dict[int, Callable[[int, int], np.ndarray]] = {}

    def close(self) -> None:
        """Close the files."""
        self._open.close()
        self._reads.clear()

    def read(self, epoch: int, batch: int, shard: int) -> tuple[Any, Any] | None:
        """Return features and labels of a shard, ready for the network; None if it has no rows.

        Without a network they are as the data have them; where there are no labels, None stands for them.
        """
        start = batch * self.batch_size
        n = min(self.batch_size, self.data.n_rows - start)
        first, last = (start + n * i // self.n_shards for i in (shard, shard + 1))
        if first == last:
            return None
        data = self.data
        rows = data.positions(first, last, epoch, self.seed)
        X = self._take(data.features, rows)
        X = X if data.alter_features is None else data.alter_features(X)
        y = None if data.labels is None else self._take(data.labels, rows)
        y = y if data.alter_labels is None or y is None else data.alter_labels(y)
        if self.network is None:
            return X, y
        try:
            require_finite(X, 0)
            X, y = self._prepared(X, y)
        except ValueError as error:
            raise ValueError(f"rows {rows.min()} to {rows.max()} of {data.features}: {error}") from None
        if self.augment is not None:
            X, y = self._prepared(*self.augment(X, y, epoch, batch, shard))
        return X, y

    def _prepared(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return a shard as the network takes it."""
        network = self.network
        assert network is not None
        return network.prepare_features(X), None if y is None else network.output_layer.prepare_labels(y)

    def _take(self, reader: Any, rows: np.ndarray) -> np.ndarray:
        """Return rows of a reader, in this order; where it can only read on, run by run."""
        if hasattr(reader, "take"):
            return np.asarray(reader.take(rows))
        read = self._reads.get(id(reader))
        if read is None:
            read = self._reads[id(reader)] = self._open.enter_context(reader.opened())
        order = np.argsort(rows, kind="stable")
        runs = np.split(rows[order], np.flatnonzero(np.diff(rows[order]) != 1) + 1)
        lying = np.concatenate([np.asarray(read(int(run[0]), int(run[-1]) + 1)) for run in runs])
        taken = np.empty_like(lying)
        taken[order] = lying
        return taken


class Gradients:
    """The gradient of a shard, compiled.

    Parameters
    ----------
    network : Network
    train_loss : str
    """

    def __init__(self, network: Network, train_loss: str):
        self.network = network
        weight = tensor.scalar("weight", dtype=engine.float_type())
        loss = weight * network.loss(train_loss, training=True)
        params = [network.params[name] for name in network.trainable]
        gradients = engine.grad(loss, params, disconnected_inputs="ignore")
        inputs = [network.x, network.y, network.position, weight]
        self._compiled = engine.function(inputs, [loss, *gradients], on_unused_input="ignore")

    def of(self, X: np.ndarray, y: np.ndarray, position: tuple[int, int, int], weight: float) -> np.ndarray:
        """Return the gradient as one vector, with the loss at its end; both are `weight` times those of the mean."""
        loss, *gradients = self._compiled(X, y, np.array(position), weight)
        return np.concatenate([np.ravel(part) for part in (*gradients, loss)])

    def nodes(
        self, reader: ShardReader, epoch: int, batch: int, shards: Sequence[int], read: Callable | None = None
    ) -> dict[Node, np.ndarray | None]:
        """Return the gradients of some shards, added up as far as the tree allows."""
        n_rows = min(reader.batch_size, reader.data.n_rows - batch * reader.batch_size)
        nodes: dict[Node, np.ndarray | None] = {}
        for shard in shards:
            rows = (read or reader.read)(epoch, batch, shard)
            if rows is None:
                nodes[0, shard] = None
                continue
            X, y = rows
            nodes[0, shard] = self.of(X, y, (epoch, batch, shard), len(X) / n_rows)
        return merge(nodes, reader.n_shards)


def places(job: "Job", part: str, epoch: int = 0, first_batch: int = 0) -> Iterator[Place]:
    """Iterate over the minibatches of an epoch of one part, by their places."""
    data, size = job.parts[part], job.batch_size
    for batch in range(first_batch, data.n_batches(size)):
        yield Place(part, epoch, batch, min(size, data.n_rows - batch * size))


@dataclass
class Job:
    """What there is to compute: all that a process needs beside the network.

    Attributes
    ----------
    parts : dict of str to Data
        "train", and those to evaluate.
    batch_size, n_shards, seed : int
    train_loss : str
    losses : list of str
        Those of the deterministic network that validations need.
    augmentation : callable or None
        As ``fit`` takes it.
    """

    parts: dict[str, Data]
    batch_size: int
    n_shards: int = 1
    seed: int = 0
    train_loss: str = "nll"
    losses: Sequence[str] = ()
    augmentation: Callable | None = None


class Computer:
    """Computes shards and losses of a job in this process.

    Parameters
    ----------
    network : Network or None
        None if there is only data to prepare.
    job : Job
    """

    def __init__(self, network: Network | None, job: Job):
        self.network, self._job = network, job
        augment = None if job.augmentation is None else keyed_augmentation(job.augmentation, job.seed)
        self.n_shards = job.n_shards
        self.readers = {
            name: ShardReader(
                data,
                network,
                job.batch_size,
                n_shards=job.n_shards if name == "train" else 1,
                seed=job.seed,
                augment=augment if name == "train" else None,
            )
            for name, data in job.parts.items()
        }

    def compile(self) -> None:
        """Compile what training needs now, and not with the first minibatch."""
        if "train" in self.readers:
            _ = self._gradients, self._evaluate

    @cached_property
    def _gradients(self) -> Gradients:
        assert self.network is not None
        return Gradients(self.network, self._job.train_loss)

    @cached_property
    def _evaluate(self) -> Callable:
        assert self.network is not None
        return self.network.evaluator(self._job.losses)

    def nodes(self, place: Place, shards: Sequence[int], read: Callable | None = None) -> dict[Node, np.ndarray | None]:
        """Return the gradients of some shards of a minibatch, added up as far as the tree allows."""
        return self._gradients.nodes(self.readers[place.part], place.epoch, place.batch, shards, read)

    def losses(self, place: Place) -> list[float]:
        """Return the losses of the deterministic network on a whole minibatch."""
        return [float(loss) for loss in self._evaluate(*self.rows(place))]

    def probabilities(self, place: Place) -> np.ndarray:
        """Return the probabilities of each class, for a whole minibatch."""
        assert self.network is not None
        return self.network.predict_batch(self.rows(place)[0])

    def rows(self, place: Place) -> tuple[Any, Any]:
        """Return features and labels of a whole minibatch."""
        rows = self.readers[place.part].read(place.epoch, place.batch, 0)
        assert rows is not None  # a minibatch has rows
        return rows

    def close(self) -> None:
        """Close the files."""
        for reader in self.readers.values():
            reader.close()


class Executor(Protocol):
    """Who computes: this process, or a cluster."""

    n_workers: int

    def gradient(self, place: Place) -> np.ndarray:
        """Return the gradient of a minibatch as a vector, with its loss at the end."""

    def losses(self, places: Sequence[Place]) -> list[list[float]]:
        """Return the losses of the deterministic network on whole minibatches."""

    def close(self) -> None:
        """Let go of what is held."""


class Here:
    """Computes all shards in this process, one after the other."""

    n_workers = 1

    def __init__(self, network: Network, job: Job):
        self._computer = Computer(network, job)

    def gradient(self, place: Place) -> np.ndarray:
        (total,) = self._computer.nodes(place, range(self._computer.n_shards)).values()
        assert total is not None  # a minibatch has rows
        return total

    def losses(self, places: Sequence[Place]) -> list[list[float]]:
        return [self._computer.losses(place) for place in places]

    def close(self) -> None:
        self._computer.close()


class Update:
    """One step of training: the gradients of all shards, then the update rule, here.

    Stands in for the compiled step of a training without shards.
    """

    block_size = 1

    def __init__(self, network: Network, sgd: SGD, executor: Executor):
        self._executor = executor
        params = [network.params[name] for name in network.trainable]
        self._shapes = [param.get_value(borrow=True).shape for param in params]
        self._edges = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]
        types = [tensor.TensorType(param.dtype, (False,) * param.ndim) for param in params]
        gradients = [make(f"gradient {param.name}") for make, param in zip(types, params, strict=True)]
        penalty = network.penalty()
        full = gradients
        if not isinstance(penalty, int | float):
            extra = engine.grad(penalty, params, disconnected_inputs="ignore")
            full = [gradient + more for gradient, more in zip(gradients, extra, strict=True)]
        updates = sgd.updates_from(full, params, network.constrain, network.decay)
        self._compiled = engine.function([*gradients, *sgd.inputs], [], updates=updates, on_unused_input="ignore")

    def block(self, calls: Sequence[tuple]) -> list[float]:
        """Take steps: each call has the place of a minibatch, and the scalars that the update rule takes."""
        return [self._step(place, scalars) for place, _, _, *scalars in calls]

    def _step(self, place: Place, scalars: Sequence[float]) -> float:
        total = self._executor.gradient(place)
        parts = np.split(total[:-1], self._edges)
        gradients = [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
        self._compiled(*gradients, *scalars)
        return float(total[-1])


class Evaluation:
    """The losses of minibatches, as `Update` takes steps; several at a time where there are many to compute them."""

    def __init__(self, executor: Executor):
        self._executor = executor
        self.block_size = 4 * executor.n_workers

    def block(self, calls: Sequence[tuple]) -> list[list[float]]:
        """Return the losses of some places."""
        return self._executor.losses([place for place, _ in calls])


class Session:
    """A training in shards, for as long as it runs.

    Parameters
    ----------
    parts : dict of str to Data
        "train", and perhaps "valid" and "test".
    job : Job
        Its parts are filled in here.
    open_executor : callable
        ``open_executor(job)``.
    """

    def __init__(self, parts: Mapping[str, Data], job: Job, open_executor: Callable[[Job], Executor]):
        self._names = {id(data): name for name, data in parts.items()}
        self._job = job
        for name, data in parts.items():
            job.parts[f"all of {name}"] = data.replace(shuffle=False, allow_partial_batch=True)
        job.parts["train"] = parts["train"]
        self.executor = open_executor(job)

    def places(self, data: Data, epoch: int = 0, first_batch: int = 0, evaluated: bool = False) -> Iterator[tuple]:
        """Iterate over minibatches by their places: of an epoch of training, or of all rows, to be evaluated.

        They come as pairs, with nothing in lieu of labels.
        """
        name = self._names[id(data)]
        name = f"all of {name}" if evaluated else name
        return ((place, None) for place in places(self._job, name, epoch, first_batch))


def keyed_augmentation(function: Callable, seed: int) -> Callable:
    """Return ``augment(X, y, *position)``, which calls the user's function with a random generator of its own.

    Parameters
    ----------
    function : callable
        ``f(X, y, epoch, rng)`` or ``f(X, y)``, which return a pair, or ``f(X)``, which returns new features.
    seed : int
    """
    n_arguments = checks.n_positional(function, "augmentation")

    def augment(X: np.ndarray, y: np.ndarray, epoch: int, *rest: int) -> tuple[np.ndarray, np.ndarray]:
        if n_arguments == 1:
            return function(X), y
        if n_arguments == 2:
            return function(X, y)
        return function(X, y, epoch, streams.generator(seed, "augmentation", epoch, *rest))

    return augment
