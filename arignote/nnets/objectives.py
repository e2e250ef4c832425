"""Objectives: losses that networks are trained on.

An objective is a function of the network's symbolic output, the symbolic target, and, optionally, a symbolic weight of
each example; it returns one symbolic number, the mean over the minibatch. Each output layer has a table of them, by the
names that ``train_loss`` and ``valid_loss`` take.
"""

from collections.abc import Callable

from arignote.engine import binary_cross_entropy, tensor
from arignote.ops import mean_nll
from arignote.ops.softmax import PickLabel, Softmax

ALIASES = {"negative_log_likelihood": "nll"}
"""Other names of losses -> those in the tables of output layers."""

Objective = Callable
"""``objective(output, target, weight=None)``."""


def with_logarithms(logarithms):
    """Return probabilities whose logarithms are known, for objectives that are exact where a probability is tiny."""
    output = tensor.exp(logarithms)
    output.tag.logarithms = logarithms
    return output


def logarithms_of(output):
    """Return the logarithms of an output that `with_logarithms` returned, or None."""
    return getattr(output.tag, "logarithms", None)


def weighted_mean(values, weight=None):
    """Return the mean of the examples' values, weighted if there are weights.

    Parameters
    ----------
    values : symbolic vector, one value for each example
    weight : symbolic vector, optional
    """
    return values.mean() if weight is None else (weight * values).sum() / weight.sum()


def nll(output, target, weight=None):
    """Return the negative log likelihood of class numbers.

    Parameters
    ----------
    output : symbolic matrix of shape (n, n_classes)
        The probability of each class, as :func:`arignote.ops.softmax` computes it.
    target : symbolic int32 vector
    weight : symbolic vector, optional
    """
    if weight is None and logarithms_of(output) is None:
        return mean_nll(output, target)
    return weighted_mean(-PickLabel()(_log_probabilities(output), target), weight)


def _log_probabilities(output):
    """Return logarithms, exact also where a probability is too small to be stored."""
    known = logarithms_of(output)
    if known is not None:
        return known
    if output.owner is None or not isinstance(output.owner.op, Softmax):
        return tensor.log(output)
    x = output.owner.inputs[0]
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - tensor.log(tensor.exp(shifted).sum(axis=1, keepdims=True))


def multilabel_nll(output, target, weight=None):
    """Return the negative log likelihood of independent labels, 0 or 1, summed over the labels of an example.

    Parameters
    ----------
    output : symbolic matrix of shape (n, n_labels)
        The probability that each label is 1.
    target : symbolic matrix of shape (n, n_labels)
    weight : symbolic vector, optional
    """
    return weighted_mean(binary_cross_entropy(output, target).sum(axis=1), weight)


CLASSIFICATION: dict[str, Objective] = {"nll": nll}
MULTILABEL: dict[str, Objective] = {"nll": multilabel_nll}
