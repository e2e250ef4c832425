"""The cost of training from an HDF5 file compared with training from memory, in epochs of Fashion-MNIST.

``python benchmarks/from_file.py runs/fashion-train.h5`` reads the file that examples/fashion.py writes.
"""

import statistics
import sys
import time
from pathlib import Path

from arignote.data.readers import DataWithHoldoutPartitions, HDFReader
from arignote.nnets import nets

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import fashion

N_ROUNDS = 12


def main(path: str) -> None:
    """Measure both alternately."""
    readers = HDFReader(path, "images"), HDFReader(path, "labels")
    sources = {"file": readers, "memory": [next(reader.iter_epoch(reader.n_rows)) for reader in readers]}
    data, networks = {}, {}
    for what, source in sources.items():
        data[what] = DataWithHoldoutPartitions(*source, 128, 1 / 6, 0, alter_features=fashion.to_unit, shuffle=True)
        networks[what] = nets.NNClassifier(fashion.NETS["mlp"], rng=0)
    seconds = {what: [] for what in sources}
    for i in range(N_ROUNDS + 1):
        for what in sorted(sources, reverse=i % 2 == 0):
            started = time.perf_counter()
            networks[what].fit(data[what], n_epochs=1 + 2 * i, augmentation=fashion.AUGMENTATION, sgd_type="nag")
            if i > 0:  # the first round compiles
                seconds[what].append((time.perf_counter() - started) / 2)
    for what, values in seconds.items():
        print(f"from {what}: median {statistics.median(values):.3f}, minimum {min(values):.3f} s per epoch")
    ratios = [a / b for a, b in zip(seconds["file"], seconds["memory"], strict=True)]
    print(f"ratio of the sums: {sum(seconds['file']) / sum(seconds['memory']):.3f}")
    print(f"median of the ratios: {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
