"""Arignote builds and trains feed-forward neural networks on Theano.

A network is a list of layer definitions; :class:`arignote.nnets.nets.NNClassifier` trains it with minibatch SGD on
data that need not fit in memory, and goes on after an interruption as if nothing had happened.

Importing this package imports neither an engine nor data: ``arignote.nnets`` opens the engine, ``arignote.data`` reads
data without one.
"""

__version__ = "0.1.0"
