"""Computations that need a separate implementation in JAX: convolutions, the gradient of pooling, random numbers.

Ops import this module only when they are compiled for JAX (https://github.com/jax-ml/jax).
"""

import math

import jax
from jax import lax
from jax import numpy as jnp

from arignote.ops.philox import KEY_INCREMENTS, LANES, MULTIPLIERS, ROUNDS, WORDS


def convolve(images, filters, stride):
    """Correlate images (n, channels, rows, columns) with filters (maps, channels, rows, columns)."""
    return lax.conv_general_dilated(images, filters, stride, "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"))


def convolve_filters(gradient, images, filters, stride):
    """Return the gradient of :func:`convolve` with respect to the filters."""
    return jax.vjp(lambda filters: convolve(images, filters, stride), filters)[1](gradient)[0]


def convolve_images(gradient, filters, images, stride):
    """Return the gradient of :func:`convolve` with respect to the images."""
    return jax.vjp(lambda images: convolve(images, filters, stride), images)[1](gradient)[0]


def max_pool_gradient(gradient, indices, shape, window, stride):
    """Return images of a shape that are zero except at the maximum of each window, where they are its gradient."""
    (down, across), (rows, columns) = stride, gradient.shape[2:]
    covered = down * (rows - 1) + 1, across * (columns - 1) + 1
    out = jnp.zeros(shape, gradient.dtype)
    # Padding is negative, and crops, where the edge of the image cuts windows off: their maximum is not there.
    for index, (i, j) in enumerate((i, j) for i in range(window[0]) for j in range(window[1])):
        padding = (i, shape[2] - i - covered[0], down - 1), (j, shape[3] - j - covered[1], across - 1)
        part = jnp.where(indices == index, gradient, 0)
        out += lax.pad(part, jnp.zeros((), gradient.dtype), ((0, 0, 0), (0, 0, 0), *padding))
    return out


def _product(a: int, b):
    """Return the upper and the lower 32 bits of the products of the 32-bit number `a` and the uint32 array `b`."""
    with jax.enable_x64(True):  # JAX has no 64-bit integers otherwise
        product = b.astype(jnp.uint64) * jnp.uint64(a)
        return (product >> jnp.uint64(32)).astype(jnp.uint32), product.astype(jnp.uint32)


def philox(key, counter):
    """Compute :func:`arignote.ops.philox.philox`; return a list of four arrays."""
    key0, key1 = key
    c0, c1, c2, c3 = counter
    for _ in range(ROUNDS):
        (high0, low0), (high1, low1) = _product(MULTIPLIERS[0], c0), _product(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0, key1 = key0 + jnp.uint32(KEY_INCREMENTS[0]), key1 + jnp.uint32(KEY_INCREMENTS[1])
    return [c0, c1, c2, c3]


def dropout_mask(fraction, key, position, shape):
    """Return a boolean array of a shape: True where a value is kept."""
    n = math.prod(shape)
    n_groups = -(-n // (LANES * WORDS))
    first = jnp.arange(n_groups * LANES, dtype=jnp.uint32)
    rest = [jnp.broadcast_to(word, first.shape) for word in jnp.asarray(position).astype(jnp.uint32)]
    words = jnp.stack(philox(jnp.asarray(key).astype(jnp.uint32), [first, *rest]))
    words = words.reshape(WORDS, n_groups, LANES).transpose(1, 0, 2).ravel()[:n].reshape(shape)
    bound = fraction * 2.0**32  # words are integers, so comparing them with the next integer is equivalent
    bound = jnp.ceil(bound) if isinstance(bound, jax.Array) else math.ceil(bound)
    # Without the barrier XLA would recompute the words for each use.
    return lax.optimization_barrier(words >= jnp.uint32(bound))


def apply_mask(array, mask, fraction):
    """Return the array scaled up where `mask` is set, and 0 elsewhere."""
    return jnp.where(mask, array * jnp.asarray(1 / (1 - fraction), array.dtype), 0)
