"""Which executor computes a training run."""

from arignote import engine
from arignote.data.loader import Loader
from arignote.nnets.train.executors.base import Executor
from arignote.nnets.train.executors.local import DeviceExecutor, LocalExecutor
from arignote.nnets.train.executors.ray import Cluster, RayExecutor
from arignote.nnets.train.executors.sharded import ShardedExecutor
from arignote.nnets.train.state import Trainer


def open_executor(trainer: Trainer, loader: Loader, cluster: Cluster | None = None) -> Executor:
    """Return an executor for a training run: the workers of a cluster, this process, or its device.

    Raises
    ------
    ClusterError
        If the cluster or its workers cannot be used.
    """
    settings = trainer.settings
    job = trainer.network, loader, trainer.sgd, settings.train_loss, settings.reported_losses
    if cluster is not None:
        return RayExecutor(cluster, *job, settings.shards)
    if settings.shards > 1:
        return ShardedExecutor(*job, settings.shards, settings.shard_threads)
    return LocalExecutor(*job) if engine.resident is None else DeviceExecutor(*job)
