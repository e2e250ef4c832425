"""Training: epoch after epoch, minibatch after minibatch, with validations and checkpoints in between.

Every piece of the state of a training run is data: where it stands, what it has seen, what its rules and its update
rule keep. Whoever has the state and the data can go on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from arignote import engine, native
from arignote.data.prefetch import Prefetcher
from arignote.data.reader import closing
from arignote.data.readers import Data
from arignote.nnets import shards
from arignote.nnets.checkpoints import Checkpoints
from arignote.nnets.hooks import Hook, Hooks
from arignote.nnets.inputs import Inputs, Resident, training_batches
from arignote.nnets.interrupt import Stopped, StopRequest
from arignote.nnets.network import Network
from arignote.nnets.sgd_updates import SGD
from arignote.nnets.shards import keyed_augmentation
from arignote.util import checks

logger = logging.getLogger(__name__)


class DivergedError(ArithmeticError):
    """The training loss, the validation loss or a parameter is no longer a finite number."""


@dataclass
class Settings:
    """How to train: those arguments of `NNClassifier.fit` that are stored with a training run."""

    n_epochs: int
    batch_size: int
    train_loss: str = "nll"
    valid_loss: str = "nll"
    test_loss: list[str] = field(default_factory=lambda: ["error", "nll"])
    validation_frequency: int | None = None
    validate_on_train: bool = False
    checkpoint_all: bool = False
    shards: int = 1
    shard_threads: int = 1
    extra_metadata: dict[str, Any] = field(default_factory=dict)

    def check(self, network: Network) -> None:
        """Refuse what cannot be done, and bring the rest into its plain form."""
        self.n_epochs = checks.whole_number(self.n_epochs, "n_epochs")
        self.batch_size = checks.whole_number(self.batch_size, "batch_size")
        self.train_loss = network.check_loss(self.train_loss, "train_loss")
        if self.train_loss == "error":
            raise ValueError('got train_loss="error", which has no gradient; need a smooth loss; try train_loss="nll"')
        self.valid_loss = network.check_loss(self.valid_loss, "valid_loss")
        self.test_loss = [network.check_loss(name, "test_loss") for name in self.test_loss]
        if self.validation_frequency is not None:
            self.validation_frequency = checks.whole_number(self.validation_frequency, "validation_frequency")
        self.validate_on_train = bool(self.validate_on_train)
        self.shards = checks.whole_number(self.shards, "shards")
        self.checkpoint_all = bool(self.checkpoint_all)


@dataclass
class Progress:
    """Where training stands, at the edge between two minibatches.

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
        True from an epoch's last minibatch until the hooks have been told of its end.
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


