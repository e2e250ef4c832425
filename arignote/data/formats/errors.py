"""One kind of error for files of every format."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(name: str | Path, what: str) -> Iterator[None]:
    """Raise ValueError, with the name of the file, for any error of a decoder inside the ``with`` block.

    Decoders of damaged files raise errors of all kinds, MemoryError and SyntaxError among them. Errors that name the
    file already, missing files and missing packages stay as they are.

    Parameters
    ----------
    name : str or Path
        The file.
    what : str
        What it should be, such as "image".
    """
    try:
        yield
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:
        said = str(error)
        if isinstance(error, ValueError) and said.startswith(f"{name}: "):
            raise
        raise ValueError(
            f"{name}: got a file that cannot be read as {what} ({said[:300] or type(error).__name__}); need an intact "
            "one; try another copy"
        ) from error
