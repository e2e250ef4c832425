"""Utilities for all parts of the library: random streams, argument validation, logging, plots."""
