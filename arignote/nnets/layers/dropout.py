"""Dropout."""

import numpy as np

from arignote import engine
from arignote.nnets.layers.base import Layer
from arignote.ops import dropout
from arignote.util import checks, streams


class DropoutLayer(Layer):
    """Set a random part of the previous layer's outputs to zero while training.

    The others are scaled up by ``1 / (1 - dropout_p)``, so that the deterministic network needs no change. The mask
    depends on the network's seed, this layer's name and the position in training, and on nothing else.
    Srivastava et al., "Dropout", JMLR 15 (2014).

    Parameters
    ----------
    dropout_p : float
        The fraction to drop, at least 0 and less than 1.
    name : str, optional
    """

    short_name = "dropout"

    def __init__(self, dropout_p: float, name: str | None = None):
        super().__init__(name)
        self.dropout_p = checks.number(dropout_p, "dropout_p", least=0, below=1)

    def create_params(self):
        # Not a parameter, since the seed determines it; not a constant, which would make compiled code depend on it.
        key = streams.philox_key(self.context.dropout_seed, f"dropout {self.name}")
        self.key = engine.shared(key, name=f"{self.name}.key")

    def expression(self, x):
        if not self.training or self.dropout_p == 0:
            return x
        fraction = np.float64(self.dropout_p)
        # Units are numbered in one order, whatever the layout, so that the mask does not depend on it.
        return self.as_layout(dropout(self.as_bc01(x), fraction, self.key, self.context.position))
