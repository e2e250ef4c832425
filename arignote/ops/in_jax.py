"""What JAX computes in other ways than numpy: convolutions, pools' gradients, and random numbers.

Ops import this module when they are compiled for JAX (https://github.com/jax-ml/jax), and not before.
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
    """Return the gradient of :func:`convolve` for the filters."""
    return jax.vjp(lambda filters: convolve(images, filters, stride), filters)[1](gradient)[0]


def convolve_images(gradient, filters, images, stride):
    """Return the gradient of :func:`convolve` for the images."""
    return jax.vjp(lambda images: convolve(images, filters, stride), images)[1](gradient)[0]


def max_pool_gradient(gradient, places, shape, window, stride):
    """Return images of a shape that are zero but for the pixels with the largest value of each window."""
    (down, across), (rows, columns) = stride, gradient.shape[2:]
    covered = down * (rows - 1) + 1, across * (columns - 1) + 1
    out = jnp.zeros(shape, gradient.dtype)
    for number, (i, j) in enumerate((i, j) for i in range(window[0]) for j in range(window[1])):
        below = (i, shape[2] - i - covered[0], down - 1), (j, shape[3] - j - covered[1], across - 1)
        part = jnp.where(places == number, gradient, 0)
        out += lax.pad(part, jnp.zeros((), gradient.dtype), ((0, 0, 0), (0, 0, 0), *below))
    return out


def _product(a: int, b):
    """Return the upper and the lower 32 bits of the products of a 32-bit number and of uint32 ones."""
    with jax.enable_x64(True):  # else there are no 64-bit integers
        product = b.astype(jnp.uint64) * jnp.uint64(a)
        return (product >> jnp.uint64(32)).astype(jnp.uint32), product.astype(jnp.uint32)


def philox(key, counter):
    """Return what :func:`arignote.ops.philox.philox` does, as a list of four arrays."""
    key0, key1 = key
    c0, c1, c2, c3 = counter
    for _ in range(ROUNDS):
        (high0, low0), (high1, low1) = _product(MULTIPLIERS[0], c0), _product(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0, key1 = key0 + jnp.uint32(KEY_INCREMENTS[0]), key1 + jnp.uint32(KEY_INCREMENTS[1])
    return [c0, c1, c2, c3]


def stays(fraction, key, position, shape):
    """Return bools of a shape: which numbers dropout leaves."""
    n = math.prod(shape)
    n_groups = -(-n // (LANES * WORDS))
    first = jnp.arange(n_groups * LANES, dtype=jnp.uint32)
    rest = [jnp.broadcast_to(word, first.shape) for word in jnp.asarray(position).astype(jnp.uint32)]
    words = jnp.stack(philox(jnp.asarray(key).astype(jnp.uint32), [first, *rest]))
    words = words.reshape(WORDS, n_groups, LANES).transpose(1, 0, 2).ravel()[:n].reshape(shape)
    bound = fraction * 2.0**32  # words are whole numbers: to be at least this is to be at least the next whole number
    bound = jnp.ceil(bound) if isinstance(bound, jax.Array) else math.ceil(bound)
    # XLA would compute the words again for each use of them.
    return lax.optimization_barrier(words >= jnp.uint32(bound))


def dropped(array, stays, fraction):
    """Return an array, scaled up, with zeros where it does not stay."""
    return jnp.where(stays, array * jnp.asarray(1 / (1 - fraction), array.dtype), 0)
