"""The classifier, and shortcuts to the definitions of common networks."""

import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arignote.checkpoint.format import checkpoint_read
from arignote.checkpoint.migrations import migrate
from arignote.checkpoint.names import in_folder, to_resume
from arignote.checkpoint.state import ModelState
from arignote.data import atomic
from arignote.data.dataset import BATCH_SIZE, Data, read_data
from arignote.data.formats import arrays
from arignote.data.image_folder import ImageFolderReader
from arignote.data.labels import iter_labels, summarize
from arignote.data.loader import Loader, evaluated, features_alone
from arignote.nnets import arguments, definitions, onnx_export
from arignote.nnets.callbacks import Callback, CallbackList, ProgressBar, ValidationLog
from arignote.nnets.checkpoints import Checkpoint, CheckpointWriter, as_checkpoint
from arignote.nnets.classes import describe_classes, find_classes
from arignote.nnets.layers import Layer
from arignote.nnets.network import Network, Params
from arignote.nnets.schedules import Rule
from arignote.nnets.shortcuts import define_cnn, define_logistic_regression, define_mlp
from arignote.nnets.train import inputs
from arignote.nnets.train import resume as resuming
from arignote.nnets.train.executors.choice import open_executor
from arignote.nnets.train.executors.local import LocalExecutor
from arignote.nnets.train.executors.ray import Cluster, as_cluster
from arignote.nnets.train.loop import Run
from arignote.nnets.train.state import Settings, Trainer
from arignote.nnets.updates import SGD
from arignote.util import checks, netlog, streams

__all__ = ["NNClassifier", "define_cnn", "define_logistic_regression", "define_mlp"]

logger = logging.getLogger(__name__)

PREDICT_ROWS = 512
SHARDS = 8  # where there are workers
OF_SGD = {
    "sgd_type": "sgd_type", "lr_rule": "lr_rule", "momentum_rule": "momentum_rule",
    "sgd_max_grad_norm": "max_grad_norm",
}  # fmt: skip
"""The arguments of `fit` that define the optimizer, and their names as arguments of `SGD`."""
ORDERS = {None: None, True: inputs.SHUFFLED, False: inputs.STORED}
"""The argument `shuffle` of `fit`, and the order of rows."""


