"""Layers at the end of a network: what it predicts, its objectives, and its metrics.

``train_loss="my_loss"`` in `fit` finds an objective of the output layer by its name; the first one is the default. A
custom output layer can also define a method ``my_loss(self, y)``, which takes the symbolic labels and returns a
symbolic scalar, the mean over the batch.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from arignote.engine import sigmoid, tensor
from arignote.nnets import metrics as metric_tables
from arignote.nnets import objectives as objective_tables
from arignote.nnets.layers.base import Layer, WeightLayer
from arignote.nnets.layers.dense import as_vectors
from arignote.nnets.objectives import with_logarithms
from arignote.ops import activate, matmul, softmax
from arignote.util import checks


class OutputLayer(Layer, abstract=True):
    """The base class of output layers: a classifier, unless a subclass says otherwise.

    The output is the probability of each class, of shape (n, n_classes); labels are class numbers.

    Attributes
    ----------
    objectives : dict of str to callable
        The losses to train on, by name; the first is the default.
    metrics : dict of str to Metric
        Other measures that can be reported.
    default_test_losses : sequence of str
        What is reported of test data by default.
    output_name : str
        What the output is called in an exported model.
    has_classes : bool
        True if each row has one label, its class, which can be text, too.
    """

    short_name = "output"
    objectives: ClassVar[Mapping[str, objective_tables.Objective]] = objective_tables.CLASSIFICATION
    metrics: ClassVar[Mapping[str, metric_tables.Metric]] = metric_tables.CLASSIFICATION
    default_test_losses: ClassVar[Sequence[str]] = ("error", "nll")
    output_name: ClassVar[str] = "probabilities"
    has_classes: ClassVar[bool] = True

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        if "prepare_labels" in vars(cls) and "has_classes" not in vars(cls):
            cls.has_classes = False  # its labels are of its own kind

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.output_shape[0]

    # -- objectives and metrics --------------------------------------------------------------------------------------

    def nll(self, y):
        """Return the objective "nll", for use in custom losses."""
        return self.objectives["nll"](self.output, y)

    def error(self, y):
        """Return the metric "error", for use in custom losses."""
        return self.metrics["error"](self.output, y)

    def loss(self, name: str, y):
        """Return a loss by its name, symbolic: a custom method of the layer, an objective or a metric."""
        if name in self.custom_losses():
            return getattr(self, name)(y)
        table = self.objectives if name in self.objectives else self.metrics
        return table[name](self.output, y)

    def custom_losses(self) -> list[str]:
        """Return the names of a custom layer's methods with the signature ``(self, y)``."""
        methods = inspect.getmembers(type(self), inspect.isfunction)
        custom = {name: method for name, method in methods if not method.__module__.startswith("arignote.")}
        found = [name for name, method in custom.items() if list(inspect.signature(method).parameters) == ["self", "y"]]
        for name in custom:
            if name in {**self.objectives, **self.metrics} and name not in found:
                raise ValueError(
                    f"{self}: got a method {name}{inspect.signature(custom[name])}; need the arguments (self, y) to "
                    f"replace that loss; try def {name}(self, y)"
                )
        return found

    def trainable_losses(self) -> list[str]:
        """Return the names of the losses that a network can be trained on."""
        custom = [name for name in self.custom_losses() if name not in self.metrics]
        return list(dict.fromkeys([*self.objectives, *custom]))

    def losses(self) -> list[str]:
        """Return the names of all losses that can be reported."""
        return list(dict.fromkeys([*self.objectives, *self.metrics, *self.custom_losses()]))

    # -- labels and predictions --------------------------------------------------------------------------------------

    def label_symbol(self):
        """Return the symbolic labels of a batch."""
        return tensor.ivector("y")

    def prepare_labels(self, labels: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Check the labels of some rows and return them as the network takes them.

        Raises
        ------
        ValueError
            If a label is not a whole number in 0 ... n_classes - 1; the message names the first such row.
        """
        labels = np.asarray(labels)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise ValueError(
                f"got labels of shape {labels.shape}; need one class number for each row; "
                "try labels.argmax(axis=1) for one-hot labels, or a MultilabelOutputLayer"
            )
        require_numbers(labels)
        bad = ~((labels >= 0) & (labels < self.n_classes) & (labels == np.floor(labels)))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(
                f"got the label {labels[row]} in row {first_row + row}; need whole numbers from 0 to "
                f"{self.n_classes - 1} ({self} has n_classes={self.n_classes}), or labels of exactly {self.n_classes} "
                "classes; try another n_classes, or numbering the classes from 0"
            )
        return labels.astype(np.int32)

    def decide(self, output: np.ndarray) -> np.ndarray:
        """Turn probabilities, shape (n, n_classes), into predicted classes, int64 of shape (n,)."""
        return output.argmax(axis=1)

    def score(self, predicted: np.ndarray, labels: np.ndarray) -> float:
        """Return the fraction of correct predictions."""
        return float((predicted == labels).mean())

    def describe_score(self, score: float, n_rows: int) -> str:
        """Return a sentence on the score of `n_rows` examples."""
        return f"{100 * (1 - score):.2f} % of {n_rows} examples are misclassified"


class SoftmaxOutputLayer(OutputLayer):
    """The softmax of its input, one value for each class; without weights.

    Parameters
    ----------
    n_classes : int, optional
        Checked against the size of the input if given.
    name : str, optional
    """

    def __init__(self, n_classes: int | None = None, name: str | None = None):
        super().__init__(name)
        self._n_classes = None if n_classes is None else checks.whole_number(n_classes, "n_classes", least=2)

    def output_shape_for(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 2 or self._n_classes not in (None, input_shape[0]):
            self.refuse("one value for each class", 'a ["GlobalAveragePoolLayer"] or an FCLayer before it')
        return input_shape

    def expression(self, x):
        return softmax(x)


class WeightedOutputLayer(OutputLayer, WeightLayer, abstract=True):
    """A linear map to one value for each class. Its weights start at zero.

    Parameters
    ----------
    n_classes : int
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    least_classes = 2

    def __init__(
        self,
        n_classes: int,
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(name, l1, l2, maxnorm, fix_params)
        self._n_classes = checks.whole_number(n_classes, "n_classes", least=self.least_classes)

    def output_shape_for(self, input_shape):
        if self.layout == "c01b":
            self.refuse("images in the order (batch, channel, row, column)", 'a ["C01BToBC01Layer"] before it')
        return (self._n_classes,)

    def create_params(self):
        n_in = int(np.prod(self.input_shape))
        shape = (n_in, self._n_classes)
        self.add_weight("W", lambda rng: np.zeros(shape), incoming_axes=(0,), shape=shape)
        self.add_param("b", lambda rng: np.zeros(shape[1]), shape[1:])

    def linear(self, x):
        """Return ``x @ W + b``."""
        return activate("linear", matmul(as_vectors(x, self.input_shape), self.params["W"]), self.params["b"])


class ClassificationOutputLayer(WeightedOutputLayer):
    """Multinomial logistic regression, ``softmax(x @ W + b)``; of two classes with one unit, ``sigmoid(x @ W + b)``.

    Parameters
    ----------
    n_classes : int
        Number of classes; labels are 0 ... n_classes - 1. With 1, there are two classes, and one unit for the
        probability of class 1: half as many weights, and the same family of functions as with 2.
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    least_classes = 1

    def output_shape_for(self, input_shape):
        (n_units,) = super().output_shape_for(input_shape)
        return (max(2, n_units),)

    def expression(self, x):
        z = self.linear(x)
        if self._n_classes > 1:
            return softmax(z)
        signs = np.array([-1, 1], dtype=z.dtype)
        return with_logarithms(log_sigmoid(z[:, 0].dimshuffle(0, "x") * signs))


class OrdinalOutputLayer(WeightedOutputLayer):
    r"""Ordinal regression: classes in an order, such as grades, by one score and thresholds (proportional odds).

    The score is ``s = x @ W``; class ``k`` or one below it has the probability ``sigmoid(t[k] - s)``, with thresholds
    ``t[0] < t[1] < ...``: ``t[0] = b[0]``, and ``t[k] = t[k - 1] + exp(b[k])``, so that they keep their order. At the
    start all classes are as probable. McCullagh, "Regression models for ordinal data", J. R. Stat. Soc. B 42 (1980).

    Parameters
    ----------
    n_classes : int
        Number of classes; labels are 0 ... n_classes - 1, in their order.
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    least_classes = 2

    def create_params(self):
        shape = (int(np.prod(self.input_shape)), 1)
        self.add_weight("W", lambda rng: np.zeros(shape), incoming_axes=(0,), shape=shape)
        below = np.arange(1, self._n_classes) / self._n_classes
        thresholds = np.log(below / (1 - below))
        self.add_param("b", np.concatenate([thresholds[:1], np.log(np.diff(thresholds))]))

    def expression(self, x):
        score, b = matmul(as_vectors(x, self.input_shape), self.params["W"])[:, 0].dimshuffle(0, "x"), self.params["b"]
        n = self._n_classes
        is_first = np.arange(n - 1) == 0
        steps = tensor.exp(tensor.switch(is_first, 0, b))
        thresholds = (np.tri(n - 1, dtype=b.dtype) * tensor.switch(is_first, b, steps)).sum(axis=1)
        z = thresholds.dimshuffle("x", 0) - score
        # Class k has the probability sigmoid(z[k]) - sigmoid(z[k - 1]), which is the product of sigmoid(z[k]),
        # sigmoid(-z[k - 1]) and 1 - exp(z[k - 1] - z[k]): of their logarithms none is a difference of large numbers.
        # Each is put in its place by a matrix of zeros and ones, since JAX cannot join arrays of symbolic sizes.
        upper, lower = np.eye(n - 1, n, dtype=b.dtype), np.eye(n - 1, n, 1, dtype=b.dtype)
        between = np.where(is_first[:, np.newaxis], 0, upper).astype(b.dtype)
        shrink = tensor.log(-tensor.expm1(-steps))
        return with_logarithms(
            _placed(log_sigmoid(z), upper)
            + _placed(log_sigmoid(-z), lower)
            + (shrink.dimshuffle(0, "x") * between).sum(axis=0).dimshuffle("x", 0)
        )


def _placed(columns, places):
    """Return a matrix with columns in other places, which a matrix of zeros and ones says."""
    return (columns.dimshuffle(0, 1, "x") * places).sum(axis=1)


def log_sigmoid(z):
    """Return ``log(sigmoid(z))``, exact for large negative numbers too."""
    return tensor.minimum(z, 0) - tensor.log1p(tensor.exp(-abs(z)))


class MultilabelOutputLayer(WeightedOutputLayer):
    """An independent yes or no for each class: ``sigmoid(x @ W + b)``. Labels are 0 or 1, of shape (n, n_classes).

    Parameters
    ----------
    n_classes : int
        Number of labels of each example.
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    objectives = objective_tables.MULTILABEL
    metrics = metric_tables.MULTILABEL
    has_classes = False
    least_classes = 1

    def expression(self, x):
        return sigmoid(self.linear(x))

    def label_symbol(self):
        return tensor.matrix("y")

    def prepare_labels(self, labels, first_row=0):
        labels = np.asarray(labels)
        if labels.ndim == 1 and self.n_classes == 1:
            labels = labels[:, np.newaxis]
        if labels.ndim != 2 or labels.shape[1] != self.n_classes:
            raise ValueError(
                f"got labels of shape {labels.shape}; need {self.n_classes} columns of 0 and 1 for {self}; "
                "try a ClassificationOutputLayer for class numbers"
            )
        require_numbers(labels)
        bad = ~((labels == 0) | (labels == 1)).all(axis=1)
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"got the labels {labels[row]} in row {first_row + row}; need 0 and 1; try labels > 0.5")
        return labels.astype(tensor.matrix().dtype)

    def decide(self, probabilities):
        """Turn probabilities into 0 and 1, int64 of the same shape."""
        return (probabilities > 0.5).astype(np.int64)


def require_numbers(labels: np.ndarray) -> None:
    """Refuse labels that are text or objects, which do not say which class number is meant."""
    if labels.dtype.kind not in "buif":
        raise ValueError(
            f"got labels of dtype {labels.dtype}; need numbers; "
            "try np.unique(labels, return_inverse=True)[1], which numbers the classes"
        )
