"""A Ray cluster of this machine alone: it listens on loopback; its token, sockets and logs are this user's.

Whoever reaches a port of Ray and knows its token, or puts a socket in the place of one of Ray's, can run programs as
the user who started it.
"""

import ipaddress
import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

# By default it is "1" on Linux, and "0" where Ray supports one machine alone and therefore stays on loopback.
SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# Whoever sets one of these takes care of the token.
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def on_loopback() -> Iterator[None]:
    """Context manager in which a cluster can be started that listens on the loopback interface alone.

    The parameter of ``ray.init`` for the address does not do that: Ray replaces 127.0.0.1 by the address of a network.
    """
    from ray._private import ray_constants as constants

    imported, variable = getattr(constants, "ENABLE_RAY_CLUSTER", True), os.environ.get(SEVERAL_MACHINES)
    constants.ENABLE_RAY_CLUSTER = False  # Ray has read the variable when it was imported; its processes read it anew
    os.environ[SEVERAL_MACHINES] = "0"
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = imported
        os.environ.pop(SEVERAL_MACHINES) if variable is None else os.environ.update({SEVERAL_MACHINES: variable})


def warn_of_network(address: str) -> None:
    """Warn if the address of a local cluster is one of a network: another version of Ray may choose it otherwise."""
    if not ipaddress.ip_address(address).is_loopback:
        logger.warning("Ray listens on %s, not on the loopback interface alone; need a firewall around it.", address)


def private_folder() -> Path:
    """Return the folder for Ray's sockets and logs, in one that no other user can enter.

    By default Ray has them in ``/tmp/ray``, with folders in which every user can replace files. Where ``RAY_TMPDIR``
    names another folder, they are in there.

    Raises
    ------
    PermissionError
        If another user has made such a folder, or can enter it.
    """
    parent = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    folder = parent / f"arignote-{os.geteuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"got {folder}, which other users can write to; need a folder of this user alone; try removing it, or "
            "another folder for all: export RAY_TMPDIR=/another"
        )
    return folder / "ray"  # which Ray opens to all users


def token_path() -> Path:
    """Return the file in which Ray expects its token."""
    return Path.home() / ".ray" / "auth_token"


def protect_token(create: bool) -> None:
    """Let nobody but this user read the token of Ray.

    Parameters
    ----------
    create : bool
        Create a token if there is none. Ray would create it in a file that other users can read.

    Raises
    ------
    PermissionError
        If the file belongs to another user.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or any(map(os.environ.get, TOKEN_VARIABLES)):
        return
    path = token_path()
    if path.exists():
        _protect(path)
    elif create:
        _create(path)


def _protect(path: Path) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        raise PermissionError(
            f"got the token {path} of user {found.st_uid}; need one of user {os.geteuid()}, since who knows it can "
            "run programs in the cluster; try removing the file, and a new one is created"
        )
    if mode & 0o077:
        path.chmod(mode & 0o700)
        logger.warning(
            "Other users could read the token of Ray, %s: its mode was %o and is now %o. Remove the file to get a "
            "new token.", path, mode, mode & 0o700,
        )  # fmt: skip


def _create(path: Path) -> None:
    """Write a new token, complete from the moment it can be seen; another program may do so at the same time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # this file system has no hard links
            os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
