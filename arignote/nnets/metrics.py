"""Metrics: measures of a network that are reported, but have no gradient to train on.

A metric is a function like an objective, of the symbolic output, target and, optionally, weight of each example; see
:mod:`arignote.nnets.objectives`. Each output layer has a table of them, by the names that ``valid_loss`` and
``test_loss`` take.
"""

from collections.abc import Callable
from dataclasses import dataclass

from arignote.engine import float_type, tensor
from arignote.nnets.objectives import weighted_mean
from arignote.ops import fraction_wrong


@dataclass(frozen=True)
class Metric:
    """A metric, and how it is displayed.

    Parameters
    ----------
    function : callable
        ``function(output, target, weight=None)``.
    in_percent : bool, optional
        Display it in per cent; by default False.
    """

    function: Callable
    in_percent: bool = False

    def __call__(self, output, target, weight=None):
        return self.function(output, target, weight)


def error(output, target, weight=None):
    """Return the fraction of examples whose most probable class is not their label.

    Parameters
    ----------
    output : symbolic matrix of shape (n, n_classes)
    target : symbolic int32 vector
    weight : symbolic vector, optional
    """
    if weight is None:
        return fraction_wrong(output, target)
    return weighted_mean(tensor.cast(tensor.neq(output.argmax(axis=1), target), float_type()), weight)


def multilabel_error(output, target, weight=None):
    """Return the fraction of labels, 0 or 1, that are predicted wrongly.

    Parameters
    ----------
    output, target : symbolic matrices of shape (n, n_labels)
    weight : symbolic vector, optional
    """
    wrong = tensor.neq(output > 0.5, target > 0.5)
    return wrong.mean() if weight is None else weighted_mean(wrong.mean(axis=1), weight)


CLASSIFICATION: dict[str, Metric] = {"error": Metric(error, in_percent=True)}
MULTILABEL: dict[str, Metric] = {"error": Metric(multilabel_error, in_percent=True)}
