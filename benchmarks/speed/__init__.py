"""Arignote beside PyTorch and JAX: one training step, epochs of `fit`, prediction. See `__main__`."""
