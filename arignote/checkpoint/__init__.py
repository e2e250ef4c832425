"""Checkpoints: what they hold, the files they are kept in, and how older ones are read."""
