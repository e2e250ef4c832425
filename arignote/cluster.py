"""Many processes, on one machine or many, that compute the shards of minibatches. Needs ``pip install arignote[ray]``.

The driver is the program that calls `fit`. It has the parameters, takes every step, lets the rules act and writes
checkpoints. Workers, actors of Ray (https://docs.ray.io), compute gradients of shards and losses of validations. One
that dies, hangs or is taken away is replaced, and its shards are given to others: what comes out does not depend on who
computed what. See :mod:`arignote.nnets.shards`.
"""

import logging
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from importlib import util
from itertools import islice
from typing import Any

import numpy as np

from arignote import __version__, native
from arignote.data.readers import Data
from arignote.nnets.shards import Job, merge, places
from arignote.util import checks

logger = logging.getLogger(__name__)

# Variables of the environment that say how to compute, which a worker needs to have as the driver has them.
ENVIRONMENT = ("ARIGNOTE_ENGINE", "ARIGNOTE_BACKEND", "ARIGNOTE_DEVICE", "THEANO_FLAGS", "PYTENSOR_FLAGS", "PYTHONPATH")


class ClusterError(RuntimeError):
    """The cluster cannot be used: it is not there, differs from this machine, or lost all its workers."""


class Cluster:
    """Workers on a Ray cluster, or on this machine.

    Parameters
    ----------
    workers : int
        How many. Fewer do as well, while others are being started or replaced.
    address : str, optional
        Of a cluster that runs already: ``"auto"`` for that of this machine, ``"10.0.0.5:6379"`` for another. By default
        a cluster of this machine alone is started, and ended with the program.
    threads : int, optional
        Threads that each worker computes in, by default 1. Part of the training: it stays as it was when one goes on.
    timeout : float, optional
        Seconds to wait for a worker's answer before it counts as dead, by default 60.
    start_timeout : float, optional
        Seconds to wait for the first worker, by default 120.
    spot_notice : bool or str, optional
        Workers watch for the notice that their EC2 spot machine is to be taken away, and are then given nothing more.
        A text is the address of another metadata service.

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
        """Refuse a training that cannot go on here as it began."""
        if settings.shards == 1:
            raise ValueError(
                "got workers for a training that was begun without shards; need one with them, or the result would be "
                "another; try a new NNClassifier, or going on without workers"
            )
        if settings.shard_threads != self.threads:
            raise ValueError(
                f"got threads={self.threads} for a training begun with {settings.shard_threads}; need as many; "
                f"try Cluster(..., threads={settings.shard_threads})"
            )

    def open(self, model: Any, network: Any, job: Any) -> "Workers":
        """Start the workers on a job; see :class:`~arignote.nnets.shards.Job`."""
        self.connect()
        return Workers(self, model, network, job)

    def predict_proba(self, classifier: Any, X: Any, batch_size: int = 512) -> np.ndarray:
        """Return what ``classifier.predict_proba(X)`` does, computed by the workers, who read `X` themselves.

        Parameters
        ----------
        classifier : NNClassifier
        X : array, Reader, Data or file name
        batch_size : int, optional
            Rows that a worker takes at a time.
        """
        data = X if isinstance(X, Data) else Data(X)
        everything = Data(data.features, alter_features=data.alter_features, start=data.start, stop=data.stop)
        job = Job({"all": everything}, batch_size)
        self.connect()
        with closing(Workers(self, classifier, classifier.network, job)) as workers:
            batches = workers.map(lambda worker, place: worker.probabilities.remote(place), list(places(job, "all")))
            return np.concatenate(list(batches))

    def prepare(self, data: Data, batch_size: int = 512) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Iterate over batches of all rows of `data`, in order, read and altered by the workers.

        For work that takes long, to be written to a file once: ``for X, y in cluster.prepare(Data("raw.h5", ...,
        alter_features=whiten)): writer.append(images=X, labels=y)``.
        """
        job = Job({"all": data.replace(shuffle=False, allow_partial_batch=True)}, batch_size)
        self.connect()
        with closing(Workers(self, None, None, job)) as workers:
            waiting = places(job, "all")
            while batch := list(islice(waiting, 4 * self.workers)):  # a few at a time: nobody holds them all
                yield from workers.map(lambda worker, place: worker.rows.remote(place), batch)

    def connect(self) -> None:
        """Connect to the cluster, or start one, unless this program is connected.

        Raises
        ------
        ImportError
            If Ray is not installed.
        ClusterError
            If there is no cluster at the address.
        """
        if util.find_spec("ray") is None:
            raise ImportError("got workers, but no package ray; need it for them; try: pip install 'arignote[ray]'")
        import ray

        if ray.is_initialized():
            return
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {"ARIGNOTE_THREADS": str(self.threads), "OMP_NUM_THREADS": str(self.threads)}
        given: dict[str, Any] = {"runtime_env": {"env_vars": environment}, "log_to_driver": False}
        given |= {"logging_level": logging.WARNING, "include_dashboard": False}
        if self.address is None:
            # A worker takes as many slots as threads; whether there are as many cores is the user's business.
            given |= {"num_cpus": max(self.workers * self.threads, os.cpu_count() or 1), "address": "local"}
        else:
            given = {name: value for name, value in given.items() if name != "include_dashboard"}
            given["address"] = self.address
        try:
            if self.address not in (None, "auto", "local"):
                require_answer(str(self.address))  # Ray would try for minutes
            ray.init(**given)
        except Exception as error:  # Ray raises this and that
            problem = f"got no cluster at {self.address or 'this machine'} ({type(error).__name__}: {str(error)[:300]})"
            raise ClusterError(f"{problem}; need one that runs; try: ray start --head, and address='auto'") from error


