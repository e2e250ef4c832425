"""Arguments that other libraries have: the error names ours instead."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from arignote.nnets.objectives import ALIASES as LOSSES
from arignote.nnets.updates import SGD
from arignote.util import checks

P = ParamSpec("P")
R = TypeVar("R")

# What to try instead of an argument of scikit-learn, Keras, PyTorch or Lightning. "{}" is the value that was given.
TRAINING = {
    "lr_rule={}": "learning_rate lr learning_rate_init eta eta0 base_lr",
    "momentum_rule={}": "momentum",
    'sgd_type="adam"': "optimizer solver algorithm optim",
    'sgd_type="nag"': "nesterov nesterovs_momentum use_nesterov",
    "n_epochs={}": "epochs nb_epoch nb_epochs num_epochs max_epochs max_iter n_iter",
    "batch_size={}": "minibatch_size mini_batch_size bs",
    'train_loss="nll"': "loss loss_function loss_fn loss_func criterion objective",
    'valid_loss="error"': "monitor scoring",
    'test_loss=["error", "nll"]': "metrics metric eval_metric",
    "valid=(X_valid, y_valid)": "validation_data valid_data eval_set X_val y_val X_valid y_valid",
    "test=(X_test, y_test)": "test_data X_test y_test",
    "valid={}": "validation_split validation_fraction valid_frac",
    "progress={}": "verbose verbosity progress_bar enable_progress_bar",
    "callbacks=[EarlyStopping(patience=10)]": "early_stopping n_iter_no_change",
    "callbacks=[EarlyStopping(patience={})]": "patience early_stopping_rounds",
    "callbacks=[...]": "callback",
    'checkpoint="runs/mnist"': "checkpoint_dir checkpoint_path checkpoint_callback default_root_dir save_path",
    "sgd_max_grad_norm={}": "max_grad_norm clipnorm clip_norm global_clipnorm gradient_clip_val",
    'lr_rule={{"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.25, "interval": 5}}': (
        "lr_scheduler scheduler lr_schedule learning_rate_schedule reduce_lr"
    ),
    "augmentation={}": "augment augmentations transform transforms",
    "workers={}": "n_jobs num_workers n_workers",
}
NETWORK = {
    "layer_defs={}": "layers layer_definitions layer_list architecture model network modules",
    "layer_defs=nets.define_mlp(10, {})": "hidden_layer_sizes hidden hidden_sizes hidden_units n_hidden",
    'layer_defs=[..., ["ClassificationOutputLayer", {{"n_classes": {}}}]]': (
        "n_classes num_classes classes n_outputs n_out output_dim"
    ),
    'layer_defs=[["FCLayer", {{"n_units": 100, "activation": {}}}], ...]': "activation activations nonlinearity",
    'layer_defs=[["FCLayer", {{"n_units": 100, "l2": {}}}], ...]': "l2 weight_decay alpha reg regularization",
    'layer_defs=[..., ["DropoutLayer", {{"dropout_p": {}}}], ...]': "dropout dropout_p dropout_rate",
    "n_in={}": "input_shape input_dim input_size in_features n_features n_inputs",
    "rng={}": "seed random_seed rng_seed",
    "stored_network={}": "weights pretrained init_from",
}


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: advice for advice, names in table.items() for name in names.split()}


OF_TRAINING, OF_NETWORK = _by_name(TRAINING), _by_name(NETWORK)


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate `fit` or `__init__` of a classifier: an argument that it lacks is refused with the one to use instead.

    Raises
    ------
    TypeError
        When the decorated function is called with an unknown argument.

    Examples
    --------
    >>> @explained
    ... def fit(X, lr_rule=None): ...
    >>> fit([1, 2], learning_rate=0.1)
    Traceback (most recent call last):
    TypeError: got fit(learning_rate=0.1); need an argument of fit; try lr_rule=0.1
    """
    known = [name for name in inspect.signature(function).parameters if name != "self"]

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in known:
                raise TypeError(_message(function.__name__, name, value, known))
        return function(*args, **kwargs)

    return checked


def of_today(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `fit` with an optimizer taken apart, and losses under today's names.

    What is given beside an optimizer counts.

    Examples
    --------
    >>> of_today({"sgd_type": SGD("nag", 0.1, 0.9), "train_loss": "negative_log_likelihood"})["train_loss"]
    'nll'
    """
    found = dict(given)
    if isinstance(found.get("sgd_type"), SGD):
        sgd = found.pop("sgd_type")
        own = {
            "sgd_type": sgd.sgd_type,
            "lr_rule": sgd.lr_rule.definition(),
            "momentum_rule": sgd.momentum_rule.definition(),
            "sgd_max_grad_norm": sgd.max_grad_norm,
        }
        found = {name: value for name, value in own.items() if value is not None} | found
    for name in ("train_loss", "valid_loss", "test_loss"):
        if name in found:
            found[name] = _loss_of_today(found[name])
    return found


def _loss_of_today(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_loss_of_today(each) for each in value]
    return LOSSES.get(value, value) if isinstance(value, str) else value


def _message(function: str, name: str, value: object, known: list[str]) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 40 else "..."
    called, others = ("NNClassifier", "fit") if function == "__init__" else ("fit", "NNClassifier")
    own, foreign = (OF_NETWORK, OF_TRAINING) if called == "NNClassifier" else (OF_TRAINING, OF_NETWORK)
    if name in own:
        advice = f"try {own[name].format(shown)}"
    elif name in foreign:
        advice = f"try {others}(..., {foreign[name].format(shown)})"
    else:
        advice = checks.suggestion(name, known)
    return f"got {called}({name}={shown}); need an argument of {called}; {advice}"
