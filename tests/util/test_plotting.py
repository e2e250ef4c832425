import pytest

from arignote.nnets.nets import NNClassifier
from tests.nnets.test_nets import MLP

pytest.importorskip("matplotlib")


def test_learning_curves_show_the_history(quick, blobs, tmp_path):
    from arignote.util import plotting

    X, y = blobs
    classifier = NNClassifier(MLP, name="Mine", rng=0).fit(X, y, valid=(X, y), test=(X, y), n_epochs=3, batch_size=40)
    axes = plotting.learning_curves(classifier, tmp_path / "curves.png")
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["valid nll"].get_ydata().tolist() == classifier.trainer.curve("valid_nll")[1]
    assert (axes.get_title(), axes.get_xlabel()) == ("Mine", "epoch")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
