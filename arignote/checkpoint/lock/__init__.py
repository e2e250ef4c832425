"""One program for each checkpoint: a lock beside it, which a killed program does not leave behind.

On a local disk it is a file that the system unlocks when its program ends, in whatever way; at an address such as
``s3://bucket/run/mnist``, a lease that expires unless its program renews it. Checkpoints are read without it.
"""

from pathlib import Path

from arignote.checkpoint.lock import lease, local
from arignote.checkpoint.lock.owner import InUseError, Lock
from arignote.checkpoint.names import checkpoint_path
from arignote.data import storage

__all__ = ["InUseError", "Lock", "acquire"]


def acquire(name: str | Path, seconds: float = lease.SECONDS, moment: float = lease.MOMENT) -> Lock:
    """Lock the checkpoints of a name against other programs, and against another `fit` of this one.

    Parameters
    ----------
    name : str or Path
        ``DIR/STEM``, or an address.
    seconds : float, optional
        At an address: how long a lease is valid after it was renewed, by default 30.
    moment : float, optional
        At an address whose store cannot create a file for one of several programs only: how long to wait until it is
        known which of them got it, by default 1.

    Returns
    -------
    Lock
        Call `release` at the end, or use it in a ``with`` block. `check` makes sure that it is still held.

    Raises
    ------
    InUseError
        If another program trains under this name.
    OSError
        If no file can be written there.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> held = acquire(f"{folder.name}/mnist")
    >>> acquire(f"{folder.name}/mnist")
    Traceback (most recent call last):
    ...
    arignote.checkpoint.lock.owner.InUseError: ...
    >>> held.release()
    >>> folder.cleanup()
    """
    path = checkpoint_path(name, "last")
    on_disk = storage.local_path(path)
    if on_disk is None:
        return lease.Lease(name, str(path).removesuffix("_last.pkl.gz") + ".lock", seconds, moment)
    return local.acquire(name, on_disk.with_name(f".{on_disk.name.removesuffix('_last.pkl.gz')}.lock"))
