"""What checkpoints cost: epochs of the README's network with and without them, in turn.

Run ``python benchmarks/saving.py``. Prints the median of each, and the median of their ratios.
"""

import statistics
import tempfile
import time

from arignote import sample_data
from arignote.data import files
from arignote.nnets import nets

LAYERS = nets.define_mlp([400, 400], 10, activation="prelu_shelf", dropout_p=0.5, l2=0.001)
N_EPOCHS = 5
N_ROUNDS = 9


def main() -> None:
    """Measure, in pairs."""
    train, valid, _ = files.read_pickle(sample_data.mnist)
    with tempfile.TemporaryDirectory() as folder:
        seconds = {"without": [], "with": []}
        networks = {}
        for what, checkpoint in (("without", None), ("with", f"{folder}/mnist")):
            networks[what] = nets.NNClassifier(LAYERS, rng=0)
            # Compiles; what follows is epochs alone.
            networks[what].fit(train, valid=valid, n_epochs=1, batch_size=128, sgd_type="nag", checkpoint=checkpoint)
        for i in range(N_ROUNDS):
            for what, checkpoint in (("without", None), ("with", f"{folder}/mnist")):
                started = time.perf_counter()
                networks[what].fit(train, valid=valid, n_epochs=1 + (i + 1) * N_EPOCHS, checkpoint=checkpoint)
                seconds[what].append((time.perf_counter() - started) / N_EPOCHS)
    ratios = [b / a for a, b in zip(seconds["without"], seconds["with"], strict=True)]
    for what, values in seconds.items():
        print(f"{what} checkpoints: {statistics.median(values):.3f} s an epoch")
    print(f"ratio: {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
