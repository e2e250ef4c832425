"""Executors: what computes training steps, losses and predictions from positions of minibatches.

The loop over minibatches hands over positions and gets losses. Which process computes them, on which device, and
whether a minibatch is cut into shards, is known here alone.

======================  ============================================================================================
:mod:`~.base`           ``Executor``: the protocol
:mod:`~.local`          ``LocalExecutor``: this process; ``DeviceExecutor``: a device that holds the data in its memory
:mod:`~.sharded`        ``ShardedExecutor``: minibatches cut into shards, computed in this process
:mod:`~.local_cluster`  where a Ray cluster of this machine listens, and its token
:mod:`~.ray`            ``RayExecutor``: shards computed by workers of a Ray cluster; ``Cluster``
======================  ============================================================================================
"""