class Trainer:
    """The training of one network: its state, and the loop.

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
    stopped_by : str or None
        Who or what ended the last call of `run` early: "Ctrl-C", "SIGTERM", or a reason in words.
    n_batches : int
        Minibatches in an epoch, once there are data.
    history : list of dict
        One entry for each validation: "epoch" (a fraction inside an epoch), "examples", "learning_rate", "momentum",
        "train_nll" (the mean of the training loss since the entry before, named after the loss), "valid_nll", and
        "test_error" and so on whenever the validation loss was a new best.
    best_params : dict of str to array, or None
        The parameters with the best validation loss so far.
    last_params : dict of str to array, or None
        The parameters that training goes on from, where the network was given the best ones instead.
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
        self.n_batches = 0
        self.prefetch = 2
        self.hooks = Hooks([], None, {})
        self.stopped_by: str | None = None
        self._stop_request: StopRequest | None = None
        self._lock = threading.RLock()
        self._resident = Resident()
        self._session: shards.Session | None = None
        self._step: Any = None  # both Compiled, or what stands in for it
        self._evaluate: Any = None

    # -- state -------------------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return everything that training depends on but the data and the parameters, as plain data."""
        return {
            "settings": asdict(self.settings),
            "progress": asdict(self.progress),
            "sgd": self.sgd.get_state(),
            "history": [dict(entry) for entry in self.history],
            "best_params": self.best_params,
            "last_params": self.last_params,
            "hooks": self.hooks.get_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], network: Network, seed: int) -> "Trainer":
        """Make a trainer that goes on where another one stood; refuse arrays that do not fit the network."""
        for name, value in state["sgd"]["arrays"].items():
            network.require_values({name.partition(" ")[2]: value}, f"the stored array {name!r}")
        for values in (state["best_params"], state["last_params"]):
            network.require_values(values or {}, "the stored training")
        trainer = cls(network, Settings(**state["settings"]), SGD.from_state(state["sgd"]), seed)
        trainer.progress = Progress(**state["progress"])
        trainer.history = [dict(entry) for entry in state["history"]]
        trainer.best_params = state["best_params"]
        trainer.last_params = state["last_params"]
        trainer.hooks = Hooks([], None, state.get("hooks", {}))
        return trainer

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold training at the edge between two minibatches while this block runs: the state is of one piece."""
        with self._lock:
            yield

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Return one of the loss histories, e.g. "valid_nll": epochs, and losses."""
        points = [(entry["epoch"], entry[name]) for entry in self.history if name in entry]
        return [epoch for epoch, _ in points], [loss for _, loss in points]

    def stop(self, reason: str) -> None:
        """Ask the training that is under way to stop, as by Ctrl-C: for hooks."""
        if self._stop_request is not None:
            self._stop_request.requested, self._stop_request.reason = True, reason
            logger.info("Training stops: %s.", reason)

    @property
    def finished(self) -> bool:
        """True if all epochs asked for are done."""
        return self.progress.epoch >= self.settings.n_epochs

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(
        self,
        model: Any,
        inputs: Inputs,
        augmentation: Callable | None = None,
        checkpoints: Checkpoints | None = None,
        spot_notice: bool | str = False,
        prefetch: int = 2,
        hooks: Sequence[Hook] = (),
        cluster: Any = None,
    ) -> None:
        """Train until all epochs are done or one is told to stop.

        Parameters
        ----------
        model : NNClassifier
            What to write to checkpoints.
        inputs : Inputs
        augmentation : callable, optional
        checkpoints : Checkpoints, optional
        spot_notice : bool or str, optional
            See :class:`~arignote.nnets.interrupt.StopRequest`.
        prefetch : int, optional
            How many minibatches to prepare ahead.
        hooks : sequence of Hook, optional
            See :mod:`arignote.nnets.hooks`.
        cluster : Cluster, optional
            What computes the shards, where there are several; by default this process.

        Raises
        ------
        DivergedError
            If the loss becomes NaN or infinite. The network is set to its best parameters so far, if there are any.
        SystemExit
            After a SIGTERM that the program does not handle itself.
        """
        self.prefetch = prefetch
        self._start(inputs.train)
        self.hooks = Hooks(hooks, model, self.hooks.get_state())
        augment = None if augmentation is None else keyed_augmentation(augmentation, self.seed)
        sharded = nullcontext() if self.settings.shards == 1 else self._in_shards(inputs, augmentation, model, cluster)
        stop = self._stop_request = StopRequest(spot_notice)
        try:
            with stop, sharded:
                with suppress(Stopped):
                    self.hooks.tell("start")
                    with stop.interruptible():
                        self.compile()
                    self._train(inputs, augment, model, checkpoints, stop)
                if stop.requested and self.progress.n_examples > 0:
                    self._write("last", model, checkpoints)
                if checkpoints is not None:
                    self._finish(model, checkpoints)
        except Exception as error:
            if isinstance(error, DivergedError):
                self._restore_best()
            if checkpoints is not None:
                checkpoints.finish()
            raise
        finally:
            self.stopped_by = stop.reason
            self._resident, self._stop_request = Resident(), None
            self.hooks.tell("stop")
        stop.deliver()

    def _train(
        self, inputs: Inputs, augment: Callable | None, model: Any, checkpoints: Checkpoints | None, stop: StopRequest
    ) -> None:
        """Train epoch after epoch. The state may be that of any moment between two minibatches."""
        progress = self.progress
        logger.info("Training from epoch %d, minibatch %d.", progress.epoch + 1, progress.batch + 1)
        started = time.monotonic() - progress.seconds
        if progress.validation_is_due:  # the state was stored before it, or in the middle of it
            self._validate(inputs, model, checkpoints, stop)
        if progress.epoch_end_is_due:
            self._end_epoch(model, checkpoints)
        while not self.finished and not stop.requested:
            with closing(self._train_epoch(inputs.train, augment, checkpoints)) as blocks:
                for losses in blocks:
                    progress.seconds = time.monotonic() - started
                    self._require_finite(losses, inputs.train)
                    if progress.validation_is_due:
                        self._validate(inputs, model, checkpoints, stop)
                    if stop.requested:
                        return
                    if progress.batch > 0 and checkpoints is not None and checkpoints.is_due(len(losses)):
                        self._write("last", model, checkpoints)
            self._end_epoch(model, checkpoints)

    def _end_epoch(self, model: Any, checkpoints: Checkpoints | None) -> None:
        """Tell the hooks of the end of an epoch, and keep the state."""
        with self._lock:
            self.progress.epoch_end_is_due = False
            self.hooks.tell("epoch_end")
        self._write("last", model, checkpoints)
        if self.settings.checkpoint_all:
            self._write(f"epoch{self.progress.epoch}", model, checkpoints)

    def _finish(self, model: Any, checkpoints: Checkpoints) -> None:
        """Give the model its best parameters, and wait until all files are written."""
        self._restore_best()
        if self.best_params is not None and not checkpoints.exists("best_model"):
            checkpoints.write("best_model", model)  # the best was found in a run that wrote elsewhere
        checkpoints.finish()

    @contextmanager
    def _in_shards(self, inputs: Inputs, augmentation: Callable | None, model: Any, cluster: Any) -> Iterator[None]:
        """While this block runs, compute minibatches in shards, here or on a cluster."""
        settings, network = self.settings, self.network
        parts = {name: data for name, data in vars(inputs).items() if data is not None}
        losses, size = self._evaluated_losses, settings.batch_size
        job = shards.Job({}, size, settings.shards, self.seed, settings.train_loss, losses, augmentation)

        def open_executor(job: shards.Job) -> shards.Executor:
            return shards.Here(network, job) if cluster is None else cluster.open(model, network, job)

        with native.using_threads(settings.shard_threads):
            self._session = shards.Session(parts, job, open_executor)
            try:
                yield
            finally:
                self._session.executor.close()
                self._session = self._step = self._evaluate = None

    def compile(self) -> None:
        """Compile the training step and the losses, unless that is done."""
        if self._step is None and self._session is not None:
            executor = self._session.executor
            self._step, self._evaluate = shards.Update(self.network, self.sgd, executor), shards.Evaluation(executor)
        if self._step is None:
            logger.info("Compiling the training step and the losses.")
            step, evaluate = self._compile_step(), self.network.evaluator(self._evaluated_losses)
            self._step, self._evaluate = step, evaluate  # both, or, if this was interrupted, none

    def _compile_step(self) -> Callable:
        network = self.network
        loss = network.loss(self.settings.train_loss, training=True)
        params = [network.params[name] for name in network.trainable]
        updates = self.sgd.updates(loss + network.penalty(), params, network.constrain, network.decay)
        inputs = [network.x, network.y, network.position, *self.sgd.inputs]
        return engine.function(inputs, loss, updates=updates, on_unused_input="ignore")

    @property
    def _evaluated_losses(self) -> list[str]:
        """The losses of the deterministic network that validations need, each once."""
        return list(dict.fromkeys([self.settings.valid_loss, *self.settings.test_loss]))

    def require_fitting(self, train: Data) -> None:
        """Refuse training data with which this training could not go on where it stands."""
        size = self.settings.batch_size
        if train.batch_size_or(size) != size:
            raise ValueError(
                f"got training data in batches of {train.batch_size}, and a training with batch_size={size}; "
                f"need one size; try Data(..., batch_size={size})"
            )
        if self.progress.batch > 0 and self.progress.n_rows != train.n_rows:
            raise ValueError(
                f"got {train.n_rows} rows of training data; need the {self.progress.n_rows} that this training was "
                f"stopped on, in the middle of epoch {self.progress.epoch + 1}; try the same data"
            )

    def _start(self, train: Data) -> None:
        """Take up training where the state says, on data that may have been given anew."""
        self.require_fitting(train)
        self.progress.n_rows = train.n_rows
        self.n_batches = train.n_batches(self.settings.batch_size)
        if self.last_params is not None:
            self.network.set_values(self.last_params)
            self.last_params = None

    def _batches(
        self, data: Data, epoch: int = 0, first_batch: int = 0, augment: Callable | None = None
    ) -> AbstractContextManager[Iterable[tuple[np.ndarray, np.ndarray]]]:
        """Return the batches of an epoch, to be opened by ``with``; prepared in a thread if that takes work."""
        if self._session is not None:
            return nullcontext(self._session.places(data, epoch, first_batch))
        size = self.settings.batch_size
        resident = None
        if augment is None:
            resident = self._resident.batches(data, self.network, size, self.seed, epoch, first_batch)
        if resident is not None:
            return nullcontext(resident)

        def make() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            return training_batches(data, self.network, size, self.seed, epoch, first_batch, augment)

        takes_work = augment is not None or data.needs_work
        return Prefetcher(make, self.prefetch) if takes_work and self.prefetch > 0 else nullcontext(make())

    def _train_epoch(
        self, data: Data, augment: Callable | None, checkpoints: Checkpoints | None
    ) -> Iterator[list[float]]:
        """Train on the rest of the present epoch; yield the losses of each block of minibatches, trained on."""
        progress = self.progress
        n_batches = data.n_batches(self.settings.batch_size)
        with self._batches(data, progress.epoch, progress.batch, augment) as batches:
            for block in self._blocks(batches, n_batches, checkpoints):
                with self._lock:
                    losses = self._train_block(block)
                    if progress.batch == n_batches:
                        progress.epoch, progress.batch = progress.epoch + 1, 0
                        progress.epoch_end_is_due = True
                    progress.validation_is_due = self._validation_is_due(progress.n_examples, progress.batch == 0)
                yield losses
                if progress.batch == 0:
                    return
        raise ValueError(
            f"got {progress.batch} batches in epoch {progress.epoch + 1}; need {n_batches}, as the reader's n_rows="
            f"{data.n_rows} says; try checking its iter_epoch"
        )

    def _blocks(
        self, batches: Iterable[tuple], n_batches: int, checkpoints: Checkpoints | None
    ) -> Iterator[list[tuple]]:
        """Put minibatches together that the engine trains on in one go: none but the last has anything due after it."""
        block: list[tuple] = []
        for X, y in batches:
            block.append((X, y))
            n_examples = self.progress.n_examples + sum(len(X) for X, _ in block)
            at_end = self.progress.batch + len(block) == n_batches
            limits = [self._step.block_size, None if checkpoints is None else checkpoints.batches_left]
            full = len(block) >= min(limit for limit in limits if limit is not None)
            if full or at_end or self._validation_is_due(n_examples, at_end):
                yield block
                block = []
        if block:
            yield block

    def _train_block(self, batches: Sequence[tuple]) -> list[float]:
        """Train on minibatches, one after another; return their losses."""
        progress = self.progress
        calls = [
            (X, y, np.array([progress.epoch, progress.batch + i, 0]), *self.sgd.input_values(ahead=i))
            for i, (X, y) in enumerate(batches)
        ]
        losses = [float(loss) for loss in self._step.block(calls)]
        self.sgd.n_updates += len(batches)
        for (X, _), loss in zip(batches, losses, strict=True):
            progress.batch += 1
            progress.n_examples += len(X)
            progress.loss_sum += loss * len(X)
            progress.loss_examples += len(X)
            self.hooks.tell("batch_end", loss)
        return losses

    def _require_finite(self, losses: Sequence[float], train: Data) -> None:
        """Refuse to go on from the losses of the minibatches just trained on if one is no number."""
        finite = np.isfinite(losses)
        if not finite.all():
            n_batches = train.n_batches(self.settings.batch_size)
            n_trained = self.progress.epoch * n_batches + self.progress.batch
            first = int(finite.argmin())
            epoch, batch = divmod(n_trained - len(losses) + first, n_batches)
            raise self._diverged(f"the training loss became {losses[first]}", epoch, batch + 1)

    def _validation_is_due(self, n_examples: int, at_end: bool) -> bool:
        """Say whether to validate when so many examples were trained on, perhaps at the end of an epoch."""
        frequency = self.settings.validation_frequency
        if frequency is None:
            return at_end
        at_last_validation = self.progress.n_examples - self.progress.loss_examples
        return n_examples // frequency > at_last_validation // frequency

    def _validate(self, inputs: Inputs, model: Any, checkpoints: Checkpoints | None, stop: StopRequest) -> None:
        """Compute losses, remember the best network, and let the rules act.

        The state changes only when all losses are known: who is stopped before will validate again.
        """
        progress, settings = self.progress, self.settings
        train_loss = progress.loss_sum / progress.loss_examples
        epoch = progress.epoch + progress.batch / inputs.train.n_batches(settings.batch_size)
        entry = {
            "epoch": epoch,
            "examples": progress.n_examples,
            "learning_rate": self.sgd.lr_rule.value,
            "momentum": self.sgd.momentum_rule.value,
            f"train_{settings.train_loss}": train_loss,
        }
        if settings.validate_on_train:
            losses = self.evaluate(inputs.train, stop)
            entry[f"train_deterministic_{settings.valid_loss}"] = losses[settings.valid_loss]
        decisive = train_loss
        if inputs.valid is not None:
            decisive = entry[f"valid_{settings.valid_loss}"] = self.evaluate(inputs.valid, stop)[settings.valid_loss]
        if not np.isfinite(decisive):
            raise self._diverged(f"the validation loss became {decisive}")
        is_best = inputs.valid is not None and decisive < progress.best_loss
        if inputs.test is not None and (is_best or inputs.valid is None):
            losses = self.evaluate(inputs.test, stop)
            entry |= {f"test_{name}": losses[name] for name in settings.test_loss}
        with self._lock:
            self._note_validation(entry, decisive, is_best)
            self.hooks.tell("validation", entry)
        if is_best:
            self._write("best_model", model, checkpoints)
        logger.info("%s", describe_entry(entry, settings, progress, is_best))

    def _note_validation(self, entry: dict[str, float], decisive: float, is_best: bool) -> None:
        progress = self.progress
        progress.validation_is_due = False
        progress.loss_sum, progress.loss_examples = 0.0, 0
        self.history.append(entry)
        self.sgd.validated(decisive, entry["epoch"])
        if is_best:
            progress.best_loss, progress.best_epoch = decisive, entry["epoch"]
            self.best_params = self.network.get_values()

    def evaluate(self, data: Data, stop: StopRequest | None = None) -> dict[str, float]:
        """Return the mean losses of the deterministic network over all rows of `data`; leave off if told to stop."""
        self.compile()
        names = self._evaluated_losses
        sums, n_rows = np.zeros(len(names)), 0
        with self._evaluated(data) as batches:
            batches = iter(batches)
            while block := list(islice(batches, self._evaluate.block_size)):
                if stop is not None and stop.requested:
                    raise Stopped
                for (X, _), losses in zip(block, self._evaluate.block(block), strict=True):
                    sums += len(X) * np.array(losses, dtype=np.float64)
                    n_rows += len(X)
        return dict(zip(names, (sums / n_rows).tolist(), strict=True))

    def _evaluated(self, data: Data) -> AbstractContextManager[Iterable[tuple]]:
        """Return the batches of all rows of `data`, in order."""
        if self._session is not None:
            return nullcontext(self._session.places(data, evaluated=True))
        return self._batches(data.replace(shuffle=False, allow_partial_batch=True))

    def _write(self, kind: str, model: Any, checkpoints: Checkpoints | None) -> None:
        """Keep the state, unless it is one to forget."""
        if checkpoints is None:
            return
        for name, value in self.network.params.items():
            if not np.isfinite(value.get_value(borrow=True)).all():
                raise self._diverged(f"the parameter {name} is no longer finite")
        checkpoints.write(kind, model)

    def _restore_best(self) -> None:
        """Give the network its best parameters, and keep those that training would go on from."""
        if self.best_params is not None:
            self.last_params = self.network.get_values()
            self.network.set_values(self.best_params)

    def _diverged(self, what: str, epoch: int | None = None, batch: int | None = None) -> DivergedError:
        epoch = self.progress.epoch if epoch is None else epoch
        batch = self.progress.batch if batch is None else batch
        return DivergedError(
            f"{what} in epoch {epoch + 1}, after minibatch {batch}; "
            "need finite numbers to go on; try a smaller learning rate, or sgd_max_grad_norm=1. "
            "The last good checkpoint, if any, is untouched"
        )


def describe_entry(entry: Mapping[str, float], settings: Settings, progress: Progress, is_best: bool) -> str:
    """Return the line that reports a validation."""
    losses: dict[str, list[str]] = {part: [] for part in ("train", "train_deterministic", "valid", "test")}
    for name, value in entry.items():
        part, _, loss = name.rpartition("_")
        if part in losses:
            shown = f"{100 * value:.2f} %" if loss == "error" else f"{value:.4f}"
            losses[part].append(f"{loss} {shown}" + " (best)" * (is_best and part == "valid"))
    parts = [f"{part.replace('_', ' ')} {', '.join(each)}" for part, each in losses.items() if each]
    rates = f"rate {entry['learning_rate']:g}, momentum {entry['momentum']:g}; {progress.seconds:.0f} s"
    return "; ".join([f"epoch {entry['epoch']:g}/{settings.n_epochs}", *parts, rates])
