import math

import numpy as np
import pytest

from arignote.nnets.schedules import Rule


def values(rule, losses):
    return [rule.update(loss) for loss in losses]


@pytest.mark.parametrize("name", ["const", "constant"])
def test_constant_rule(name):
    assert values(Rule(name, 0.5, multiply_by=0.1, interval=1), [3, 2, 1]) == [0.5] * 3


def test_fixed_rule_counts_validations():
    rule = Rule("fixed", 8, multiply_by=0.5, interval=2)
    assert values(rule, [1, 2, 3, 4, 5]) == [8, 4, 4, 2, 2]


def test_fixed_rule_uses_up_its_schedule_first():
    rule = Rule("fixed", 64, multiply_by=0.5, interval=3, schedule=[1, 3])
    assert values(rule, [1] * 9) == [32, 32, 16, 16, 16, 8, 8, 8, 4]


def test_fixed_rule_with_a_schedule_alone():
    rule = Rule("fixed", 8, multiply_by=0.5, schedule=[2])
    assert values(rule, [1] * 5) == [8, 4, 4, 4, 4]


def test_schedule_counts_epochs_if_it_is_told_of_them():
    rule = Rule("fixed", 8, multiply_by=0.5, schedule=[2])
    assert [rule.update(1, epoch) for epoch in (0.5, 1, 1.5, 2, 2.5)] == [8, 8, 8, 4, 4]


def test_stalled_rule_waits_for_a_best_and_then_afresh():
    rule = Rule("stalled", 8, multiply_by=0.5, interval=2)
    assert values(rule, [5, 6, 4, 5, 5, 5, 5, 3, 9, 9]) == [8, 8, 8, 8, 4, 4, 2, 2, 2, 1]


def test_stalled_rule_uses_up_its_schedule_first():
    rule = Rule("stalled", 8, multiply_by=0.5, interval=2, schedule=[3])
    assert values(rule, [5, 6, 6, 6, 6, 6]) == [8, 8, 4, 4, 2, 2]


def test_a_loss_that_is_no_number_is_no_best():
    rule = Rule("stalled", 8, multiply_by=0.5, interval=2)
    assert values(rule, [5, math.nan, math.nan]) == [8, 8, 4]
    assert rule.best == 5


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"initial_value": 0.7, "decrease_by": -0.1, "final_value": 0.95}, [0.8, 0.9, 0.95, 0.95]),
        ({"initial_value": 1.0, "multiply_by": 0.5, "final_value": 0.3}, [0.5, 0.3, 0.3, 0.3]),
        ({"initial_value": 1.0, "decrease_by": 0.2, "multiply_by": 0.5}, [0.4, 0.1, -0.05, -0.125]),
    ],
)
def test_values_never_go_past_the_final_one(params, expected):
    np.testing.assert_allclose(values(Rule("fixed", interval=1, **params), [1] * 4), expected)


def test_a_restored_rule_goes_on():
    losses = [5, 6, 6, 4, 5, 5, 5, 5, 5]
    for stop in range(len(losses)):
        rule = Rule("stalled", 8, multiply_by=0.5, interval=2, schedule=[2])
        found = values(rule, losses[:stop])
        found += values(Rule.from_state(rule.get_state()), losses[stop:])
        assert found == values(Rule("stalled", 8, multiply_by=0.5, interval=2, schedule=[2]), losses)


def test_both_names_of_the_constant_rule_are_equal():
    assert Rule("constant", 0.5).definition() == Rule("const", 0.5).definition()


def test_a_rule_that_takes_over_knows_the_best_loss_and_what_is_over():
    earlier = Rule("const", 0.5)
    for loss in (3.0, 1.0, 2.0):
        earlier.update(loss)
    new = Rule("stalled", 0.1, multiply_by=0.5, interval=1, schedule=[2, 5]).taking_over(earlier, epoch=3)
    assert (new.value, new.n_validations, new.n_scheduled) == (0.1, 3, 1)
    # Epoch 5 is in the schedule; after that, 1.5 is no new best, and 0.5 is one.
    assert [new.update(loss, epoch) for epoch, loss in ((4, 1.5), (5, 1.5), (6, 1.5), (7, 0.5))] == [
        0.1, 0.05, 0.025, 0.025,
    ]  # fmt: skip


@pytest.mark.parametrize("number", [0.01, 1, 0, np.float32(0.5)])
def test_a_number_is_a_constant_rule(number):
    rule = Rule.read(number, "lr_rule")
    assert rule.definition() == Rule("const", float(number)).definition()


@pytest.mark.parametrize("value", ["0.01", True, [0.01], None])
def test_what_is_neither_a_number_nor_a_rule_is_refused(value):
    with pytest.raises(TypeError, match="need a number or a dictionary of Rule parameters; try lr_rule=0.1, or"):
        Rule.read(value, "lr_rule")