class NNClassifier:
    """A feed-forward network that learns to classify.

    Parameters
    ----------
    layer_defs : list
        One entry for each layer: ``[type]`` or ``[type, {parameters}]``, lists or tuples. The type is the name of a
        layer of :mod:`arignote.nnets.layers`, or a custom class. The input layer can be omitted.
    name : str, optional
        For display.
    n_in : int or tuple of int, optional
        Shape of one example, e.g. 784 or (3, 32, 32). By default it is known when there are data, and the network is
        built then.
    batch_size : int, optional
        Number of examples in a minibatch; may be given to `fit` instead.
    rng : int or numpy random generator, optional
        The seed of everything random: initial weights, dropout, shuffling, augmentation. By default a fresh one.
    stored_network : str, Path or NNClassifier, optional
        Start from the parameters of this network, or of this checkpoint.
    theano_rng : int or numpy random generator, optional
        A separate seed for dropout.
    random_state : int or numpy random generator, optional
        Another name of `rng`.

    Attributes
    ----------
    layer_defs : list of [str, dict]
        The definition, with nothing left open.
    trainer : Trainer or None
        State and loss histories of the training, once `fit` was called.
    feature_names_in_ : list of str or None
        Names of the features, if the network was trained on a data frame or a table with names.

    Raises
    ------
    TypeError, ValueError
        If the definition cannot be read; the message names the layer and what is accepted.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)).astype("float32")
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> classifier = NNClassifier(define_mlp(2, [8]), rng=0)
    >>> classifier = classifier.fit(X, y, n_epochs=30, batch_size=20, sgd_type="adam")
    >>> classifier.score(X, y) > 0.9
    True
    """

    @arguments.explained
    def __init__(
        self,
        layer_defs: Sequence,
        name: str = "network",
        n_in: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        rng: Any = None,
        stored_network: "str | Path | NNClassifier | None" = None,
        theano_rng: Any = None,
        random_state: Any = None,
    ):
        if rng is not None and random_state is not None:
            raise TypeError("got rng and random_state, which mean the same; need one of them; try rng=42")
        self.layer_defs = definitions.read(layer_defs)
        self._start_values = definitions.start_values(layer_defs, self.layer_defs)
        self.name = str(name)
        self.batch_size = None if batch_size is None else checks.whole_number(batch_size, "batch_size")
        self.seed = streams.as_seed(random_state if rng is None else rng)
        self.dropout_seed = self.seed if theano_rng is None else streams.as_seed(theano_rng, "theano_rng")
        self.feature_names_in_: list[str] | None = None
        self._has_copied_params = False
        self.trainer: Trainer | None = None
        self._network: Network | None = None
        self._stored_network = stored_network
        self._given_name = None if name == "network" else self.name
        given = {"rng": random_state if rng is None else rng, "theano_rng": theano_rng, "batch_size": batch_size}
        self._chosen = {what: value for what, value in given.items() if isinstance(value, int | np.integer)}
        if isinstance(n_in, int | np.integer):
            n_in = (int(n_in),)
        shape = definitions.known_shape(self.layer_defs) if n_in is None else n_in
        if shape is not None:
            self._build(shape)

    # -- the network -------------------------------------------------------------------------------------------------

    def _build(
        self, shape: Sequence[int], stored: Mapping[str, np.ndarray] | None = None, classes: Sequence | None = None
    ) -> None:
        """Build the network for examples of one shape, from stored parameters and classes if there are any."""
        shape = tuple(checks.whole_number(n, "n_in") for n in shape)
        self._network = Network(self.layer_defs, shape, self.seed, self.dropout_seed, stored, classes)
        if stored is None:
            self._network.start_from(self._start_values)
        if self._stored_network is not None:
            self.set_trainable_params(self._stored_network)

    @property
    def network(self) -> Network:
        """The layers, parameters and expressions, once the shape of the data is known."""
        if self._network is None:
            raise RuntimeError(
                "got a network that is not built, since the shape of the data is not known; need n_in or fit; "
                "try NNClassifier(..., n_in=784)"
            )
        return self._network

    @property
    def built(self) -> bool:
        """True once the shape of the data is known."""
        return self._network is not None

    @property
    def classes_(self) -> np.ndarray:
        """The labels of the classes, in the order of the columns of `predict_proba`: shape (n_classes,)."""
        classes = self.network.classes
        return np.arange(self.network.output_layer.n_classes) if classes is None else classes

    @property
    def weights(self) -> str:
        """Which parameters the network has, in words: those with the best validation loss, or the last ones."""
        trainer = self.trainer
        if self._has_copied_params:
            return "parameters copied from another network"
        if trainer is None or trainer.progress.n_examples == 0:
            return "initial parameters"
        progress = trainer.progress
        is_best_now = trainer.best_params is not None and (progress.best_epoch, progress.batch) == (progress.epoch, 0)
        if trainer.last_params is not None or is_best_now:
            best = f"{progress.best_loss:.4g}"
            return f"the parameters of epoch {progress.best_epoch:g}, with the best validation loss, {best}"
        within = f", minibatch {progress.batch}" if progress.batch else ""
        return f"the last parameters, after epoch {progress.epoch}{within}"

    @property
    def layers_train(self) -> list[Layer]:
        """The layers of the network that is trained."""
        return self.network.layers_train

    @property
    def layers_inf(self) -> list[Layer]:
        """The layers of the deterministic twin, which shares all parameters."""
        return self.network.layers_inf

    @property
    def params(self) -> Params:
        """All parameters: shared variables in the order of the layers, also by name, such as ``params["fc1.W"]``."""
        return Params(self.network.params)

    @property
    def n_params(self) -> int:
        """Number of values in all parameters; buffers do not count."""
        sizes = {name: param.get_value(borrow=True).size for name, param in self.params.items()}
        return sum(size for name, size in sizes.items() if not self.network.tags[name].is_buffer)

    def get_layer(self, name: str, inf: bool = False) -> Layer:
        """Return the layer of this name, from the network that is trained, or from its deterministic twin (`inf`).

        Examples
        --------
        >>> NNClassifier(define_mlp(3, [30]), n_in=4).get_layer("fc0").params["W"].get_value().shape
        (4, 30)
        """
        layers = {str(layer.name): layer for layer in (self.layers_inf if inf else self.layers_train)}
        return layers[checks.choice(name, layers, "the layer name")]

    def get_init_params(self) -> dict[str, Any]:
        """Return the arguments of the constructor that make the same network, with new initial parameters.

        Examples
        --------
        >>> first = NNClassifier(define_mlp(3, [30]), n_in=4, rng=1)
        >>> second = NNClassifier(**first.get_init_params())
        >>> bool((first.params["fc0.W"].get_value() == second.params["fc0.W"].get_value()).all())
        True
        """
        return {
            "layer_defs": self.layer_defs, "name": self.name, "batch_size": self.batch_size, "rng": self.seed,
            "theano_rng": self.dropout_seed,
            "n_in": self.network.input_layer.input_shape if self.built else None,
        }  # fmt: skip

    def set_rng(self, rng: Any, theano_rng: Any = None) -> None:
        """Set the seeds of shuffling, augmentation and dropout, as in the constructor; parameters stay as they are.

        Raises
        ------
        RuntimeError
            If training has begun: what is random in it depends on the seed that it began with.
        """
        if self.trainer is not None:
            raise RuntimeError(
                "got set_rng for a network whose training has begun; need the seed that it began with; try a new "
                "NNClassifier, and set_trainable_params"
            )
        self.seed = streams.as_seed(rng)
        self.dropout_seed = self.seed if theano_rng is None else streams.as_seed(theano_rng, "theano_rng")
        if self._network is not None:
            old = self._network
            shape, classes = old.input_layer.input_shape, None if old.classes is None else old.classes.tolist()
            self._network = Network(self.layer_defs, shape, self.seed, self.dropout_seed, old.get_values(), classes)

    def compile(self) -> None:
        """Compile the function that predicts, which is done at the first prediction otherwise."""
        _ = self.network.predict_batch

    def get_loss(self, name: str, targets: Any = None, inference: bool = False, regularized: bool | None = None) -> Any:
        """Return a loss of the network, symbolic: a function of the variables ``network.x`` and `targets`.

        Parameters
        ----------
        name : str
            Such as "nll" or "error".
        targets : symbolic variable, optional
            The labels, by default ``network.y``.
        inference : bool, optional
            Of the deterministic network, by default of the one that is trained.
        regularized : bool, optional
            Add the weight decay and the layers' own penalties; by default for the network that is trained.
        """
        network = self.network
        value = network.loss(network.check_loss(name, "name"), not inference, targets)
        if not inference if regularized is None else regularized:
            value = value + self.l1 + self.l2_sqr + network.penalty()
        return value

    @property
    def l1(self) -> Any:
        """What the weights with `l1` add to the training loss, symbolic."""
        return self.network.weight_decay(1)

    @property
    def l2_sqr(self) -> Any:
        """What the weights with `l2` add to the training loss, symbolic."""
        return self.network.weight_decay(2)

    def set_trainable_params(
        self, source: "NNClassifier | Mapping | str | Path", layers: Sequence[str] | None = None
    ) -> None:
        """Copy parameters from another network.

        Parameters
        ----------
        source : NNClassifier, str, Path or dict
            A classifier, a checkpoint, a file of arrays by parameter name (``*.safetensors`` or ``*.npz``), or a
            dictionary of such arrays.
        layers : list of str, optional
            Names of the layers to copy; by default all of the other network's.

        Raises
        ------
        ValueError
            If this network lacks such a parameter, or has it in another shape. Then nothing was changed.
        """

        def choose(names: Iterable[str]) -> list[str]:
            chosen = list(names)
            if layers is not None:
                known = {name.rpartition(".")[0] for name in chosen}
                wanted = [layers] if isinstance(layers, str) else layers
                of_layers = {checks.choice(name, known, "the layer name") for name in wanted}
                chosen = [name for name in chosen if name.rpartition(".")[0] in of_layers]
            self.network.require_names(chosen, "the other network")
            return chosen

        if isinstance(source, str | Path) and arrays.is_supported(source):
            values = arrays.read(source, choose)
        else:
            source = checkpoint_read(source) if isinstance(source, str | Path) else source
            values = source.network.get_values() if isinstance(source, NNClassifier) else dict(source)
            values = {name: values[name] for name in choose(values)}
        self.network.set_values(values, "the other network")
        if isinstance(source, NNClassifier):
            self._take_names(source, layers)
        self._has_copied_params = True
        if self.trainer is not None:
            self.trainer.forget_best()

    def _take_names(self, source: "NNClassifier", layers: Sequence[str] | str | None) -> None:
        """Take over what the features and the classes of another network are called, if that is not known here."""
        if self.trainer is not None:
            return
        copied = [layer.name for layer in source.layers_train] if layers is None else layers
        network, names = self.network, source.network.classes
        if network.output_layer.name in copied and network.classes is None and network.output_layer.has_classes:
            network.classes = names
        if layers is None and self.feature_names_in_ is None:
            self.feature_names_in_ = source.feature_names_in_

    def export_onnx(self, filename: str | Path) -> Path:
        """Write the deterministic network as an ONNX model, which other programs run.

        Its input is "features", float32 of shape (n, ...), as the input layer takes it; its output "probabilities". Its
        metadata tell which parameters it has ("weights", see `weights`) and, as JSON, the labels of the classes
        ("classes") and the names of the features ("features", null if they have none).

        Parameters
        ----------
        filename : str or Path

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ImportError
            If the package onnx is not installed.
        TypeError
            If a layer of your own, or an activation that is a function, has no form in ONNX; see
            :mod:`arignote.nnets.onnx_export`.
        """
        metadata = {
            "weights": self.weights,
            "classes": json.dumps(self.classes_.tolist()),
            "features": json.dumps(self.feature_names_in_),
        }
        content = onnx_export.model_of(self.network, self.name, metadata).SerializeToString()
        atomic.write(filename, lambda file: file.write(content))
        return Path(filename)

    def save_params(self, filename: str | Path) -> Path:
        """Write all parameters by name, and nothing else, for other programs; `set_trainable_params` reads them.

        Parameters
        ----------
        filename : str or Path
            ``*.safetensors`` (https://github.com/huggingface/safetensors) or ``*.npz``.

        Examples
        --------
        >>> import tempfile
        >>> name = NNClassifier(define_mlp(2, [3]), n_in=4, rng=0).save_params(tempfile.mkdtemp() + "/mine.npz")
        >>> other = NNClassifier(define_mlp(2, [3]), n_in=4, rng=1)
        >>> other.set_trainable_params(name)
        >>> with np.load(name) as arrays:
        ...     bool((other.params["fc0.W"].get_value() == arrays["fc0.W"]).all())
        True
        """
        return arrays.write(filename, self.network.get_values())

    def __repr__(self) -> str:
        return f"<NNClassifier {str(self).splitlines()[0]}>"

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.layer_defs)} layers"]
        if self._network is not None:
            lines[0] += f", {self.n_params:,} parameters"
            lines += [_table_row(layer) for layer in self.layers_train]
        return "\n".join(lines)

    # -- training ----------------------------------------------------------------------------------------------------

    @arguments.explained
    def fit(
        self,
        X: Any,
        y: Any = None,
        valid: Any = None,
        test: Any = None,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        augmentation: Callable | Sequence[Callable] | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
        sgd_type: str | SGD | None = None,
        lr_rule: Mapping[str, Any] | Rule | float | None = None,
        momentum_rule: Mapping[str, Any] | Rule | float | None = None,
        sgd_max_grad_norm: float | None = None,
        train_loss: str | None = None,
        valid_loss: str | None = None,
        test_loss: str | Sequence[str] | None = None,
        validation_frequency: int | None = None,
        validate_on_train: bool | None = None,
        checkpoint_all: bool | None = None,
        extra_metadata: Mapping[str, Any] | None = None,
        checkpoint_seconds: float | None = 60.0,
        checkpoint_batches: int | None = None,
        spot_notice: bool | str = False,
        prefetch: int = 2,
        callbacks: Sequence[Callback] | Callback = (),
        progress: bool | None = None,
        shards: int | None = None,
        workers: int | Cluster | None = None,
        shuffle: bool | None = None,
        resume: bool = False,
        change: Sequence[str] | str = (),
        data_check: bool | str = True,
        best: bool = True,
        interrupt: str = "stop",
    ) -> "NNClassifier":
        """Train, or resume training.

        A classifier that was trained before, in this program or in the one that wrote its checkpoint, resumes where it
        stopped. Then data, augmentation, callbacks and checkpoint must be given again, `n_epochs` can be, and
        everything else stays as it was; a warning lists the arguments that differ from what is stored. With
        ``resume=True``, a new classifier resumes the training of its checkpoint, if there is one.

        Ctrl-C stops early and leaves a usable network. SIGTERM writes the checkpoint and ends the program as SIGTERM
        does, unless the program handles it.

        Parameters
        ----------
        X : array, tuple, Data, DataWithHoldoutPartitions or file name
            Training data: features of shape (n_examples, ...); or a pair (features, labels); or
            :class:`~arignote.data.readers.Data`; or partitions, which hold validation and test data too; or the name of
            an HDF5, .csv or pickle file of features and labels, or of a folder with a folder of images for each class.
            Rows are shuffled in each epoch; `Data` and partitions keep the order that they were made with.
        y : array, optional
            Labels, one for each row, if they are not inside `X`: class numbers from 0, or text, truth values or other
            whole numbers, which become `classes_`.
        valid, test : tuple, Data, file name or float, optional
            Data for validation and testing, as a pair (features, labels), or, unless `X` is `Data`, the fraction in
            [0, 1) of the rows to hold out: the same fraction of each class, chosen at random by the seed. Without
            shuffling, the last rows.
        n_epochs : int
            Train until this many epochs are done in all.
        batch_size : int
            Examples in a minibatch, unless given before.
        augmentation : callable, or list of callable, optional
            Changes each minibatch of training data, in a thread, while the network trains on earlier ones: ``f(X, y,
            epoch, rng)`` returns a pair; `epoch` counts from 1, and `rng` is a numpy generator, with the methods of
            RandomState too, that depends on seed, epoch and minibatch alone. ``f(X, y)`` returns a pair; ``f(X)``
            returns new features. `X` has the shape of the data, or that of the input layer where the data are flat.
            The functions of a list are applied in order. See :mod:`arignote.image.augment`.
        checkpoint : str, Path or Checkpoint, optional
            ``DIR/STEM``: the network is written to ``DIR/STEM_last.pkl.gz`` after each epoch, from time to time within
            it, and on a request to stop; and to ``DIR/STEM_best_model.pkl.gz`` at each new best validation loss.
            Addresses that fsspec supports, such as ``s3://bucket/run/mnist``, work too. An extension does not count:
            ``DIR/STEM.pkl.gz`` means the same. A folder alone, ``"runs/"``, gets a stem with the date and the time;
            with `resume`, the newest run with such a stem there is resumed. A
            :class:`~arignote.nnets.checkpoints.Checkpoint` has the name and all details.
        sgd_type : {"adadelta", "nag", "momentum", "adagrad", "rmsprop", "sgd", "adam"} or SGD, optional
            By default "adadelta".
        lr_rule, momentum_rule : dict of Rule parameters, Rule or float, optional
            See :class:`~arignote.nnets.schedules.Rule` and :class:`~arignote.nnets.updates.SGD`. A number stays
            constant.
        sgd_max_grad_norm : float, optional
            Upper bound on the joint norm of all gradients.
        train_loss, valid_loss : str, optional
            By default "nll", negative log likelihood: the first objective of the output layer. Or another one, or the
            name of a method of a custom output layer; `valid_loss` can also be a metric such as "error".
        test_loss : str or list of str, optional
            Losses to compute on the test data whenever the validation loss is a new best, by default "error" and "nll".
        validation_frequency : int, optional
            Validate after this many examples; by default once per epoch.
        validate_on_train : bool, optional
            Compute the validation loss on the training data, too; by default False.
        checkpoint_all : bool, optional
            Keep the checkpoint of each epoch, as ``DIR/STEM_epoch3.pkl.gz``; by default False.
        extra_metadata : dict, optional
            Plain data to store with the checkpoints.
        checkpoint_seconds, checkpoint_batches, spot_notice : optional
            As `seconds`, `batches` and `spot_notice` of :class:`~arignote.nnets.checkpoints.Checkpoint`.
        prefetch : int, optional
            How many minibatches a thread prepares ahead where reading, altering or augmenting takes time; by default 2.
            With 0 there is no thread.
        callbacks : list of Callback, or one, optional
            See :mod:`arignote.nnets.callbacks`: :class:`~arignote.nnets.callbacks.EarlyStopping`,
            :class:`~arignote.nnets.callbacks.Record`, or your own.
        progress : bool, optional
            Show a progress bar for each epoch. By default in a terminal and in a notebook, unless the program has set
            up logging itself.
        shards : int, optional
            Cut each minibatch into this many parts, whose gradients are computed one by one and added up; see
            :mod:`arignote.nnets.train.executors.sharded`. By default 8 with `workers`, else 1.
        workers : int or Cluster, optional
            Compute the shards in this many processes, on this machine or on a Ray cluster:
            :class:`~arignote.cluster.Cluster`. The result does not depend on their number.
        shuffle : bool, optional
            Train on the rows of arrays, tables, files and folders in a new random order in each epoch (True, the
            default), or in the order in which they are stored. Readers that can only read in sequence are not shuffled
            by default.
        resume : bool, optional
            Resume the training stored in the checkpoint if there is one, and begin otherwise; by default False.
        change : list of {"lr_rule", "momentum_rule"}, optional
            Arguments that are meant to replace the stored ones on resuming, from the next validation on.
        data_check : bool or "warn", optional
            Refuse to resume on other data than the training was stopped on (True, the default); "warn" or False
            continues with them.
        best : bool, optional
            At the end, the network has the parameters with the best validation loss, if there are validation data
            (True, the default), or the last ones.
        interrupt : {"stop", "raise"}, optional
            What Ctrl-C does once everything is saved: `fit` returns ("stop", the default), or raises KeyboardInterrupt.

        Returns
        -------
        NNClassifier
            This one.

        Raises
        ------
        TypeError, ValueError, OSError
            If an argument, the data or the checkpoint's folder cannot be used; before any work starts.
        InUseError
            If another program, or another `fit` of this one, trains under the name of the checkpoint.
        DivergedError
            If the loss becomes NaN or infinite.
        SystemExit
            With status 143, after a SIGTERM that the program does not handle itself.
        """
        netlog.ensure_visible()
        checks.choice(interrupt, ("stop", "raise"), "interrupt")
        if not isinstance(data_check, bool) and data_check != "warn":
            raise ValueError(f'got data_check={data_check!r}; need True, "warn" or False; try data_check="warn"')
        keep_all = checkpoint.keep_all if isinstance(checkpoint, Checkpoint) else None
        checkpoint = None if checkpoint == "" else checkpoint
        if checkpoint is not None:
            checkpoint = as_checkpoint(
                checkpoint, seconds=checkpoint_seconds, batches=checkpoint_batches, keep_all=bool(checkpoint_all),
                spot_notice=spot_notice,
            )  # fmt: skip
            spot_notice = checkpoint.spot_notice
            checkpoint = replace(checkpoint, name=in_folder(checkpoint.name, resume))
        elif resume:
            raise TypeError(
                "got resume=True without a checkpoint; need one to resume from; try fit(..., checkpoint='runs/mine')"
            )
        given = {
            "n_epochs": n_epochs, "batch_size": batch_size, "sgd_type": sgd_type, "lr_rule": lr_rule,
            "momentum_rule": momentum_rule, "sgd_max_grad_norm": sgd_max_grad_norm, "train_loss": train_loss,
            "valid_loss": valid_loss,
            "test_loss": [test_loss] if isinstance(test_loss, str) else test_loss and list(test_loss),
            "validation_frequency": validation_frequency, "validate_on_train": validate_on_train,
            "checkpoint_all": checkpoint_all, "extra_metadata": extra_metadata, "shards": shards, "shuffle": shuffle,
        }  # fmt: skip
        given = arguments.of_today({name: value for name, value in given.items() if value is not None})
        change = resuming.check_change(change, given)
        writing = nullcontext() if checkpoint is None else CheckpointWriter(checkpoint)
        with self._unchanged_if_refused(), writing as writer:
            is_from_here = resume and checkpoint is not None and self._resume_from(checkpoint.name)
            data = self._gather(X, y, valid, test, given)
            cluster = None if workers is None else as_cluster(workers)
            trainer = self.trainer or self._new_trainer(given, data.order, cluster)
            if cluster is not None:
                cluster.require_fitting(trainer.settings)
            data.require_fitting(trainer.settings.batch_size)
            loader = Loader(
                data.splits(trainer.settings.validate_on_train), trainer.settings.batch_size, self.seed, self.network,
                augmentation, checks.whole_number(prefetch, "prefetch", least=0), trainer.settings.first_epoch,
            )  # fmt: skip
            labels = loader.check()
            fingerprints = resuming.fingerprints(loader, labels)
            resuming.check_data(trainer.data, fingerprints, data_check, trainer.position)
            trainer.require_fitting(loader)
            all_callbacks = self._callbacks(callbacks, progress, trainer)
            if writer is not None:
                writer.set_metadata(trainer.settings.extra_metadata)
                if self.trainer is None:
                    writer.replace_earlier()
                else:
                    writer.replace_earlier(self.__getstate__(), is_from_here)
            functions = resuming.describe_functions(loader)
            if self.trainer is None:
                inputs.warn_of_data(data, labels, self.classes_, loader.n_batches("train"))
            else:
                self._resume(self.trainer, given, change, functions)
            trainer.settings.functions, trainer.data = functions, fingerprints
            if keep_all is not None:
                trainer.settings.checkpoint_all = keep_all
            self.trainer, self.feature_names_in_, self._has_copied_params = trainer, data.columns, False
            executor = partial(open_executor, trainer, loader, cluster)
            Run(self, trainer, loader, executor, all_callbacks, writer, spot_notice, best, interrupt == "raise").train()
        return self

    @contextmanager
    def _unchanged_if_refused(self) -> Iterator[None]:
        """Forget the network that was built for data, and the classes of labels, if `fit` refuses them."""
        trainer, network = self.trainer, self._network
        classes = None if network is None else network.classes
        try:
            yield
        except BaseException:
            if self.trainer is trainer is None:
                self._network = network
                if network is not None:
                    network.classes = classes
            raise

    def _resume_from(self, name: str | Path) -> bool:
        """Become the classifier in a checkpoint, and return True, if there is one; refuse another network."""
        path = None if self.trainer is not None else to_resume(name)
        if path is None:
            return False
        stored = checkpoint_read(path)
        resuming.require_same_network(self, stored)
        logger.info("Resuming from %s.", path)
        kept = {"_chosen": self._chosen, "_given_name": self._given_name, "name": self._given_name or stored.name}
        vars(self).update(vars(stored) | kept)
        return True

    def _gather(self, X: Any, y: Any, valid: Any, test: Any, given: dict[str, Any]) -> inputs.Inputs:
        """Return the data of `fit` as the network takes them; the batch size of `Data` counts as given.

        Build the network if its shape is known only now.
        """
        shuffle, size = given.get("shuffle"), given.get("batch_size", self.batch_size)
        order = ORDERS[shuffle]
        if self.trainer is not None:
            order, size = self.trainer.settings.order, self.trainer.settings.batch_size
        data = inputs.gather(X, y, valid, test, size, order, self.seed)
        if data.order == inputs.OWN:
            if shuffle is not None:
                raise TypeError(
                    f"got shuffle={shuffle} together with Data, which has an order of its own; need one or the other; "
                    f"try Data(..., shuffle={shuffle})"
                )
            if data.train.batch_size is not None:
                given.setdefault("batch_size", data.train.batch_size)
            elif self.batch_size is None and self.trainer is None:
                given.setdefault("batch_size", BATCH_SIZE)
        data.columns = data.train.column_names if self.trainer is None else self.feature_names_in_
        data.adapt(None if self._network is None else self._network.readable_shape)
        if self._network is None:
            self._build(data.train.shape)
            data.adapt(self.network.readable_shape)  # held-out images have the size of the first one
        self._find_classes(data.train)
        return data

    def _callbacks(
        self, callbacks: Sequence[Callback] | Callback, progress: bool | None, trainer: Trainer
    ) -> CallbackList:
        """Return the user's callbacks and our own; refuse a state that could not be stored."""
        bar = [ProgressBar()] if (ProgressBar.is_wanted() if progress is None else progress) else []
        own = [callbacks] if isinstance(callbacks, Callback) else callbacks
        found = CallbackList([*own, *bar, ValidationLog()], self, trainer.callback_states)
        found.get_state()
        return found

    def _find_classes(self, train: Data) -> None:
        """Note which classes the labels stand for, unless that is known."""
        network = self.network
        if not network.output_layer.has_classes or train.labels is None:
            return
        if self.trainer is not None and network.classes is not None:
            return
        classes = find_classes(summarize(train), network.output_layer.n_classes)
        # In earlier versions the labels of a folder of images were the numbers of its classes, in the same order.
        is_folder = isinstance(getattr(train.features, "reader", train.features), ImageFolderReader)
        if self.trainer is None or is_folder:
            copied, network.classes = network.classes, classes
            if copied is not None and copied.tolist() != self.classes_.tolist():
                warnings.warn(
                    f"got labels {describe_classes(self.classes_)} for an output layer copied from a network of the "
                    f"classes {describe_classes(copied)}, which has to learn them anew; try set_trainable_params with "
                    "the other layers only", stacklevel=5,
                )  # fmt: skip
            if classes is not None:
                logger.info("Classes: %s.", describe_classes(classes))

    def _new_trainer(self, given: Mapping[str, Any], order: str, cluster: Cluster | None) -> Trainer:
        """Return a training run with the settings given to `fit`, after checking them."""
        if "n_epochs" not in given:
            raise ValueError("got no n_epochs; need the number of epochs to train; try n_epochs=50")
        output = self.network.output_layer
        defaults = {
            "batch_size": self.batch_size,
            "order": order,
            "first_epoch": 1,
            "train_loss": output.trainable_losses()[0],
            "valid_loss": output.trainable_losses()[0],
            "test_loss": list(output.default_test_losses),
            "shards": 1 if cluster is None else SHARDS,
            "shard_threads": 1 if cluster is None else cluster.threads,
        }
        settings = defaults | {name: value for name, value in given.items() if name not in (*OF_SGD, "shuffle")}
        settings["extra_metadata"] = dict(settings.get("extra_metadata", {}))
        sgd = SGD(**{OF_SGD[name]: value for name, value in given.items() if name in OF_SGD})
        checked = Settings(**settings)
        checked.check_for(self.network)
        return Trainer(self.network, checked, sgd, self.seed)

    def _resume(
        self, trainer: Trainer, given: Mapping[str, Any], change: Sequence[str], functions: Mapping[str, str]
    ) -> None:
        """Change what may change when training is resumed, and warn of what differs and stays."""
        stored = {"rng": self.seed, "theano_rng": self.dropout_seed, "batch_size": trainer.settings.batch_size}
        n_epochs = checks.whole_number(given.get("n_epochs", trainer.settings.n_epochs), "n_epochs")
        chosen = {name: (value, stored[name]) for name, value in self._chosen.items() if name not in given}
        resuming.compare_settings(trainer, given, chosen, [*change, "n_epochs"])
        resuming.compare_functions(trainer.settings.functions, functions)
        trainer.settings.n_epochs = n_epochs
        resuming.change_rules(trainer, given, change)

    # -- prediction --------------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array, Reader, Data or file name, n rows
            The columns of a data frame, or of a table with names, are matched by name with those of the training data.

        Returns
        -------
        array of shape (n, n_classes)
            In the order of `classes_`.

        Raises
        ------
        ValueError
            If columns are missing or new, or rows have another shape than the network needs.
        """
        data = features_alone(X, PREDICT_ROWS).adapted(self.feature_names_in_, self.network.readable_shape)
        if data.shape == () and self.network.accepts((data.n_rows,)):
            raise ValueError(
                f"got one row of {data.n_rows} numbers; need rows, an array of shape (n, {data.n_rows}); try "
                "X[np.newaxis], or frame.iloc[[0]], for a single example"
            )
        loader = Loader({"predict": data}, PREDICT_ROWS, network=self.network)
        with closing(LocalExecutor(self.network, loader)) as executor:
            return np.concatenate(list(executor.predict(loader.refs("predict"))))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, by the parameters that the network has; see `weights`.

        Parameters
        ----------
        X : array, Reader, Data or file name, n rows

        Returns
        -------
        array of shape (n,)
            Labels as in `classes_`: class numbers, int64, if the network was trained on these. With a
            `MultilabelOutputLayer`, 0 and 1 for each label, of shape (n, n_classes).
        """
        found = self.network.output_layer.decide(self.predict_proba(X))
        return found if self.network.classes is None else self.network.classes[found]

    def score(self, X: Any, y: Any = None) -> float:
        """Return the fraction of rows, in [0, 1], that are classified correctly.

        The network is used with the parameters that it has; see `weights`.

        Parameters
        ----------
        X : array, Reader, Data or file name
            `Data` and files that `fit` takes have the labels; of a file with three pairs, the last one counts.
        y : array, Reader or file name, optional
            The labels.
        """
        if y is None and isinstance(X, str | Path):
            content = read_data(X)
            X, y = content[-1] if len(content) == 3 else content
        data = X if isinstance(X, Data) and y is None else Data(X, y)  # checks that there are as many labels as rows
        if data.labels is None:
            raise ValueError("got no labels; need one for each row; try score(X, y)")
        labels = np.concatenate([rows for _, rows in iter_labels(evaluated(data))])
        output = self.network.output_layer
        return output.score(output.decide(self.predict_proba(data)), self.network.prepare_labels(labels))

    # -- state -------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of this classifier as plain data; see :class:`~arignote.checkpoint.state.ModelState`."""
        if self.trainer is None:
            return self._state().to_plain()
        with self.trainer.paused():
            state = self._state()
            state.run = self.trainer.get_state()
            return state.to_plain()

    def _state(self) -> ModelState:
        """Return the state without the training run."""
        network = self._network
        return ModelState(
            layer_defs=self.layer_defs,
            name=self.name,
            batch_size=self.batch_size,
            seed=self.seed,
            dropout_seed=self.dropout_seed,
            input_shape=None if network is None else network.input_layer.input_shape,
            classes=None if network is None or network.classes is None else network.classes.tolist(),
            columns=self.feature_names_in_,
            has_copied_params=self._has_copied_params,
            params=None if network is None else network.get_values(),
            run=None,
        )

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        stored = ModelState.from_plain(migrate(state))
        self.layer_defs = definitions.read(stored.layer_defs)
        self.name = stored.name
        self.batch_size = stored.batch_size
        self.seed = streams.as_seed(stored.seed)
        self.dropout_seed = streams.as_seed(stored.dropout_seed)
        self.feature_names_in_ = stored.columns
        self._has_copied_params = stored.has_copied_params
        self.trainer = None
        self._network = None
        self._stored_network = None
        self._chosen, self._given_name, self._start_values = {}, None, {}
        if stored.input_shape is not None:
            self._build(stored.input_shape, dict(stored.params or {}), stored.classes)
        if stored.run is not None:
            self.trainer = Trainer.from_state(stored.run, self.network, self.seed)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "NNClassifier":
        """Restore a classifier from a state, of this version or an earlier one."""
        new = cls.__new__(cls)
        new.__setstate__(state)
        return new


def _table_row(layer: Layer) -> str:
    """Return a line on a layer: name, type, shapes of an example, number of parameters and their size."""
    shapes = " -> ".join("x".join(str(n) for n in shape) for shape in (layer.input_shape, layer.output_shape))
    row = f"  {layer.name:8} {type(layer).__name__:25} {shapes}"
    values = [param.get_value(borrow=True) for param in layer.params.values()]
    if not values:
        return row
    n_params, size = sum(value.size for value in values), checks.human_size(sum(value.nbytes for value in values))
    return f"{row} {f'{n_params:,}'.rjust(62 - len(row))} params, {size}"  # 80 columns
