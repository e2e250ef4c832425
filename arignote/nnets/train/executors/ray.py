"""Workers on a Ray cluster that compute the shards of minibatches. Needs ``pip install arignote[ray]``.

The driver is the program that calls `fit`. It holds the parameters, takes every step, updates the schedules and
writes checkpoints. Workers, actors of Ray (https://docs.ray.io), compute gradients of shards and losses of
validations. A worker that dies, hangs or is about to be taken away is replaced, and others compute its shards: the
result does not depend on which worker computed what. See :mod:`arignote.nnets.train.executors.sharded`.
"""

import logging
import os
import platform
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from importlib import util
from typing import Any

import numpy as np

from arignote import native
from arignote.data.dataset import Data
from arignote.data.loader import BatchRef, Loader, evaluated, features_alone
from arignote.nnets import activations
from arignote.nnets.network import Network
from arignote.nnets.train.environment import differences, environment
from arignote.nnets.train.executors import local_cluster
from arignote.nnets.train.executors.base import chunks
from arignote.nnets.train.executors.sharded import PartialSums, ShardComputer, ShardedExecutor, merge
from arignote.nnets.train.interrupt import METADATA_SERVICE, SpotWatcher
from arignote.nnets.updates import SGD
from arignote.util import checks

logger = logging.getLogger(__name__)

# Environment variables that determine how to compute; workers get them from the driver.
ENVIRONMENT = ("ARIGNOTE_ENGINE", "ARIGNOTE_BACKEND", "ARIGNOTE_DEVICE", "THEANO_FLAGS", "PYTENSOR_FLAGS", "PYTHONPATH")


class ClusterError(RuntimeError):
    """The cluster cannot be used: it is not there, differs from this machine, or lost all its workers."""


class Cluster:
    """Workers on a Ray cluster, or on this machine.

    Parameters
    ----------
    workers : int
        Number of workers. Training continues with fewer while others are being started or replaced.
    address : str, optional
        Of a cluster that runs already: ``"auto"`` for that of this machine, ``"10.0.0.5:6379"`` for another. By default
        a cluster of this machine alone is started, which listens on the loopback interface and ends with the program.
    threads : int, optional
        Threads that each worker computes in, by default 1. A resumed run must use the same number.
    timeout : float, optional
        Seconds to wait for a worker's answer before it counts as dead, by default 60.
    start_timeout : float, optional
        Seconds to wait for the first worker, by default 120.
    spot_notice : bool or str, optional
        Workers watch for the notice that their EC2 spot machine is to be taken away, and then get no more work. A
        string is the address of another metadata service.

    Examples
    --------
    ``classifier.fit(X, y, ..., workers=Cluster(8, address="10.0.0.5:6379"))``, or, on this machine, ``workers=2``.
    """

    def __init__(
        self,
        workers: int,
        address: str | None = None,
        threads: int = 1,
        timeout: float = 60.0,
        start_timeout: float = 120.0,
        spot_notice: bool | str = False,
    ):
        self.workers = checks.whole_number(workers, "workers")
        self.address = address
        self.threads = checks.whole_number(threads, "threads")
        self.timeout = checks.number(timeout, "timeout", least=0.1)
        self.start_timeout = checks.number(start_timeout, "start_timeout", least=1)
        self.spot_notice = spot_notice

    def require_fitting(self, settings: Any) -> None:
        """Refuse a training run that cannot be resumed with these workers."""
        if settings.shards == 1:
            raise ValueError(
                "got workers for a training that was begun without shards; need one with them, or the result would be "
                "another; try a new NNClassifier, or resuming without workers"
            )
        if settings.shard_threads != self.threads:
            raise ValueError(
                f"got threads={self.threads} for a training begun with {settings.shard_threads}; need as many; "
                f"try Cluster(..., threads={settings.shard_threads})"
            )

    def predict_proba(self, classifier: Any, X: Any, batch_size: int = 512) -> np.ndarray:
        """Return the same as ``classifier.predict_proba(X)``, computed by the workers, which read `X` themselves.

        Parameters
        ----------
        classifier : NNClassifier
        X : array, Reader, Data or file name
        batch_size : int, optional
            Rows that a worker takes at a time.
        """
        loader = Loader({"predict": features_alone(X, batch_size)}, batch_size)
        with closing(RayExecutor(self, classifier.network, loader)) as workers:
            return np.concatenate(list(workers.predict(loader.refs("predict"))))

    def prepare(self, data: Data, batch_size: int = 512) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Iterate over batches of all rows of `data`, in order, read and altered by the workers.

        For slow preparation whose result is written to a file once: ``for X, y in cluster.prepare(Data("raw.h5", ...,
        alter_features=whiten)): writer.append(images=X, labels=y)``. Batches have the data's own batch size, if they
        have one, else `batch_size`.
        """
        loader = Loader({"prepare": evaluated(data)}, batch_size)
        with closing(RayExecutor(self, None, loader)) as workers:
            yield from workers.read(loader.refs("prepare"))

    def connect(self) -> None:
        """Connect to the cluster, or start one, unless this program is connected.

        Raises
        ------
        ImportError
            If Ray is not installed.
        ClusterError
            If there is no cluster at the address.
        PermissionError
            If Ray's token, or the folder for its sockets, belongs to another user.
        """
        if util.find_spec("ray") is None:
            raise ImportError("got workers, but no package ray; need it for them; try: pip install 'arignote[ray]'")
        import ray

        if ray.is_initialized():
            return
        is_own = self.address in (None, "local")
        local_cluster.protect_token(create=is_own)
        try:
            self._start_own() if is_own else self._join()
        except PermissionError:
            raise
        except Exception as error:  # Ray raises this and that
            problem = f"got no cluster at {self.address or 'this machine'} ({type(error).__name__}: {str(error)[:300]})"
            raise ClusterError(f"{problem}; need one that runs; try: ray start --head, and address='auto'") from error

    def _start_own(self) -> None:
        """Start a cluster of this machine alone."""
        import ray

        given: dict[str, Any] = {
            # A worker takes as many slots as threads, also where there are fewer cores.
            "num_cpus": max(self.workers * self.threads, os.cpu_count() or 1),
            "include_dashboard": False,
            "_temp_dir": str(local_cluster.private_folder()),
        }
        with local_cluster.on_loopback():
            ray.init(address="local", **given, **self._given_to_ray())
        local_cluster.warn_of_network(ray.util.get_node_ip_address())

    def _join(self) -> None:
        """Connect to a cluster that runs already."""
        import ray

        if self.address != "auto":
            require_answer(str(self.address))  # Ray would try for minutes
        ray.init(address=self.address, **self._given_to_ray())

    def _given_to_ray(self) -> dict[str, Any]:
        variables = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        variables |= {"ARIGNOTE_THREADS": str(self.threads), "OMP_NUM_THREADS": str(self.threads)}
        return {"runtime_env": {"env_vars": variables}, "log_to_driver": False, "logging_level": logging.WARNING}


def require_answer(address: str) -> None:
    """Raise OSError or ValueError unless a server listens at ``host:port``."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass


