"""Augmentations of every form get the arguments that they have names or places for."""

from functools import partial

import numpy as np
import pytest

from arignote.util.functions import as_augmentation, pipeline


class Callable:
    def __call__(self, X, y, epoch, rng):
        return X, y, epoch, rng

    def method(self, X, y, rng):
        return X, y, rng


def by_position(X, y, e, r):
    return X, y, e, r


def with_defaults(X, y, epoch=0, rng=None):
    return X, y, epoch, rng


ALL = ("X", "y", 7, "rng")
FORMS = {
    "the first Arignote": (lambda train_x, train_y, epoch, rng: (train_x, train_y, epoch, rng), ALL),
    "only by keyword": (lambda train_x, train_y, *, epoch, rng: (train_x, train_y, epoch, rng), ALL),
    "the other way round": (lambda X, y, rng, epoch: (X, y, epoch, rng), ALL),
    "with defaults": (with_defaults, ALL),
    "by position": (by_position, ALL),
    "an object": (Callable(), ALL),
    "any keywords": (lambda X, y, **others: (X, y, others["epoch"], others["rng"]), ALL),
    "any arguments": (lambda *given, **others: (*given, others["epoch"], others["rng"]), ALL),
    "one of them": (lambda X, y, epoch: (X, y, epoch), ("X", "y", 7)),
    "a method": (Callable().method, ("X", "y", "rng")),
    "a bound name": (partial(with_defaults, epoch=3), ("X", "y", 3, "rng")),
    "a bound place": (partial(by_position, "mine"), None),
    "no names": (lambda X, y: (X, y), ("X", "y")),
    "labels with a default": (lambda X, labels=None: (X, labels), ("X", "y")),
}


@pytest.mark.parametrize("form", FORMS)
def test_functions_get_what_they_take(form):
    function, expected = FORMS[form]
    if expected is None:
        with pytest.raises(TypeError, match="got augmentation with 3 arguments; need f"):
            as_augmentation(function)
    else:
        assert as_augmentation(function)("X", "y", 7, "rng") == expected


def test_features_alone_are_returned_with_the_labels():
    for function, expected in [
        (lambda X: X + "!", "X!"),
        (lambda X, strength=2: X * strength, "XX"),
        (lambda X, epoch: X * epoch, "XXX"),
        (lambda X, rng=None: X + rng, "Xrng"),
        (str.lower, "x"),
    ]:
        assert as_augmentation(function)("X", "y", 3, "rng") == (expected, "y")


def test_a_list_is_applied_in_order():
    steps = [lambda X: X + "a", lambda X, y: (X + "b", y * 2), lambda X, y, epoch, rng: (X + str(epoch), y)]
    assert as_augmentation(steps)("X", "y", 3, None) == pipeline(*steps)("X", "y", 3, None) == ("Xab3", "yy")
    with pytest.raises(TypeError, match="got str from the augmentation; need a pair"):
        pipeline(lambda X, y: X, lambda X: X)("X", "y", 1, None)


@pytest.mark.parametrize("wrong", [3, [lambda X: X, "flip"]])
def test_anything_else_is_refused(wrong):
    with pytest.raises(TypeError, match="got augmentation=(3|'flip'); need a function"):
        as_augmentation(wrong)


@pytest.mark.parametrize("wrong", [lambda: 0, lambda a, b, c: 0, lambda a, b, c, rng: 0, lambda *rows: rows])
def test_other_numbers_of_arguments_are_refused(wrong):
    with pytest.raises(TypeError, match=r"got augmentation with [03] arguments( beside rng)?; need f\(X\), f\(X, y\)"):
        as_augmentation(wrong)


def test_functions_without_a_signature_take_features():
    np.testing.assert_array_equal(as_augmentation(np.abs)(-np.ones(2), None, 1, None)[0], np.ones(2))
