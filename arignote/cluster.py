"""Workers on a Ray cluster: one place to import them from.

See :mod:`arignote.nnets.train.executors.ray`.
"""

from arignote.nnets.train.executors.ray import Cluster, ClusterError

__all__ = ["Cluster", "ClusterError"]