def as_cluster(workers: "int | Cluster") -> Cluster:
    """Return the cluster of the argument `workers` of `fit`."""
    return workers if isinstance(workers, Cluster) else Cluster(workers)


class Worker:
    """Computes shards on some machine. Runs as an actor of Ray.

    Each method returns its result and True if this machine is about to be taken away.

    Parameters
    ----------
    spec : dict or None
        See :meth:`arignote.nnets.network.Network.spec`; None to only read data.
    own_layers, own_activations : list, dict
        The user's own layers and activations, which become available here by being received.
    loader : Loader
    job : dict
        The other arguments of :class:`~arignote.nnets.train.executors.sharded.ShardComputer`.
    threads : int
    spot_notice : bool or str
    """

    def __init__(
        self, spec: Mapping[str, Any] | None, own_layers: Sequence[type], own_activations: Mapping[str, Any],
        loader: Loader, job: Mapping[str, Any], threads: int, spot_notice: bool | str,
    ):  # fmt: skip
        native.set_threads(threads)
        # By its module, since Ray sends copies of the other globals.
        activations.ACTIVATIONS.update(own_activations)
        # Successive minibatches of training are read here; of other data, each worker reads some.
        loader.prefetch = {"train": loader.prefetch} if isinstance(loader.prefetch, int) else loader.prefetch
        self._loader = loader
        self._computer: Any = None
        if spec is not None:
            network = Network(**spec)
            loader.network = network
            self._computer = ShardComputer(network, loader, **job)
        self._leaving = False
        if spot_notice:
            address = spot_notice if isinstance(spot_notice, str) else METADATA_SERVICE
            SpotWatcher(self._leave, address).start()

    def _leave(self, why: str) -> None:
        self._leaving = True

    def hello(self) -> dict[str, Any]:
        """Return the environment of this worker, after compiling, and after reading the first rows of all data."""
        if self._computer is not None:
            self._computer.compile()
        for split in self._loader.splits:
            self._loader.read(next(self._loader.refs(split)))
        self._loader.close()
        return environment() | {"host": platform.node(), "pid": os.getpid()}

    def partial_sums(self, parameters: np.ndarray, ref: BatchRef, shards: Sequence[int]) -> tuple[PartialSums, bool]:
        self._set_parameters(parameters)
        return self._computer.partial_sums(ref, self._computer.load(ref, shards)), self._leaving

    def losses(self, parameters: np.ndarray, ref: BatchRef) -> tuple[tuple[int, list[float]], bool]:
        self._set_parameters(parameters)
        return self._computer.losses(ref), self._leaving

    def output(self, ref: BatchRef) -> tuple[np.ndarray, bool]:
        return self._computer.output(ref), self._leaving

    def read(self, ref: BatchRef) -> tuple[tuple, bool]:
        return tuple(self._loader.read(ref)), self._leaving

    def _set_parameters(self, parameters: np.ndarray) -> None:
        network = self._computer.network
        network.set_values(unflatten(parameters, network))


