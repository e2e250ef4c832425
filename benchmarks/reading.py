"""Speed of reading HDF5 files in minibatches, compared with h5py and pandas, and memory use of training from them.

``python benchmarks/reading.py --gigabytes 4 --folder /tmp/reading`` writes a plain dataset, a compressed one, a pandas
table and a Panel4D table of that size (uncompressed; for the Panel4D table, the size of its records). It reads each
alternately with Arignote and the other libraries, prints ratios within the same run, and then trains the same network
on the large plain file and on a small one.
"""

import argparse
import functools
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import tables

from arignote.data.readers import HDFReader

BATCH = 128
PIXELS = 784
CHUNK = 512


def images(n: int, dtype: str) -> Iterator[np.ndarray]:
    """Yield images in pieces that compress to about a third."""
    rng = np.random.default_rng(0)
    for start in range(0, n, 4096):
        shape = (min(4096, n - start), PIXELS)
        yield (rng.integers(256, size=shape) * (rng.random(shape) < 0.25) / 255).astype(dtype)


def write_dataset(path: Path, n_bytes: int, compressed: bool = False) -> None:
    n = n_bytes // (4 * PIXELS)
    options = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if compressed else {}
    with h5py.File(path, "w") as file:
        file["labels"] = np.arange(n) % 10
        features = file.create_dataset("features", (n, PIXELS), "f4", chunks=(CHUNK, PIXELS), **options)
        for i, piece in enumerate(images(n, "f4")):
            features[4096 * i : 4096 * i + len(piece)] = piece


def write_table(path: Path, n_bytes: int) -> None:
    with pd.HDFStore(path, "w") as store:
        for piece in images(n_bytes // (4 * PIXELS), "f4"):
            store.append("features", pd.DataFrame(piece), index=False)


def write_panel4d(path: Path, n_bytes: int) -> None:
    """Write compressed records of (image, row, column, value) in the layout of pandas 0.x."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.data.hdf.old_pandas import write_panel

    axes = [list(range(2)), ["gray"], list(range(28)), list(range(28))]
    write_panel(path, "features", np.zeros((2, 1, 28, 28)), axes, item_axis=1, complib="zlib", complevel=1)
    n = n_bytes // (32 * PIXELS)
    with tables.open_file(path, "a") as file:
        table = file.root.features.table
        table.truncate(0)
        for start, piece in zip(itertools.count(0, 4096), images(n, "f8"), strict=False):
            records = np.empty((len(piece), PIXELS), table.dtype)
            records["labels"] = np.arange(start, start + len(piece))[:, np.newaxis]
            records["major_axis"], records["minor_axis"] = np.repeat(range(28), 28), np.tile(range(28), 28)
            records["values_block_0"] = piece[:, :, np.newaxis]
            table.append(records.reshape(-1))


def read_by_arignote(reader: HDFReader, path: Path, n_rows: int) -> None:
    for _ in reader.iter_epoch(BATCH, 0, n_rows):
        pass


def read_by_h5py(path: Path, n_rows: int) -> None:
    with h5py.File(path) as file:
        features = file["features"]
        for start in range(0, n_rows - BATCH + 1, BATCH):
            features[start : start + BATCH]


def read_records_by_h5py(path: Path, n_rows: int) -> None:
    """Read the raw records of a table, without assembling images."""
    with h5py.File(path) as file:
        table = file["features/table"]
        step = BATCH * (PIXELS if "major_axis" in table.dtype.names else 1)
        for start in range(0, step * (n_rows // BATCH), step):
            table[start : start + step]


def read_by_pandas(path: Path, n_rows: int) -> None:
    with pd.HDFStore(path, "r") as store:
        for start in range(0, n_rows - BATCH + 1, BATCH):
            store.select("features", start=start, stop=start + BATCH).to_numpy()


def compare(path: Path, n_rows: int, readers: dict[str, Callable], repeats: int) -> None:
    """Read the same rows alternately with each reader; print medians and the ratios of each round."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats):
        for name, read in readers.items():
            started = time.perf_counter()
            read(path, n_rows)
            seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        ratios = [mine / other for mine, other in zip(seconds["arignote"], times, strict=True)]
        print(f"  {name:20} {n_rows / statistics.median(times):10,.0f} rows/s   arignote/{name} time "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)  # fmt: skip


TRAIN = """
import resource, sys, time
from arignote.data.readers import Data, HDFReader
from arignote.nnets import nets
path, shuffle, = sys.argv[1], sys.argv[2] == "shuffle"
features = HDFReader(path, "features")
labels = HDFReader(path, "labels")
network = nets.NNClassifier(nets.define_mlp(10, [100]), rng=0)
started = time.monotonic()
network.fit(Data(features, labels, shuffle=shuffle), n_epochs=1, batch_size=128)
seconds = time.monotonic() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"  {features.n_rows:9} rows, {sys.argv[2]:8} peak memory {peak:6.0f} MB, {seconds:6.1f} s", flush=True)
"""


def main() -> None:
    """Write the files, read them and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=0.2, help="uncompressed size of each file (default: 0.2)")
    parser.add_argument("--folder", help="folder to write the files to and keep them in (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each comparison (default: 5)")
    parser.add_argument("--rows", type=int, default=40960, help="rows to read in each round (default: 40960)")
    arguments = parser.parse_args()
    n_bytes = int(arguments.gigabytes * 2**30)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.folder or temporary)
        folder.mkdir(exist_ok=True)
        cases = {
            "plain": (write_dataset, {"h5py": read_by_h5py}),
            "packed": (lambda path, n: write_dataset(path, n, True), {"h5py": read_by_h5py}),
            "table": (write_table, {"pandas": read_by_pandas, "h5py, bytes": read_records_by_h5py}),
            "panel4d": (write_panel4d, {"h5py, bytes": read_records_by_h5py}),
        }
        for kind, (write, others) in cases.items():
            path = folder / f"{kind}.h5"
            if not path.exists():
                write(path, n_bytes)
            started = time.perf_counter()
            reader = HDFReader(path, "features")
            opened = time.perf_counter() - started
            print(
                f"{kind}: {reader.n_rows} rows, {path.stat().st_size / 1e9:.2f} GB; opened in {opened:.2f} s",
                flush=True,
            )
            n_rows = min(arguments.rows, reader.n_rows) // (10 if kind == "panel4d" else 1)
            mine = functools.partial(read_by_arignote, reader)
            compare(path, n_rows, {"arignote": mine, **others}, arguments.repeats)
        small = folder / "small.h5"
        write_dataset(small, 2**24)
        print("training a network of 100 units for an epoch", flush=True)
        for path, order in ((small, "in order"), (folder / "plain.h5", "in order"), (small, "shuffle"),
                            (folder / "plain.h5", "shuffle")):  # fmt: skip
            subprocess.run([sys.executable, "-c", TRAIN, str(path), order], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
