"""The loop: epoch after epoch, minibatch after minibatch, with validations, callbacks and checkpoints.

The order of events in a run::

    on_train_begin
    for each epoch:
        for each minibatch:
            a step; on_batch_end
            if a validation is due: validation, schedules; on_validation_end; checkpoint best_model, if it is the best
            checkpoint last, if it is due within the epoch
        on_epoch_end; checkpoint last
    on_train_end

The loop handles positions of minibatches, and never rows. The state is consistent at each event: a run that is stored
there resumes to the same bytes.
"""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice
from typing import Any

import numpy as np

from arignote.data.loader import BatchRef, Loader
from arignote.nnets.callbacks import CallbackList
from arignote.nnets.checkpoints import CheckpointWriter
from arignote.nnets.train.environment import environment
from arignote.nnets.train.executors.base import Executor, mean_losses
from arignote.nnets.train.interrupt import Stopped, StopRequest
from arignote.nnets.train.resume import note_environment
from arignote.nnets.train.state import DivergedError, Trainer

logger = logging.getLogger(__name__)


class Run:
    """One call of `fit`: what is needed only while a network is trained.

    Parameters
    ----------
    model : NNClassifier
        What is written to checkpoints, and the argument of callbacks.
    trainer : Trainer
    loader : Loader
        With the splits "train" and, if there are such data, "valid", "test" and "train_deterministic".
    open_executor : callable
        Returns the executor. It is opened when a request to stop can be handled, and closed at the end.
    callbacks : CallbackList
    writer : CheckpointWriter, optional
    spot_notice : bool or str, optional
        See :class:`~arignote.nnets.train.interrupt.StopRequest`.
    best : bool, optional
        Give the network its best parameters at the end, by default True.
    raise_interrupt : bool, optional
        Raise KeyboardInterrupt at the end of a run that Ctrl-C stopped, by default False.
    """

    def __init__(
        self,
        model: Any,
        trainer: Trainer,
        loader: Loader,
        open_executor: Callable[[], Executor],
        callbacks: CallbackList,
        writer: CheckpointWriter | None = None,
        spot_notice: bool | str = False,
        best: bool = True,
        raise_interrupt: bool = False,
    ):
        self._model, self._trainer, self._loader, self._open_executor = model, trainer, loader, open_executor
        self._callbacks, self._writer, self._best = callbacks, writer, best
        self._stop = StopRequest(spot_notice, raise_interrupt)
        self._n_batches = loader.n_batches("train")

    # -- for the trainer ---------------------------------------------------------------------------------------------

    def callback_states(self) -> dict[str, dict[str, Any]]:
        """Return the current state of each callback, by its name."""
        return self._callbacks.get_state()

    def stop(self, reason: str) -> None:
        """End the run after the current minibatch."""
        self._stop.requested, self._stop.reason = True, reason
        logger.info("Training stops: %s.", reason)

    # -- the run -----------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train until all epochs are done or the run is stopped.

        Raises
        ------
        DivergedError
            If the loss becomes NaN or infinite. The network is set to its best parameters so far, if there are any.
        SystemExit
            After a SIGTERM that the program does not handle itself.
        """
        try:
            self._train_to_end()
        except BaseException as error:
            if self._stop.is_terminated:
                logger.error("Training ended by SIGTERM, and by an error.", exc_info=error)
                self._stop.deliver()
            raise
        self._stop.deliver()

    def _train_to_end(self) -> None:
        """Train, and leave everything as it should be found, whatever happens."""
        self._begin()
        try:
            with self._stop:
                with suppress(Stopped):
                    self._callbacks.call("on_train_begin")
                    if self._was_complete:
                        self._warn_of_completeness()
                    else:
                        self._train_with_executor()
                self._finish()
        except BaseException as error:
            if isinstance(error, DivergedError):
                self._restore_best()
            if self._writer is not None:
                self._writer.finish()
            raise
        finally:
            self._end()

    def _is_complete(self) -> bool:
        """Return True if there is nothing left to do."""
        progress = self._trainer.progress
        return self._trainer.finished and not progress.validation_is_due and not progress.epoch_end_is_due

    def _warn_of_completeness(self) -> None:
        n_epochs = self._trainer.settings.n_epochs
        warnings.warn(
            f"All {n_epochs} epochs of this training are done, so nothing was trained; try fit(..., "
            f"n_epochs={2 * n_epochs}) for more, a new NNClassifier to start over, or a new one with "
            "set_trainable_params to start from these parameters", stacklevel=6,
        )  # fmt: skip

    def _train_with_executor(self) -> None:
        trainer = self._trainer
        logger.info("%s\n  trained by %s", self._model, trainer.sgd)
        with closing(self._open_executor()) as self._executor:
            with self._stop.interruptible():
                self._executor.compile()
            self._train()

    def _begin(self) -> None:
        """Continue from the stored state, with data that may be new."""
        trainer = self._trainer
        trainer.progress.n_rows = self._loader.splits["train"].n_rows
        trainer.n_batches = self._n_batches
        if trainer.last_params is not None:
            trainer.network.set_values(trainer.last_params)
            trainer.last_params = None
        self._was_complete = self._is_complete()
        self._callbacks.restore()
        trainer.run = self

    def _end(self) -> None:
        trainer = self._trainer
        trainer.stopped_by = self._stop.reason
        try:
            self._callbacks.call("on_train_end")
        finally:
            trainer.run = None
            trainer.callback_states = self._callbacks.get_state()

    def _train(self) -> None:
        """Train epoch after epoch. The state may be that of any moment between two minibatches."""
        trainer, progress = self._trainer, self._trainer.progress
        note_environment(trainer, environment())
        logger.info("Training from epoch %d, minibatch %d.", progress.epoch + 1, progress.batch + 1)
        self._started = time.monotonic() - progress.seconds
        if progress.validation_is_due:  # the state was stored before or during it
            self._validate()
        if self._stop.requested:
            return
        if progress.epoch_end_is_due:
            self._end_epoch()
        while not trainer.finished and not self._stop.requested:
            for block in self._blocks():
                self._train_block(block)
                if progress.validation_is_due:
                    self._validate()
                if self._stop.requested:
                    return
                if progress.batch > 0 and self._writer is not None and self._writer.is_due(len(block)):
                    self._write("last")
            self._end_epoch()

    def _blocks(self) -> Iterator[list[BatchRef]]:
        """Iterate over the rest of the epoch in blocks to train on in one go: nothing is due but after the last one."""
        progress = self._trainer.progress
        refs = self._loader.refs("train", progress.epoch, progress.batch)
        while block := self._next_block(refs):
            yield block

    def _next_block(self, refs: Iterator[BatchRef]) -> list[BatchRef]:
        limits = [self._executor.chunk, None if self._writer is None else self._writer.batches_left]
        longest = max(1, min(limit for limit in limits if limit is not None))
        block: list[BatchRef] = []
        n_examples = self._trainer.progress.n_examples
        for ref in islice(refs, longest):
            block.append(ref)
            n_examples += ref.n_rows
            if self._validation_is_due(n_examples, ref.index + 1 == self._n_batches):
                break
        return block

    def _train_block(self, block: Sequence[BatchRef]) -> None:
        """Train on minibatches, one after another, and note them in the state as a whole."""
        trainer, progress, sgd = self._trainer, self._trainer.progress, self._trainer.sgd
        loaded = self._executor.load(block)  # without the lock, since a reader may store the state from its thread
        with trainer.lock:
            losses = self._executor.step(loaded, [sgd.input_values(ahead=i) for i in range(len(block))])
            sgd.n_updates += len(block)
            for ref, loss in zip(block, losses, strict=True):
                progress.n_examples += ref.n_rows
                progress.loss_sum += loss * ref.n_rows
                progress.loss_examples += ref.n_rows
            progress.batch = block[-1].index + 1
            at_end = progress.batch == self._n_batches
            if at_end:
                progress.epoch, progress.batch, progress.epoch_end_is_due = progress.epoch + 1, 0, True
            progress.validation_is_due = self._validation_is_due(progress.n_examples, at_end)
            progress.seconds = time.monotonic() - self._started
            self._require_finite(block, losses)
            for loss in losses:
                self._callbacks.call("on_batch_end", loss)

    def _require_finite(self, block: Sequence[BatchRef], losses: Sequence[float]) -> None:
        """Refuse to continue if the loss of one of the minibatches is not a finite number."""
        for ref, loss in zip(block, losses, strict=True):
            if not math.isfinite(loss):
                raise diverged(f"the training loss became {loss}", ref.epoch, ref.index + 1)

    def _end_epoch(self) -> None:
        """Call the callbacks at the end of an epoch, and write the state."""
        with self._trainer.lock:
            self._trainer.progress.epoch_end_is_due = False
            self._callbacks.call("on_epoch_end")
        self._write("last")
        if self._trainer.settings.checkpoint_all:
            self._write(f"epoch{self._trainer.progress.epoch}")

    # -- validation --------------------------------------------------------------------------------------------------

    def _validation_is_due(self, n_examples: int, at_end: bool) -> bool:
        """Return True if a validation follows the minibatch that completes so many examples."""
        frequency, progress = self._trainer.settings.validation_frequency, self._trainer.progress
        if frequency is None:
            return at_end
        at_last_validation = progress.n_examples - progress.loss_examples
        return n_examples // frequency > at_last_validation // frequency

    def _validate(self) -> None:
        """Compute losses, remember the best network, and update the schedules.

        The state changes only when all losses are known: a run that is stopped before validates again when resumed.
        """
        trainer = self._trainer
        progress, settings, splits = trainer.progress, trainer.settings, self._loader.splits
        train_loss = progress.loss_sum / progress.loss_examples
        entry = {
            "epoch": progress.epoch + progress.batch / self._n_batches,
            "examples": progress.n_examples,
            "learning_rate": trainer.sgd.lr_rule.value,
            "momentum": trainer.sgd.momentum_rule.value,
            f"train_{settings.train_loss}": train_loss,
        }
        if settings.validate_on_train:
            losses = self._evaluate("train_deterministic")
            entry[f"train_deterministic_{settings.valid_loss}"] = losses[settings.valid_loss]
        decisive = train_loss
        if "valid" in splits:
            decisive = entry[f"valid_{settings.valid_loss}"] = self._evaluate("valid")[settings.valid_loss]
        if not np.isfinite(decisive):
            raise self._diverged(f"the validation loss became {decisive}")
        is_best = "valid" in splits and decisive < progress.best_loss
        if "test" in splits and (is_best or "valid" not in splits):
            losses = self._evaluate("test")
            entry |= {f"test_{name}": losses[name] for name in settings.test_loss}
        with trainer.lock:
            self._note_validation(entry, decisive, is_best)
            try:
                self._callbacks.call("on_validation_end", entry)
            finally:  # a callback that fails ends this run, and the one that resumes it has its best network already
                if is_best:
                    self._write("best_model")

    def _evaluate(self, split: str) -> dict[str, float]:
        """Return the mean losses of the deterministic network over a split; raise Stopped if the run is to stop."""
        names = self._trainer.settings.reported_losses
        return mean_losses(self._executor, self._loader.refs(split), names, self._stop.check)

    def _note_validation(self, entry: dict[str, float], decisive: float, is_best: bool) -> None:
        trainer, progress = self._trainer, self._trainer.progress
        progress.validation_is_due = False
        progress.loss_sum, progress.loss_examples = 0.0, 0
        trainer.history.append(entry)
        trainer.sgd.validated(decisive, entry["epoch"])
        if is_best:
            progress.best_loss, progress.best_epoch = decisive, entry["epoch"]
            trainer.best_params = trainer.network.get_values()

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _write(self, kind: str) -> None:
        """Write a checkpoint, unless a parameter is no longer finite."""
        if self._writer is None:
            return
        self._require_finite_params()
        self._trainer.checkpoints_written += 1
        self._writer.write(kind, self._model)

    def _require_finite_params(self) -> None:
        for name, value in self._trainer.network.params.items():
            if not np.isfinite(value.get_value(borrow=True)).all():
                raise self._diverged(f"the parameter {name} is no longer finite")

    def _finish(self) -> None:
        """Give the network its best parameters, and write what it has then."""
        trainer, writer, stop = self._trainer, self._writer, self._stop
        has_trained = trainer.progress.n_examples > 0
        if writer is not None and has_trained:
            self._require_finite_params()
        if self._best:
            self._restore_best()
        if has_trained:
            logger.info("%sThe network has %s.", stop.epilogue, self._model.weights)
        if writer is None:
            return
        is_new = not self._was_complete and (stop.requested or trainer.last_params is not None)
        if has_trained and (is_new or not writer.exists("last")):
            writer.write("last", self._model)
        if trainer.best_params is not None and not writer.exists("best_model"):
            writer.write("best_model", self._model)  # the best was found in a run that wrote elsewhere
        writer.finish()

    def _restore_best(self) -> None:
        """Give the network its best parameters, and remember those to resume from."""
        trainer = self._trainer
        if trainer.best_params is not None:
            trainer.last_params = trainer.network.get_values()
            trainer.network.set_values(trainer.best_params)

    def _diverged(self, what: str) -> DivergedError:
        progress = self._trainer.progress
        return diverged(what, progress.epoch, progress.batch)


def diverged(what: str, epoch: int, n_batches: int) -> DivergedError:
    """Return the error for numbers that are no longer finite, after so many minibatches of an epoch."""
    return DivergedError(
        f"{what} in epoch {epoch + 1}, after minibatch {n_batches}; "
        "need finite numbers to continue; try a smaller learning rate, or sgd_max_grad_norm=1. "
        "The last good checkpoint, if any, is untouched"
    )
