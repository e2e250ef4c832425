"""What checkpoints cost: epochs of the README's network with and without them, in turn.

Run ``python benchmarks/saving.py``. Machines that others use too are noisy: the order changes from round to round, and
the sums over all rounds are compared beside the single pairs. The wait for the last file of each leg counts in full.
"""

import statistics
import tempfile
import time

from arignote import sample_data
from arignote.data import files
from arignote.nnets import nets

LAYERS = nets.define_mlp([400, 400], 10, activation="prelu_shelf", dropout_p=0.5, l2=0.001)
N_EPOCHS = 3
N_ROUNDS = 14


def main() -> None:
    """Measure, in pairs."""
    train, valid, _ = files.read_pickle(sample_data.mnist)
    with tempfile.TemporaryDirectory() as folder:
        places = {"without": None, "with": f"{folder}/mnist"}
        networks = {what: nets.NNClassifier(LAYERS, rng=0) for what in places}
        seconds = {what: [] for what in places}
        for what, network in networks.items():  # compiles; what follows is epochs alone
            network.fit(train, valid=valid, n_epochs=1, batch_size=128, sgd_type="nag", checkpoint=places[what])
        for i in range(N_ROUNDS):
            for what in sorted(places, reverse=i % 2 == 0):
                started = time.perf_counter()
                networks[what].fit(train, valid=valid, n_epochs=1 + (i + 1) * N_EPOCHS, checkpoint=places[what])
                seconds[what].append((time.perf_counter() - started) / N_EPOCHS)
    for what, values in seconds.items():
        print(f"{what} checkpoints: median {statistics.median(values):.3f}, least {min(values):.3f} s an epoch")
    ratios = [b / a for a, b in zip(seconds["without"], seconds["with"], strict=True)]
    print(f"ratio of the sums: {sum(seconds['with']) / sum(seconds['without']):.3f}")
    print(f"median of the pairs' ratios: {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
