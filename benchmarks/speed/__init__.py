"""Arignote compared with PyTorch, JAX and scikit-learn: training steps, epochs of `fit`, prediction. See `__main__`."""
