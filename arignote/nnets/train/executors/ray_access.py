"""Where a cluster of this machine can be reached from, and its token: by nobody else.

Any program that reaches a Ray cluster and has its token can run code there. A cluster that is started here, for this
program alone, listens on the loopback interface, and its token file can be read by its owner only.
"""

import logging
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

# Where this is 0, Ray serves its own machine only, on the loopback interface. It reads it when it is imported.
OF_SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let a cluster that is started inside the ``with`` block listen on the loopback interface alone."""
    before = os.environ.get(OF_SEVERAL_MACHINES)
    os.environ[OF_SEVERAL_MACHINES] = "0"
    if (constants := sys.modules.get("ray._private.ray_constants")) is not None:  # the user has imported Ray before
        constants.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        os.environ.pop(OF_SEVERAL_MACHINES) if before is None else os.environ.update({OF_SEVERAL_MACHINES: before})


def token_path() -> Path | None:
    """Return the file that Ray keeps its token in, or None if the token comes from the environment."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray/auth_token")


def make_token(path: Path) -> None:
    """Write a new token to a file that only its owner can read, unless there is a file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))


def protect_token(path: Path) -> None:
    """Take the permission to read, or to write, a token file from everyone but its owner.

    Raises
    ------
    PermissionError
        If the file belongs to somebody else.
    """
    found = path.stat()
    if not stat.S_IMODE(found.st_mode) & 0o077:
        return
    if found.st_uid != os.getuid():
        raise PermissionError(
            f"got the token file {path}, which others can read and user {found.st_uid} owns; need one of your own, of "
            "mode 0600; try RAY_AUTH_TOKEN_PATH"
        )
    path.chmod(0o600)
    logger.warning("The token file %s could be read by others; it has mode 0600 now. Try a new token.", path)