def require_answer(address: str) -> None:
    """Raise OSError or ValueError unless somebody listens at ``host:port``."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass


def as_cluster(workers: "int | Cluster") -> Cluster:
    """Return what `fit` takes as `workers`."""
    return workers if isinstance(workers, Cluster) else Cluster(workers)


def surroundings() -> dict[str, str]:
    """Return what has to be the same on all machines for results to be the same."""
    from arignote import engine

    described = engine.describe()
    build = f", build {native.build.library_path().parent.name}" if native.available() else ""
    here = {
        "arignote": __version__,
        "python": platform.python_version(),
        "kernels": f"{native.describe()}{build}",
    }
    return here | {name: str(described[name]) for name in ("engine", "version", "numpy", "backend", "device", "float")}


class Worker:
    """Computes shards, on some machine. Runs as an actor of Ray.

    Parameters
    ----------
    model : dict
        State of the classifier, without its training.
    classes, activations : list, dict
        The user's own layers and activations, which are known here once they have been received.
    job : Job
    threads : int
    spot_notice : bool or str
    """

    def __init__(
        self, model: Any, classes: Sequence[type], activations: Mapping[str, Any], job: Any, threads: int,
        spot_notice: bool | str,
    ):  # fmt: skip
        from arignote.nnets import activations as known
        from arignote.nnets.interrupt import METADATA_SERVICE, SpotWatcher
        from arignote.nnets.nets import NNClassifier
        from arignote.nnets.shards import Computer

        native.set_threads(threads)
        known.ACTIVATIONS.update(activations)
        self._network = None if model is None else NNClassifier.from_state(model).network
        self._computer = Computer(self._network, job)
        self._leaving = False
        self._pool = ThreadPoolExecutor(1)
        self._ahead: dict[tuple, Future] = {}
        if spot_notice:
            address = spot_notice if isinstance(spot_notice, str) else METADATA_SERVICE
            SpotWatcher(self._leave, address).start()

    def _leave(self, why: str) -> None:
        self._leaving = True

    def hello(self) -> dict[str, Any]:
        """Return what this worker computes with, after compiling, and looking at each part of the data."""
        self._computer.compile()
        for reader in self._computer.readers.values():
            reader.read(0, 0, 0)
        return surroundings() | {"host": platform.node(), "pid": os.getpid()}

    def nodes(self, parameters: np.ndarray, place: Any, shards: Sequence[int]) -> tuple[dict, bool]:
        """Return gradients of shards, and whether this machine is about to be taken away."""
        self._take_over(parameters)
        nodes = self._computer.nodes(place, shards, self._read)
        self._look_ahead(place, shards)
        return nodes, self._leaving

    def losses(self, parameters: np.ndarray, place: Any) -> tuple[list[float], bool]:
        """Return the losses of a minibatch, and whether this machine is about to be taken away."""
        self._take_over(parameters)
        return self._computer.losses(place), self._leaving

    def probabilities(self, place: Any) -> tuple[np.ndarray, bool]:
        """Return the probabilities of a minibatch, and whether this machine is about to be taken away."""
        return self._computer.probabilities(place), self._leaving

    def rows(self, place: Any) -> tuple[tuple, bool]:
        """Return the features and labels of a minibatch, prepared, and whether this machine is about to go."""
        return self._computer.rows(place), self._leaving

    def _take_over(self, parameters: np.ndarray) -> None:
        assert self._network is not None  # or there are no parameters
        self._network.set_values(unflatten(parameters, self._network))

    def _read(self, epoch: int, batch: int, shard: int) -> Any:
        """Return the rows of a shard, which may have been read ahead."""
        ahead = self._ahead.pop((epoch, batch, shard), None)
        return self._pool.submit(self._reader.read, epoch, batch, shard).result() if ahead is None else ahead.result()

    @property
    def _reader(self) -> Any:
        return self._computer.readers["train"]

    def _look_ahead(self, place: Any, shards: Sequence[int]) -> None:
        """Read the same shards of the next minibatch, while the driver takes its step."""
        self._ahead.clear()
        batch = place.batch + 1
        if batch < self._reader.data.n_batches(self._reader.batch_size):
            for shard in shards:
                task = self._pool.submit(self._reader.read, place.epoch, batch, shard)
                self._ahead[place.epoch, batch, shard] = task


def flatten(network: Any) -> np.ndarray:
    """Return all parameters as one vector."""
    return np.concatenate([np.ravel(param.get_value(borrow=True)) for param in network.params.values()])


def unflatten(vector: np.ndarray, network: Any) -> dict[str, np.ndarray]:
    """Return parameters by name."""
    values, first = {}, 0
    for name, param in network.params.items():
        shape = param.get_value(borrow=True).shape
        last = first + int(np.prod(shape))
        values[name] = vector[first:last].reshape(shape)
        first = last
    return values


class Workers:
    """The workers on a job: an :class:`~arignote.nnets.shards.Executor`.

    Parameters
    ----------
    cluster : Cluster
    model : NNClassifier
    network : Network
    job : Job
    """

    def __init__(self, cluster: Cluster, model: Any, network: Any, job: Any):
        import ray

        self.n_workers = cluster.workers
        self._ray, self._cluster, self._network, self._job = ray, cluster, network, job
        self._actor = ray.remote(num_cpus=cluster.threads, max_restarts=0)(Worker)
        self._arguments = [ray.put(part) for part in (_state_of(model), *own_parts(network))]
        self._arguments.append(ray.put(job))
        with native.using_threads(cluster.threads):
            self._expected = surroundings()
        self._ready: list[Any] = []
        self._starting: dict[Any, tuple[Any, float]] = {}  # what hello will give -> actor, since when
        self._failed_starts = 0
        self._start_missing()
        self._await_first()

    # -- workers come and go -----------------------------------------------------------------------------------------

    def _start_missing(self) -> None:
        for _ in range(self._cluster.workers - len(self._ready) - len(self._starting)):
            actor: Any = self._actor.remote(*self._arguments, self._cluster.threads, self._cluster.spot_notice)
            self._starting[actor.hello.remote()] = actor, time.monotonic()

    def _welcome(self, timeout: float = 0.0) -> None:
        """Take in the workers that are ready by now."""
        if not self._starting:
            return
        done, _ = self._ray.wait(list(self._starting), num_returns=1, timeout=timeout)
        for hello in done:
            actor, _ = self._starting.pop(hello)
            try:
                self._require_alike(self._ray.get(hello))
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

    def _require_alike(self, found: Mapping[str, str]) -> None:
        differing = [name for name, value in self._expected.items() if found[name] != value]
        if differing:
            said = ", ".join(f"{name} {found[name]} (here {self._expected[name]})" for name in differing)
            raise ClusterError(
                f"got a worker on {found['host']} with {said}; need the same everywhere, or results would depend on "
                "who computed them; try installing the same versions"
            )

    def _await_first(self) -> None:
        """Wait until there is at least one worker."""
        deadline = time.monotonic() + self._cluster.start_timeout
        while not self._ready:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClusterError(
                    f"got no worker in {self._cluster.start_timeout:g} s; need at least one; try ray status, which "
                    "says what the cluster has to offer"
                )
            self._start_missing()
            self._welcome(min(left, 5.0))

    def _dismiss(self, actor: Any, why: str) -> None:
        """Give a worker nothing more."""
        if actor in self._ready:
            self._ready.remove(actor)
            logger.warning("A worker %s; its shards go to others.", why)
        with suppress(Exception):
            self._ray.kill(actor)

    # -- work --------------------------------------------------------------------------------------------------------

    def gradient(self, place: Any) -> np.ndarray:
        n_shards = self._job.n_shards
        waiting = list(range(n_shards))
        nodes: dict[Any, np.ndarray | None] = {}
        parameters = self._ray.put(flatten(self._network))
        while waiting:
            self._prepare()
            parts = [list(part) for part in np.array_split(waiting, len(self._ready)) if len(part)]
            tasks = [
                (actor, actor.nodes.remote(parameters, place, part), part)
                for actor, part in zip(self._ready, parts, strict=False)
            ]
            waiting = []
            for (_, _, part), found in zip(tasks, self._answers(tasks), strict=True):
                if found is None:
                    waiting += part
                else:
                    nodes |= found
        (total,) = merge(nodes, n_shards).values()
        assert total is not None
        return total

    def losses(self, places: Sequence[Any]) -> list[list[float]]:
        parameters = self._ray.put(flatten(self._network))
        return list(self.map(lambda actor, place: actor.losses.remote(parameters, place), places))

    def map(self, call: Callable[[Any, Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Have a call made for each item by some worker; give what comes back in order."""
        found: dict[int, Any] = {}
        while len(found) < len(items):
            self._prepare()
            waiting = [i for i in range(len(items)) if i not in found]
            tasks = [
                (actor, call(actor, items[i]), i)
                for i, actor in zip(waiting, self._ready * (len(waiting) // len(self._ready) + 1), strict=False)
            ]
            for (_, _, i), answer in zip(tasks, self._answers(tasks), strict=True):
                if answer is not None:
                    found[i] = answer
        return iter([found[i] for i in range(len(items))])

    def _prepare(self) -> None:
        """Take in new workers, have missing ones started, and see to it that there is one."""
        self._welcome()
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
        for actor in [*self._ready, *(actor for actor, _ in self._starting.values())]:
            with suppress(Exception):
                self._ray.kill(actor)
        self._ready, self._starting = [], {}


def _state_of(model: Any) -> dict[str, Any] | None:
    return None if model is None else model.own_state() | {"trainer": None}


def own_parts(network: Any) -> tuple[list[type], dict[str, Any]]:
    """Return the layers and activations of a network that are not the library's: workers have to be sent them."""
    from arignote.nnets.activations import ACTIVATIONS, BUILT_IN

    if network is None:
        return [], {}
    classes = {type(layer) for layer in network.layers_train if not type(layer).__module__.startswith("arignote.")}
    return list(classes), {name: entry for name, entry in ACTIVATIONS.items() if name not in BUILT_IN}
