"""Append rows to a file until killed, or once: ``python -m tests.data.hdf.append FILE SECONDS``."""

import os
import sys

import numpy as np
import pandas as pd

from arignote.data.hdf import writer
from arignote.data.readers import HDFWriter


def rows(first, last):
    """Return the images and labels of some rows, whose values depend on the row numbers."""
    numbers = np.arange(first, last)
    images = (numbers[:, np.newaxis, np.newaxis] * 7 + np.arange(20 * 20).reshape(20, 20)) % 251
    return {"images": images.astype("uint8"), "labels": pd.DataFrame({"label": numbers % 10, "number": numbers})}


def main():
    path, seconds = sys.argv[1:]
    writer.COMMIT_SECONDS = float(seconds)
    with HDFWriter(path) as file:
        if seconds == "inf":
            os.path.exists("/the-work-begins")
            file.append(**rows(file.n_rows, file.n_rows + 700))
            file.commit()
            os.path.exists("/the-work-has-ended")
        while seconds != "inf":
            file.append(**rows(file.n_rows, file.n_rows + 97))


if __name__ == "__main__":
    main()