def flatten(network: Network) -> np.ndarray:
    """Return all parameters and buffers as one vector."""
    return np.concatenate([np.ravel(param.get_value(borrow=True)) for param in network.params.values()])


def unflatten(vector: np.ndarray, network: Network) -> dict[str, np.ndarray]:
    """Return parameters and buffers by name."""
    values, first = {}, 0
    for name, param in network.params.items():
        shape = param.get_value(borrow=True).shape
        last = first + int(np.prod(shape))
        values[name] = vector[first:last].reshape(shape)
        first = last
    return values


class RayExecutor(ShardedExecutor):
    """Has the workers of a cluster compute shards and losses, and takes the steps in this process.

    Parameters
    ----------
    cluster : Cluster
    network : Network or None
        None to only read data.
    loader : Loader
        Each worker gets a copy, and reads the data itself.
    sgd : SGD, optional
        Not needed to evaluate, predict or read.
    train_loss, losses, n_shards : optional
        As for :class:`~arignote.nnets.train.executors.sharded.ShardedExecutor`.

    Raises
    ------
    ClusterError
        If the cluster or its workers cannot be used.
    """

    def __init__(
        self,
        cluster: Cluster,
        network: Network | None,
        loader: Loader,
        sgd: SGD | None = None,
        train_loss: str | None = None,
        losses: Sequence[str] = (),
        n_shards: int = 1,
    ):
        super().__init__(network, loader, sgd, train_loss, losses, n_shards, cluster.threads)  # type: ignore[arg-type]
        try:
            cluster.connect()
            self._start(cluster, {"n_shards": n_shards, "train_loss": train_loss, "losses": losses})
        except BaseException:
            self.close()
            raise

    def _start(self, cluster: Cluster, job: Mapping[str, Any]) -> None:
        import ray

        self._ray, self._cluster = ray, cluster
        self._actor = ray.remote(num_cpus=cluster.threads, max_restarts=0)(Worker)
        spec = None if self._network is None else self._network.spec()
        self._arguments = [ray.put(part) for part in (spec, *custom_parts(self._network), self._loader, job)]
        with native.using_threads(cluster.threads):
            self._expected = environment()
        self._ready: list[Any] = []
        # The future answer to hello -> the actor, and when it was started.
        self._starting: dict[Any, tuple[Any, float]] = {}
        self._failed_starts = 0
        self._start_missing()
        self._await_first()

    def compile(self) -> None:
        _ = self._update

    # -- workers ------------------------------------------------------------------------------------------------------

    def _start_missing(self) -> None:
        for _ in range(self._cluster.workers - len(self._ready) - len(self._starting)):
            actor: Any = self._actor.remote(*self._arguments, self._cluster.threads, self._cluster.spot_notice)
            self._starting[actor.hello.remote()] = actor, time.monotonic()

    def _add_started(self, timeout: float = 0.0) -> None:
        """Add the workers that have started by now."""
        if not self._starting:
            return
        done, _ = self._ray.wait(list(self._starting), num_returns=1, timeout=timeout)
        for hello in done:
            actor, _ = self._starting.pop(hello)
            try:
                self._require_same_environment(self._ray.get(hello))
            except self._ray.exceptions.RayActorError as error:
                cause = getattr(error, "cause", None)
                self._failed_starts += 1
                logger.warning("A worker could not be started: %s", str(cause or error)[-300:])
                if self._failed_starts > 3 * self._cluster.workers:
                    raise ClusterError(
                        f"got {self._failed_starts} workers that could not be started: {error}"
                    ) from error
            except self._ray.exceptions.RayTaskError as error:
                raise ClusterError(f"a worker cannot do this job: {error.cause}") from error
            else:
                self._failed_starts = 0
                self._ready.append(actor)

    def _require_same_environment(self, found: Mapping[str, str]) -> None:
        differing = differences(self._expected, found)
        if differing:
            raise ClusterError(
                f"got a worker on {found['host']} with {differing}; need the same everywhere, or results would depend "
                "on the worker; try installing the same versions"
            )

    def _await_first(self) -> None:
        """Wait until there is at least one worker."""
        deadline = time.monotonic() + self._cluster.start_timeout
        while not self._ready:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClusterError(
                    f"got no worker in {self._cluster.start_timeout:g} s; need at least one; try ray status, which "
                    "shows the resources of the cluster"
                )
            self._start_missing()
            self._add_started(min(left, 5.0))

    def _dismiss(self, actor: Any, why: str) -> None:
        """Stop using a worker."""
        if actor in self._ready:
            self._ready.remove(actor)
            logger.warning("A worker %s; its shards go to others.", why)
        with suppress(Exception):
            self._ray.kill(actor)

    # -- work --------------------------------------------------------------------------------------------------------

    def load(self, refs: Sequence[BatchRef]) -> Sequence[BatchRef]:
        return refs  # workers read what they compute

    def _total(self, ref: BatchRef) -> np.ndarray:
        waiting = list(range(self._n_shards))
        sums: PartialSums = {}
        parameters = self._ray.put(flatten(self._network))
        while waiting:
            self._prepare()
            parts = [part.tolist() for part in np.array_split(waiting, len(self._ready)) if len(part)]
            tasks = [
                (actor, actor.partial_sums.remote(parameters, ref, part), part)
                for actor, part in zip(self._ready, parts, strict=False)
            ]
            waiting = []
            for (_, _, part), found in zip(tasks, self._answers(tasks), strict=True):
                if found is None:
                    waiting += part
                else:
                    sums |= found
        (total,) = merge(sums, self._n_shards).values()
        assert total is not None  # a minibatch has rows
        return total

    def evaluate(self, refs: Iterable[BatchRef]) -> Iterator[tuple[int, list[float]]]:
        parameters = self._ray.put(flatten(self._network))
        return self._map(lambda actor, ref: actor.losses.remote(parameters, ref), refs)

    def predict(self, refs: Iterable[BatchRef]) -> Iterator[np.ndarray]:
        return self._map(lambda actor, ref: actor.output.remote(ref), refs)

    def read(self, refs: Iterable[BatchRef]) -> Iterator[tuple]:
        """Iterate over the features and labels of minibatches, in order."""
        return self._map(lambda actor, ref: actor.read.remote(ref), refs)

    def _map(self, call: Callable[[Any, BatchRef], Any], refs: Iterable[BatchRef]) -> Iterator[Any]:
        """Have a call made for each minibatch by some worker; iterate over the answers in order, a few at a time."""
        for chunk in chunks(refs, lambda: 4 * self._cluster.workers):
            found: dict[int, Any] = {}
            while len(found) < len(chunk):
                self._prepare()
                waiting = [i for i in range(len(chunk)) if i not in found]
                tasks = [
                    (actor, call(actor, chunk[i]), i)
                    for i, actor in zip(waiting, self._ready * (len(waiting) // len(self._ready) + 1), strict=False)
                ]
                for (_, _, i), answer in zip(tasks, self._answers(tasks), strict=True):
                    if answer is not None:
                        found[i] = answer
            yield from (found[i] for i in range(len(chunk)))

    def _prepare(self) -> None:
        """Add started workers, start missing ones, and wait until there is at least one."""
        self._add_started()
        self._start_missing()
        if not self._ready:
            self._await_first()

    def _answers(self, tasks: Sequence[tuple[Any, Any, Any]]) -> list[Any]:
        """Return what each task gives, or None where its worker is gone."""
        deadline = time.monotonic() + self._cluster.timeout
        answers, leaving = [], []
        for actor, task, _ in tasks:
            try:
                answer, leaves = self._ray.get(task, timeout=max(0.0, deadline - time.monotonic()))
            except self._ray.exceptions.GetTimeoutError:
                self._dismiss(actor, f"did not answer within {self._cluster.timeout:g} s")
                answer = None
            except self._ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
            except self._ray.exceptions.RayError:
                self._dismiss(actor, "is gone")
                answer = None
            else:
                if leaves:
                    leaving.append(actor)
            answers.append(answer)
        for actor in leaving:
            self._dismiss(actor, "is about to be taken away")
        return answers

    def close(self) -> None:
        for actor in [*getattr(self, "_ready", []), *(actor for actor, _ in getattr(self, "_starting", {}).values())]:
            with suppress(Exception):
                self._ray.kill(actor)
        self._ready, self._starting = [], {}
        super().close()


def custom_parts(network: Network | None) -> tuple[list[type], dict[str, Any]]:
    """Return the user's own layers and activations in a network, which have to be sent to workers."""
    if network is None:
        return [], {}
    classes = {type(layer) for layer in network.layers_train if not type(layer).__module__.startswith("arignote.")}
    return list(classes), {
        name: entry for name, entry in activations.ACTIVATIONS.items() if name not in activations.BUILT_IN
    }
