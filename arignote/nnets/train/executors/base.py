"""The protocol of executors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from arignote.data.loader import BatchRef

T = TypeVar("T")


class Executor(Protocol):
    """Computes training steps, losses and predictions from positions of minibatches.

    Attributes
    ----------
    chunk : int
        How many training steps are worth handing over at once.
    """

    @property
    def chunk(self) -> int: ...

    def compile(self) -> None:
        """Compile all that training needs, instead of with the first minibatch."""

    def load(self, refs: Sequence[BatchRef]) -> Sequence[Any]:
        """Read what the next steps need, and return it for `step`. No parameter changes meanwhile."""

    def step(self, loaded: Sequence[Any], hyper: Sequence[Sequence[float]]) -> list[float]:
        """Train on minibatches, one after another; return the training loss of each.

        Parameters
        ----------
        loaded : sequence
            What `load` returned for the minibatches.
        hyper : sequence of sequence of float
            Learning rate, momentum and number of the update, for each of them.
        """

    def evaluate(self, refs: Iterable[BatchRef]) -> Iterator[tuple[int, list[float]]]:
        """Iterate over the numbers of rows and the losses of the deterministic network on minibatches, in order.

        There are other numbers of rows than those of the positions where ``alter_features`` leaves rows out.
        """

    def predict(self, refs: Iterable[BatchRef]) -> Iterator[np.ndarray]:
        """Iterate over the outputs of the deterministic network for minibatches, in order."""

    def close(self) -> None:
        """Release files, threads and workers."""


def chunks(items: Iterable[T], size: Callable[[], int]) -> Iterator[list[T]]:
    """Iterate over successive lists of items; `size` is asked for the length of each.

    Examples
    --------
    >>> list(chunks(range(5), lambda: 2))
    [[0, 1], [2, 3], [4]]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, size())):
        yield chunk


def mean_losses(
    executor: Executor, refs: Iterable[BatchRef], names: Sequence[str], interrupt: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Return the mean over all rows of the losses that an executor evaluates.

    Parameters
    ----------
    executor : Executor
    refs : iterable of BatchRef
    names : sequence of str
        Names of the losses.
    interrupt : callable, optional
        Called between minibatches; it may raise.
    """
    sums, n_rows = np.zeros(len(names)), 0
    for n, losses in executor.evaluate(refs):
        interrupt()
        sums += n * np.array(losses, dtype=np.float64)
        n_rows += n
    return dict(zip(names, (sums / n_rows).tolist(), strict=True))
