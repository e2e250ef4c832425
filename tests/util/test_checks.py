import math

import numpy as np
import pytest

from arignote.util import checks


@pytest.mark.parametrize("value", [3, 3.0, np.int32(3), np.float64(3)])
def test_whole_numbers(value):
    found = checks.whole_number(value, "n")
    assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None, math.nan, math.inf, [3]])
def test_values_that_are_not_integers_are_refused(value):
    with pytest.raises(ValueError, match="need a whole number of 1 or more; try n=10"):
        checks.whole_number(value, "n")


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.5", None, True, -0.1, 1.0])
def test_values_that_are_not_fractions_are_refused(value):
    with pytest.raises(ValueError, match="need a finite number of at least 0 and less than 1; try p=0.5"):
        checks.number(value, "p", least=0, below=1)


def test_pairs():
    assert checks.pair((2, 3), "shape") == checks.pair(np.array([2, 3]), "shape") == (2, 3)
    for value in ("23", (1, 2, 3), None, 2.5):
        with pytest.raises(ValueError, match="need two whole numbers"):
            checks.pair(value, "shape")


def test_suggestions():
    assert checks.suggestion("prelu_shelve", ["prelu", "prelu_shelf"]).startswith('try "prelu_shelf"')
    assert checks.suggestion("fclayer", ["FCLayer", "ConvLayer"]).startswith('try "FCLayer"')
    assert checks.suggestion("zzz", []) == "it is not available; try one of: "
    assert checks.suggestion("zzz", ["a", "b"]) == "it is not available; try one of: a, b"


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("FCLayr", "FCLayer"), ("Conv2DLayer", "ConvLayer"), ("Dropout", "DropoutLayer"),
        ("MaxPooling2D", "MaxPool2DLayer"), ("BatchNormLayer", None), ("DenseLayer", None), ("LSTMLayer", None),
        ("Layer", None),
    ],
)  # fmt: skip
def test_only_what_is_spelled_nearly_so_is_suggested(word, near):
    known = ["InputLayer", "FCLayer", "ConvLayer", "FlattenLayer", "DropoutLayer", "MaxPool2DLayer"]
    start = "it is not available; try one of: ConvLayer, Dro" if near is None else f'try "{near}" (known: ConvLayer, '
    assert checks.suggestion(word, known).startswith(start)
