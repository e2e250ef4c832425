"""The cost of checkpoints: epochs of the README's network with and without them, alternately.

Run ``python benchmarks/saving.py``. Since shared machines are noisy, the order changes from round to round, and the
sums over all rounds are compared as well as the single pairs. The wait for the last file of each run is included.
"""

import statistics
import tempfile
import time

from arignote import sample_data
from arignote.data import files
from arignote.nnets import nets

LAYERS = nets.define_mlp(10, [400, 400], activation="prelu_shelf", dropout_p=[0, 0.5, 0.5], l2_reg=0.001)
N_EPOCHS = 3
N_ROUNDS = 14


def main() -> None:
    """Measure both alternately."""
    train, valid, _ = files.read_pickle(sample_data.mnist)
    with tempfile.TemporaryDirectory() as folder:
        places = {"without": None, "with": f"{folder}/mnist"}
        networks = {what: nets.NNClassifier(LAYERS, rng=0) for what in places}
        seconds = {what: [] for what in places}
        for what, network in networks.items():  # compiles, so that only epochs are measured below
            network.fit(train, valid=valid, n_epochs=1, batch_size=128, sgd_type="nag", checkpoint=places[what])
        for i in range(N_ROUNDS):
            for what in sorted(places, reverse=i % 2 == 0):
                started = time.perf_counter()
                networks[what].fit(train, valid=valid, n_epochs=1 + (i + 1) * N_EPOCHS, checkpoint=places[what])
                seconds[what].append((time.perf_counter() - started) / N_EPOCHS)
    for what, values in seconds.items():
        print(f"{what} checkpoints: median {statistics.median(values):.3f}, minimum {min(values):.3f} s per epoch")
    ratios = [b / a for a, b in zip(seconds["without"], seconds["with"], strict=True)]
    print(f"ratio of the sums: {sum(seconds['with']) / sum(seconds['without']):.3f}")
    print(f"median of the ratios: {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
