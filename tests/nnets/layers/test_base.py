import numpy as np
import pytest

from arignote.nnets.layers import LAYERS, Layer, WeightLayer
from arignote.nnets.nets import NNClassifier


class TimesTwoLayer(Layer):
    """The smallest layer there can be."""

    def expression(self, x):
        return 2 * x


class GainLayer(Layer):
    """A layer that learns."""

    def __init__(self, start, name=None):
        super().__init__(name)
        self.start = start

    def create_params(self):
        self.add_param("gain", np.full(self.output_shape, self.start))

    def expression(self, x):
        return x * self.params["gain"]


def test_a_layer_of_ones_own_is_one_method(quick, blobs):
    X, y = blobs
    definition = [[TimesTwoLayer], [GainLayer, {"start": 0.5}], ["ClassificationOutputLayer", {"n_classes": 3}]]
    classifier = NNClassifier(definition, rng=0).fit(X, y, n_epochs=5, batch_size=40, sgd_type="adam")
    assert classifier.layer_defs[1] == ["TimesTwoLayer", {"name": "layer1"}]
    assert "layer2.gain" in classifier.params
    assert (classifier.params["layer2.gain"].get_value() != 0.5).any()


def test_a_layer_of_ones_own_is_known_by_name():
    assert LAYERS["TimesTwoLayer"] is TimesTwoLayer
    NNClassifier([["TimesTwoLayer"], ["ClassificationOutputLayer", {"n_classes": 2}]], n_in=3)


def test_a_layer_cannot_take_the_place_of_one_of_the_librarys():
    with pytest.raises(ValueError, match="taken.*try class MyFCLayer"):
        type("FCLayer", (Layer,), {})
    assert LAYERS["FCLayer"].__module__ == "arignote.nnets.layers.dense"


def test_base_classes_cannot_be_named_in_a_definition():
    assert not {"Layer", "WeightLayer", "OutputLayer", "ActivatedLayer", "WeightedOutputLayer"} & set(LAYERS)


def test_a_layer_without_expression_says_so():
    class ForgetfulLayer(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"ForgetfulLayer must define expression\(self, x\)"):
        NNClassifier([[ForgetfulLayer], ["ClassificationOutputLayer", {"n_classes": 2}]], n_in=3)
    del LAYERS["ForgetfulLayer"]


def first_update(quick_network, **params):
    """Train one batch and return the parameters before and after."""
    definition = [["FCLayer", {"n_units": 4, "activation": "tanh", "name": "fc1"} | params],
                  ["ClassificationOutputLayer", {"n_classes": 3, "name": "output"}]]  # fmt: skip
    classifier = NNClassifier(definition, n_in=5, rng=1)
    rng = np.random.default_rng(0)
    classifier.set_trainable_params({"output.W": rng.normal(size=(4, 3))})
    before = classifier.network.get_values()
    X, y = rng.normal(size=(20, 5)), rng.integers(3, size=20)
    classifier.fit(X, y, n_epochs=1, batch_size=20, sgd_type="sgd", lr_rule={"rule": "const", "initial_value": 0.5})
    return before, classifier.network.get_values()


def test_maxnorm_bounds_the_incoming_weights_of_each_unit(quick):
    before, after = first_update(quick, maxnorm=0.3)
    assert (np.linalg.norm(before["fc1.W"], axis=0) > 0.3).all()
    np.testing.assert_allclose(np.linalg.norm(after["fc1.W"], axis=0), 0.3, rtol=1e-5)
    assert (np.linalg.norm(after["output.W"], axis=0) > 0.3).any()


def test_maxnorm_leaves_small_weights_alone(quick):
    free, bound = first_update(quick)[1], first_update(quick, maxnorm=100.0)[1]
    np.testing.assert_allclose(free["fc1.W"], bound["fc1.W"], rtol=1e-6)


def test_maxnorm_bounds_each_filter_of_a_convolution():
    layers = [["InputImageLayer", {"n_images": 2, "n_pixels": 5}],
              ["ConvLayer", {"n_output_maps": 3, "filter_shape": 3, "maxnorm": 0.1, "name": "conv"}],
              ["ClassificationOutputLayer", {"n_classes": 2}]]  # fmt: skip
    rng = np.random.default_rng(0)
    classifier = NNClassifier(layers, rng=0).fit(
        rng.normal(size=(8, 50)), rng.integers(2, size=8), n_epochs=1, batch_size=8, sgd_type="sgd"
    )
    norms = np.sqrt((classifier.params["conv.W"].get_value() ** 2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(norms, 0.1, rtol=1e-5)


@pytest.mark.parametrize(("kind", "gradient"), [("l1", np.sign), ("l2", lambda W: 2 * W)])
@pytest.mark.parametrize("bound", [None, 1e6])
def test_weight_decay_pulls_at_the_weights_alone(kind, gradient, bound):
    def trained(strength):
        defs = [["FCLayer", {"n_units": 4, kind: strength}], ["ClassificationOutputLayer", {"n_classes": 3}]]
        classifier = NNClassifier(defs, n_in=5, rng=1)
        classifier.set_trainable_params({"fc1.b": np.arange(4)})
        before = classifier.network.get_values()
        rate = {"rule": "const", "initial_value": 0.5}
        X, y = np.ones((6, 5)), np.arange(6) % 3
        classifier.fit(X, y, n_epochs=1, batch_size=6, sgd_type="sgd", lr_rule=rate, sgd_max_grad_norm=bound)
        return before, classifier.network.get_values()

    (before, without), (_, decayed) = trained(0.0), trained(0.25)
    expected = without["fc1.W"] - 0.5 * 0.25 * gradient(before["fc1.W"])
    np.testing.assert_allclose(decayed["fc1.W"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(decayed["fc1.b"], without["fc1.b"])


def test_fixed_parameters_stay(quick):
    before, after = first_update(quick, fix_params=["W"])
    np.testing.assert_array_equal(before["fc1.W"], after["fc1.W"])
    assert (before["fc1.b"] != after["fc1.b"]).any()
    before, after = first_update(quick, fix_params=True)
    np.testing.assert_array_equal(before["fc1.b"], after["fc1.b"])
    assert (before["output.W"] != after["output.W"]).any()


def test_fix_params_must_fit_a_parameter():
    with pytest.raises(ValueError, match=r"'w'.*need the beginning of a parameter's name.*\"W\""):
        NNClassifier(
            [["FCLayer", {"n_units": 4, "fix_params": ["w"]}], ["ClassificationOutputLayer", {"n_classes": 3}]], n_in=5
        )


def test_weight_layer_is_open_to_users(quick):
    class DiagonalLayer(WeightLayer):
        def create_params(self):
            self.add_weight("W", lambda rng: rng.normal(size=self.input_shape), incoming_axes=())

        def expression(self, x):
            return x * self.params["W"]

    net = NNClassifier([[DiagonalLayer, {"l2": 0.1}], ["ClassificationOutputLayer", {"n_classes": 2}]], n_in=3, rng=0)
    assert net.network.decay(net.params["layer1.W"]) == (0.0, 0.1)
    del LAYERS["DiagonalLayer"]
