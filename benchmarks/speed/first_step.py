"""The first training step of the README's network, in a new process; its run time is measured. Prints nothing."""

import sys


def arignote() -> None:
    """Train on one minibatch."""
    import numpy as np

    from arignote.nnets import nets
    from benchmarks.speed.arignote_peer import layer_defs

    X, y = np.ones((128, 784), np.float32), np.zeros(128, np.int32)
    nets.NNClassifier(layer_defs("seed"), rng=0).fit(X, y, n_epochs=1, batch_size=128, sgd_type="nag")


def torch() -> None:
    """Run one training step."""
    import torch

    from benchmarks.speed.torch_peer import trained

    _, step = trained("seed", "")
    step(torch.ones(128, 784), torch.zeros(128, dtype=torch.int64)).item()


if __name__ == "__main__":
    {"arignote": arignote, "torch": torch}[sys.argv[1]]()
