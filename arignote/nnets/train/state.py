"""The state of a training run.

Every piece of it is data: the settings, the progress, the history, the schedules and arrays of the optimizer. With
the state and the data, a run can be resumed. :class:`~arignote.checkpoint.state.RunState` lists what is stored.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from arignote import engine
from arignote.checkpoint.state import PlainState, RunState, require
from arignote.data.dataset import Data
from arignote.data.loader import Loader, evaluated
from arignote.nnets.network import Network
from arignote.nnets.train.executors.base import mean_losses
from arignote.nnets.train.executors.local import LocalExecutor
from arignote.nnets.updates import SGD
from arignote.util import checks
from arignote.util.checks import brief


class DivergedError(ArithmeticError):
    """The training loss, the validation loss or a parameter is no longer a finite number."""


@dataclass
class Settings(PlainState):
    """How to train: those arguments of `NNClassifier.fit` that are stored with a run."""

    n_epochs: int
    batch_size: int
    train_loss: str
    valid_loss: str
    test_loss: list[str] = field(default_factory=list)
    validation_frequency: int | None = None
    validate_on_train: bool = False
    checkpoint_all: bool = False
    shards: int = 1
    shard_threads: int = 1
    first_epoch: int = 0  # the number that augmentations get for it; 1 in new runs
    order: str = "legacy"  # of the training rows; see `arignote.nnets.train.inputs`
    functions: dict[str, str] = field(default_factory=dict)  # what they are called; see `resume.describe_functions`
    extra_metadata: dict[str, Any] = field(default_factory=dict)

    def check_for(self, network: Network) -> None:
        """Refuse settings that cannot be used, and bring the others into their plain form."""
        self.n_epochs = checks.whole_number(self.n_epochs, "n_epochs")
        self.batch_size = checks.whole_number(self.batch_size, "batch_size")
        self.train_loss = network.check_loss(self.train_loss, "train_loss", trained=True)
        self.valid_loss = network.check_loss(self.valid_loss, "valid_loss")
        self.test_loss = [network.check_loss(name, "test_loss") for name in self.test_loss]
        if self.validation_frequency is not None:
            self.validation_frequency = checks.whole_number(self.validation_frequency, "validation_frequency")
        self.validate_on_train = bool(self.validate_on_train)
        self.shards = checks.whole_number(self.shards, "shards")
        self.checkpoint_all = bool(self.checkpoint_all)

    @property
    def reported_losses(self) -> list[str]:
        """The losses of the deterministic network that validations need, each once."""
        return list(dict.fromkeys([self.valid_loss, *self.test_loss]))


@dataclass
class Progress(PlainState):
    """How far training has come, between two minibatches.

    Attributes
    ----------
    epoch, batch : int
        The next minibatch is number `batch` of epoch `epoch`, both counted from 0.
    n_rows : int
        Number of rows of training data.
    n_examples : int
        Examples trained on so far, counting each as often as it was used.
    loss_sum, loss_examples : float, int
        Sum of the training loss over the examples since the last validation, and their number.
    seconds : float
        Time trained.
    best_loss : float
        Lowest validation loss so far.
    best_epoch : float
        When it was reached, in epochs.
    validation_is_due : bool
        True from the minibatch that completes a round to the end of the validation that follows.
    epoch_end_is_due : bool
        True from an epoch's last minibatch until ``on_epoch_end`` of the callbacks.
    """

    epoch: int = 0
    batch: int = 0
    n_rows: int = 0
    n_examples: int = 0
    loss_sum: float = 0.0
    loss_examples: int = 0
    seconds: float = 0.0
    best_loss: float = float("inf")
    best_epoch: float = 0.0
    validation_is_due: bool = False
    epoch_end_is_due: bool = False

    def check(self) -> None:
        counts = (self.epoch, self.batch, self.n_rows, self.n_examples, self.loss_examples, self.best_epoch)
        require(min(counts) >= 0, "a negative count", "0 or more")
        require(0 <= self.seconds < float("inf"), f"{self.seconds} seconds", "0 or more")
        require(self.loss_examples > 0 or not self.validation_is_due, "a validation of nothing", "examples before it")


class ActiveRun(Protocol):
    """What a `Trainer` needs of the run in progress."""

    def callback_states(self) -> dict[str, dict[str, Any]]:
        """Return the current state of each callback, by its name."""

    def stop(self, reason: str) -> None:
        """End the run after the current minibatch."""


class Trainer:
    """The training run of a network: all its state, and nothing that is needed only while it runs.

    Parameters
    ----------
    network : Network
    settings : Settings
    sgd : SGD
    seed : int
        Of shuffling and augmentation.

    Attributes
    ----------
    progress : Progress
    history : list of dict
        One entry for each validation: "epoch" (a fraction inside an epoch), "examples", "learning_rate", "momentum",
        "train_nll" (the mean of the training loss since the entry before, named after the loss), "valid_nll", and
        "test_error" and so on whenever the validation loss was a new best.
    best_params : dict of str to array, or None
        The parameters with the best validation loss so far.
    last_params : dict of str to array, or None
        The parameters to resume from, where the network was given the best ones instead.
    callback_states : dict of str to dict
        The stored state of each callback, by its name.
    data : dict of str to dict
        The fingerprint of the data of each split.
    environment : dict of str to str
        Threads, versions and kernels that it was last trained with; empty if it was not.
    n_batches : int
        Minibatches in an epoch, once there are data.
    checkpoints_written : int
        Checkpoints that this program has begun to write.
    stopped_by : str or None
        What ended the last call of `fit` early: "Ctrl-C", "SIGTERM", or a reason in words.
    run : ActiveRun or None
        The run in progress, inside `fit`.
    """

    def __init__(self, network: Network, settings: Settings, sgd: SGD, seed: int):
        self.network = network
        self.settings = settings
        self.sgd = sgd
        self.seed = seed
        self.progress = Progress()
        self.history: list[dict[str, float]] = []
        self.best_params: dict[str, np.ndarray] | None = None
        self.last_params: dict[str, np.ndarray] | None = None
        self.callback_states: dict[str, dict[str, Any]] = {}
        self.data: dict[str, dict[str, Any]] = {}
        self.environment: dict[str, str] = {}
        self.n_batches = self.checkpoints_written = 0
        self.stopped_by: str | None = None
        self.run: ActiveRun | None = None
        self.lock = threading.RLock()

    # -- what is stored ----------------------------------------------------------------------------------------------

    def get_state(self) -> RunState:
        """Return everything that training depends on but the data and the parameters, as plain data."""
        with self.lock:
            return RunState(
                settings=asdict(self.settings),
                progress=asdict(self.progress),
                sgd=self.sgd.get_state(),
                history=[dict(entry) for entry in self.history],
                best_params=self.best_params,
                last_params=self.last_params,
                callbacks=self.callback_states if self.run is None else self.run.callback_states(),
                data={name: dict(found) for name, found in self.data.items()},
                environment=dict(self.environment),
            )

    @classmethod
    def from_state(cls, state: RunState, network: Network, seed: int) -> "Trainer":
        """Restore a training run; refuse arrays that do not fit the network."""
        sgd = SGD.from_state(state.sgd)
        sgd.arrays = _fitting_arrays(sgd, network)
        for values in (state.best_params, state.last_params):
            network.require_values(values or {}, "the stored training")
            missing = set(network.params) - set(values or network.params)
            require(not missing, f"parameters without {brief(sorted(missing))}", "all of them")
        settings = Settings.from_plain(state.settings)
        settings.check_for(network)
        trainer = cls(network, settings, sgd, seed)
        trainer.progress = Progress.from_plain(state.progress)
        trainer.history = [dict(entry) for entry in state.history]
        trainer.best_params = state.best_params
        trainer.last_params = state.last_params
        trainer.callback_states = {name: dict(entries) for name, entries in state.callbacks.items()}
        trainer.data = {name: dict(found) for name, found in state.data.items()}
        trainer.environment = dict(state.environment)
        return trainer

    def forget_best(self) -> None:
        """Forget the best parameters, when the network got others: a better loss than theirs says nothing of these."""
        self.best_params = self.last_params = None
        self.progress.best_loss, self.progress.best_epoch = float("inf"), 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold training between two minibatches while this block runs, so that the state is consistent."""
        with self.lock:
            yield

    def require_fitting(self, loader: Loader) -> None:
        """Refuse training data that end before the minibatch to resume at."""
        n_rows, n_batches = loader.splits["train"].n_rows, loader.n_batches("train")
        if not self.data and self.progress.batch > 0 and self.progress.n_rows != n_rows:
            raise ValueError(
                f"got {n_rows} rows of training data; need the {self.progress.n_rows} that this training was "
                f"stopped on, in the middle of epoch {self.progress.epoch + 1}; try the same data"
            )
        if self.progress.batch >= n_batches:
            raise ValueError(
                f"got training data with {n_batches} minibatches in an epoch; need more than the {self.progress.batch} "
                f"that this training has done of epoch {self.progress.epoch + 1}; try the same data"
            )

    # -- what users read ---------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """True if all epochs asked for are done."""
        return self.progress.epoch >= self.settings.n_epochs

    @property
    def position(self) -> str:
        """How far training has come, in words."""
        progress = self.progress
        within = f" and {progress.batch} minibatches" * (progress.batch > 0)
        return f"after {progress.epoch} epochs{within}"

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Return one of the loss histories, e.g. "valid_nll": epochs, and losses."""
        points = [(entry["epoch"], entry[name]) for entry in self.history if name in entry]
        return [epoch for epoch, _ in points], [loss for _, loss in points]

    def evaluate(self, data: Data) -> dict[str, float]:
        """Return the mean losses of the deterministic network over all rows of `data`."""
        names = self.settings.reported_losses
        loader = Loader({"data": evaluated(data)}, self.settings.batch_size, self.seed, self.network)
        with closing(LocalExecutor(self.network, loader, losses=names)) as executor:
            return mean_losses(executor, loader.refs("data"), names)

    def stop(self, reason: str) -> None:
        """Ask the run in progress to stop, as by Ctrl-C: for callbacks."""
        if self.run is not None:
            self.run.stop(reason)

    # -- the names of the first Arignote -------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Number of epochs that are complete."""
        return self.progress.epoch

    @property
    def iter(self) -> int:
        """Number of minibatches trained on."""
        return self._minibatches(self.progress.epoch) + self.progress.batch

    @property
    def examples_seen(self) -> int:
        """Number of rows trained on."""
        return self.progress.n_examples

    @property
    def time_training(self) -> float:
        """Seconds."""
        return self.progress.seconds

    @property
    def train_loss(self) -> list[tuple[int, float]]:
        """Pairs of the number of a minibatch, from 0, and the mean training loss since the pair before."""
        return self._losses(f"train_{self.settings.train_loss}")

    @property
    def valid_loss(self) -> list[tuple[int, float]]:
        """Pairs of the number of a minibatch, from 0, and the validation loss after it."""
        return self._losses(f"valid_{self.settings.valid_loss}")

    @property
    def test_loss(self) -> list[tuple[int, float | dict[str, float]]]:
        """Pairs of the number of a minibatch, from 0, and the test loss after it, or several in a dictionary."""
        names = self.settings.test_loss
        if len(names) == 1:
            return self._losses(f"test_{names[0]}")  # type: ignore[return-value]
        entries = [entry for entry in self.history if f"test_{names[0]}" in entry] if names else []
        return [(self._number(entry), {name: entry[f"test_{name}"] for name in names}) for entry in entries]

    @property
    def train_valid_loss(self) -> list[tuple[int, float]]:
        """As `valid_loss`, over the training data: with ``validate_on_train=True``."""
        return self._losses(f"train_deterministic_{self.settings.valid_loss}")

    @property
    def best_validation_loss(self) -> float:
        """The lowest validation loss so far."""
        return self.progress.best_loss

    @property
    def last_validation_loss(self) -> float | None:
        """The newest validation loss; None before the first."""
        return self.valid_loss[-1][1] if self.valid_loss else None

    def _losses(self, name: str) -> list[tuple[int, float]]:
        return [(self._number(entry), entry[name]) for entry in self.history if name in entry]

    def _number(self, entry: Mapping[str, float]) -> int:
        """Return the number of the minibatch, from 0, after which there was a validation."""
        return round(self._minibatches(entry["epoch"])) - 1

    def _minibatches(self, epochs: Any) -> Any:
        """Return the number of minibatches in some epochs."""
        return epochs * (self.n_batches or -(-self.progress.n_rows // self.settings.batch_size))


def _fitting_arrays(sgd: SGD, network: Network) -> dict[str, Any]:
    """Return the arrays of a stored optimizer in the network's precision; refuse any that do not fit it.

    Those of a rule that knows nothing yet are missing altogether, and start at zero.
    """
    found = {}
    for name, variable in sgd.arrays.items():
        kind, _, param = name.partition(" ")
        require(kind in sgd.update_rule.arrays, f"the array {brief(name)} of the optimizer", f"those of {sgd.sgd_type}")
        value = variable.get_value(borrow=True)
        network.require_values({param: value}, f"the stored array {name!r}")
        found[name] = engine.shared(np.asarray(value, dtype=network.params[param].dtype), name=name)
    needed = {f"{kind} {param.name}" for kind in sgd.update_rule.arrays for param in network.trainable}
    missing = needed - set(found) if found else set()
    require(not missing, f"an optimizer without {brief(sorted(missing))}", "its arrays for all parameters")
    return found
