"""The benchmarks of JAX: single steps, or an epoch in one `lax.scan`; images as (batch, row, column, channel)."""

import gzip
import pickle
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.networks import BATCH, NETWORKS


def initial(name: str) -> list:
    """Return the initial parameters: a tuple for each layer that has any."""
    rng, shape, params = np.random.default_rng(0), NETWORKS[name]["shape"], []

    def weights(fan_in, *size):
        return jnp.asarray(rng.normal(scale=np.sqrt(2 / fan_in), size=size), jnp.float32)

    def learned(n):
        start = {"prelu": [0.25], "prelu_shelf": [0.25, 0.05]}.get(NETWORKS[name]["activation"], [])
        return [jnp.full(n, value) for value in start]

    for kind, *parameters in NETWORKS[name]["layers"]:
        if kind == "conv":
            maps, side = parameters
            size = (side, side, shape[0], maps)
            params.append((weights(side * side * shape[0], *size), jnp.zeros(maps), *learned(maps)))
            shape = (maps, shape[1] - side + 1, shape[2] - side + 1)
        elif kind == "pool":
            shape = (shape[0], *(n // parameters[0] for n in shape[1:]))
        elif kind == "dense":
            n_in = int(np.prod(shape))
            params.append((weights(n_in, n_in, parameters[0]), jnp.zeros(parameters[0]), *learned(parameters[0])))
            shape = (parameters[0],)
    return [*params, (weights(shape[0], shape[0], 10), jnp.zeros(10))]


def activated(name, x, learned):
    """Return the network's activation of `x`."""
    kind = NETWORKS[name]["activation"]
    if kind == "prelu":
        return jnp.where(x > 0, x, learned[0] * x)
    if kind == "prelu_shelf":
        return jnp.maximum(x - learned[1], 0) - learned[0] * jnp.maximum(-(x + learned[1]), 0)
    return jax.nn.relu(x)


def scores(name, params, x, key):
    """Return the logits; without a key, as in prediction, there is no dropout."""
    waiting = list(params)
    for i, (kind, *parameters) in enumerate(NETWORKS[name]["layers"]):
        if kind == "conv":
            W, b, *learned = waiting.pop(0)
            x = jax.lax.conv_general_dilated(x, W, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = activated(name, x + b, learned)
        elif kind == "pool":
            window = (1, parameters[0], parameters[0], 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        elif kind == "dropout" and key is not None:
            stays = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - parameters[0], x.shape)
            x = jnp.where(stays, x / (1 - parameters[0]), 0)
        elif kind == "dense":
            W, b, *learned = waiting.pop(0)
            x = activated(name, x.reshape(len(x), -1) @ W + b, learned)
    W, b = waiting.pop(0)
    return x.reshape(len(x), -1) @ W + b


def make_step(name: str) -> Callable:
    """Return a function of a state (parameters, velocities, key) and a batch: it returns the new state and the loss."""
    l2 = NETWORKS[name]["l2"]

    def loss(params, x, y, key):
        logs = jax.nn.log_softmax(scores(name, params, x, key))
        decay = l2 * sum((W**2).sum() for W, *_ in params[:-1]) if l2 else 0
        return -jnp.take_along_axis(logs, y[:, None], 1).mean() + decay

    def step(state, batch):
        params, velocity, key = state
        key, own = jax.random.split(key)
        value, gradient = jax.value_and_grad(loss)(params, *batch, own)
        velocity = jax.tree.map(lambda v, g: 0.9 * v - 0.01 * g, velocity, gradient)
        params = jax.tree.map(lambda p, v, g: p + 0.9 * v - 0.01 * g, params, velocity, gradient)
        return (params, velocity, key), value

    return step


def steps(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some steps and returns the seconds. Variants: "step" and "scan"."""
    rng = np.random.default_rng(0)
    shape = NETWORKS[name]["shape"]
    X = rng.random((20, BATCH, *(shape if len(shape) == 1 else (*shape[1:], shape[0]))), dtype=np.float32)
    y = rng.integers(10, size=(20, BATCH))
    params = initial(name)
    state = params, jax.tree.map(jnp.zeros_like, params), jax.random.key(0)
    step = make_step(name)
    if variant == "scan":
        many = jax.jit(lambda state, X, y: jax.lax.scan(step, state, (X, y)), donate_argnums=0)
        X, y = jnp.asarray(X), jnp.asarray(y)
    else:
        one = jax.jit(step, donate_argnums=0)

    def run(n_steps: int) -> float:
        nonlocal state
        started = time.perf_counter()
        if variant == "scan":
            for _ in range(n_steps // 20):
                state, value = many(state, X, y)
        else:
            for i in range(n_steps):
                state, value = one(state, (X[i % 20], y[i % 20]))
        jax.block_until_ready(value)
        return time.perf_counter() - started

    return run


def epochs(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some epochs of MNIST, one call per epoch, and returns the seconds."""
    with gzip.open("arignote/sample_data/mnist.pkl.gz") as file:
        parts = pickle.load(file)[:2]
    shape = NETWORKS[name]["shape"]
    images = (-1, *(shape if len(shape) == 1 else (*shape[1:], shape[0])))
    (X, y), (X_valid, y_valid) = [
        (jnp.asarray(np.asarray(X, np.float32).reshape(images)), jnp.asarray(y, jnp.int32)) for X, y in parts
    ]
    params = initial(name)
    state = params, jax.tree.map(jnp.zeros_like, params), jax.random.key(0)
    step = make_step(name)

    @jax.jit
    def epoch(state, key):
        rows = jax.random.permutation(key, len(X))[: len(X) // BATCH * BATCH].reshape(-1, BATCH)
        state, losses = jax.lax.scan(lambda state, rows: step(state, (X[rows], y[rows])), state, rows)

        def loss(_, part):
            logs = jax.nn.log_softmax(scores(name, state[0], part[0], None))
            return None, -jnp.take_along_axis(logs, part[1][:, None], 1).mean()

        _, valid = jax.lax.scan(loss, None, (X_valid.reshape(10, 1000, *X.shape[1:]), y_valid.reshape(10, 1000)))
        return state, losses.mean(), valid.mean()

    def run(n_epochs: int) -> float:
        nonlocal state
        started = time.perf_counter()
        for i in range(n_epochs):
            state, loss, valid = epoch(state, jax.random.key(i))
            float(loss), float(valid)
        return time.perf_counter() - started

    run(2)
    return run


def prediction(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that predicts 10 000 images repeatedly and returns the seconds."""
    shape = NETWORKS[name]["shape"]
    X = np.random.default_rng(0).random((10_000, *(shape if len(shape) == 1 else (*shape[1:], shape[0]))))
    X, params = jnp.asarray(X, jnp.float32), initial(name)
    predict = jax.jit(lambda params, x: jax.nn.softmax(scores(name, params, x, None)))

    def run(n_times: int) -> float:
        started = time.perf_counter()
        for _ in range(n_times):
            found = [predict(params, X[i : i + 500]) for i in range(0, len(X), 500)]
        jax.block_until_ready(found)
        return time.perf_counter() - started

    return run
