import inspect
import math

import numpy as np
import pytest

from arignote import engine
from arignote.nnets.updates import SGD, UPDATE_RULES, UpdateRule, limit_norm

START = np.array([0.5, -1.5])
GRADIENTS = [np.array([0.2, -0.4]), np.array([-0.1, 0.3]), np.array([0.4, 0.05])]
RATE, MOMENTUM = 0.1, 0.9


def by_sgd(gradients):
    p = START.copy()
    for g in gradients:
        p -= RATE * g
    return p


def by_nag(gradients):
    # Sutskever's form: the gradient is that at the point looked ahead to, which is what the parameter holds.
    p, v = START.copy(), 0
    for g in gradients:
        v_before, v = v, MOMENTUM * v - RATE * g
        p += -MOMENTUM * v_before + (1 + MOMENTUM) * v
    return p


def by_rmsprop(gradients):
    p, s = START.copy(), 0
    for g in gradients:
        s = 0.9 * s + 0.1 * g * g
        p -= RATE * g / np.sqrt(s + 1e-6)
    return p


def by_adagrad(gradients):
    p, s = START.copy(), 0
    for g in gradients:
        s = s + g * g
        p -= RATE * g / np.sqrt(s + 1e-6)
    return p


def by_adadelta(gradients):
    p, s, d = START.copy(), 0, 0
    for g in gradients:
        s = 0.95 * s + 0.05 * g * g
        step = -np.sqrt(d + 1e-6) / np.sqrt(s + 1e-6) * g
        d = 0.95 * d + 0.05 * step * step
        p += RATE * step
    return p


def by_adam(gradients):
    p, m, s = START.copy(), 0, 0
    for t, g in enumerate(gradients, start=1):
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        p -= RATE * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    return p


FORMULAS = {
    "sgd": by_sgd,
    "nag": by_nag,
    "momentum": by_nag,
    "rmsprop": by_rmsprop,
    "adagrad": by_adagrad,
    "adadelta": by_adadelta,
    "adam": by_adam,
}


def test_every_rule_is_tested():
    assert set(FORMULAS) == set(UPDATE_RULES)


@pytest.mark.parametrize("scale", [1.0, 1e-7], ids=["usual", "tiny"])  # the tiny ones show the epsilons
@pytest.mark.parametrize("sgd_type", sorted(FORMULAS))
def test_update_agrees_with_numpy(sgd_type, scale, float64, quick):
    sgd = SGD(sgd_type, {"rule": "const", "initial_value": RATE}, {"rule": "const", "initial_value": MOMENTUM})
    param = engine.shared(START, name="p")
    gradient = engine.tensor.vector("gradient")
    step = engine.function([gradient, *sgd.inputs], [], sgd.updates((gradient * param).sum(), [param]), "ignore")
    gradients = [scale * g for g in GRADIENTS]
    for g in gradients:
        step(g, *sgd.input_values())
        sgd.n_updates += 1
    np.testing.assert_allclose(param.get_value(), FORMULAS[sgd_type](gradients), rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-7], ids=["usual", "tiny"])
@pytest.mark.parametrize("sgd_type", sorted(FORMULAS))
def test_a_rule_without_its_kernel_agrees_with_numpy(sgd_type, scale):
    rule = UPDATE_RULES[sgd_type]
    param, kept = START, [np.zeros_like(START) for _ in rule.arrays]
    gradients = [scale * g for g in GRADIENTS]
    for time, g in enumerate(gradients, start=1):
        step, new = rule.function(g, RATE, MOMENTUM, time, *kept)
        param, kept = param + step, list(new.values())
    np.testing.assert_allclose(param, FORMULAS[sgd_type](gradients), rtol=1e-12)


@pytest.mark.parametrize("sgd_type", sorted(FORMULAS))
def test_a_restored_sgd_goes_on_to_the_bit(sgd_type, quick):
    def run(stop_after):
        sgd, value = SGD(sgd_type, {"rule": "const", "initial_value": RATE}), START.astype("float32")
        for i, g in enumerate(GRADIENTS):
            if i == stop_after:
                sgd = SGD.from_state(sgd.get_state())
            param = engine.shared(value, name="p")
            gradient = engine.tensor.fvector("gradient")
            updates = sgd.updates((gradient * param).sum(), [param])
            engine.function([gradient, *sgd.inputs], [], updates, "ignore")(g.astype("float32"), *sgd.input_values())
            sgd.n_updates += 1
            value = param.get_value()
        return value

    assert run(stop_after=None).tobytes() == run(stop_after=1).tobytes() == run(stop_after=2).tobytes()


def test_arrays_are_named_after_their_parameter(quick):
    param = engine.shared(START, name="fc1.W")
    sgd = SGD("adam")
    sgd.updates((param**2).sum(), [param])
    assert sorted(sgd.arrays) == ["mean fc1.W", "mean_square fc1.W"]


def test_norm_of_all_gradients_together_is_bounded(float64, quick):
    a, b = engine.tensor.vector(), engine.tensor.matrix()
    limited = engine.function([a, b], limit_norm([a, b], 1.0))
    found = limited(np.array([3.0]), np.array([[0.0, 4.0]]))
    np.testing.assert_allclose(found[0], [0.6])
    np.testing.assert_allclose(found[1], [[0.0, 0.8]])
    found = limited(np.array([0.3]), np.array([[0.0, 0.4]]))
    np.testing.assert_allclose(found[0], [0.3])


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"rule": "stale", "initial_value": 1}, "rule 'stale'.*try \"stalled\""),
        ({"rule": "const", "initial": 1}, "'initial'.*try \"initial_value\""),
        ({"rule": "const"}, 'without "initial_value"'),
        ({"initial_value": 1}, 'without "rule"'),
        ({"rule": "fixed", "initial_value": 1, "multiply_by": 0.5}, "without a time; need interval or schedule"),
        ({"rule": "const", "initial_value": math.nan}, "initial_value=nan; need a finite number"),
        ({"rule": "fixed", "initial_value": 1, "interval": 0}, "interval=0; need a whole number of 1 or more"),
        ("0.1", "lr_rule='0.1'; need a number or a dictionary"),
    ],
)
def test_refuses_wrong_rules(definition, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SGD("sgd", lr_rule=definition)


def test_refuses_an_unknown_type():
    with pytest.raises(ValueError, match="sgd_type 'adadelt'.*try \"adadelta\""):
        SGD("adadelt")


def test_rules_take_gradient_rate_momentum_and_time():
    for rule in UPDATE_RULES.values():
        assert list(inspect.signature(rule.function).parameters)[:4] == ["gradient", "rate", "momentum", "time"]


def test_numbers_are_constant_rates():
    sgd = SGD("nag", lr_rule=0.05, momentum_rule=0)
    assert sgd.input_values()[:2] == [0.05, 0.0]
    sgd.validated(1.0, 1)
    assert sgd.input_values()[:2] == [0.05, 0.0]


@pytest.mark.parametrize("name", UPDATE_RULES)
def test_whether_a_rule_uses_the_momentum(name):
    rule = UPDATE_RULES[name]
    step, new = rule.function(0.5, RATE, np.nan, 1, *[1.0] * len(rule.arrays))
    assert rule.uses_momentum == bool(np.isnan([step, *new.values()]).any())
    assert ("momentum 0.9" in str(SGD(name, momentum_rule=0.9)).replace("constant ", "")) == rule.uses_momentum


def test_the_momentum_of_a_rule_of_ones_own_is_shown(monkeypatch):
    def heavy_ball(gradient, rate, momentum, time, velocity):
        velocity = momentum * velocity - rate * gradient
        return velocity, {"velocity": velocity}

    monkeypatch.setitem(UPDATE_RULES, "heavy_ball", UpdateRule(heavy_ball, 0.01))
    assert str(SGD("heavy_ball")) == "heavy_ball,\n  learning rate constant 0.01,\n  momentum constant 0.9"
