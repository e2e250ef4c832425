import numpy as np
import pytest

from arignote import sample_data
from arignote.data import files
from arignote.sample_data import make_mnist


@pytest.fixture(scope="module")
def parts():
    return files.read_pickle(sample_data.mnist)


def test_has_the_documented_format(parts):
    assert isinstance(parts, tuple)
    for (X, y), n in zip(parts, (50_000, 10_000, 10_000), strict=True):
        assert X.shape == (n, 784) and X.dtype == np.float32 and (X.min(), X.max()) == (0, 1)
        assert y.shape == (n,) and y.dtype == np.int64 and set(y) == set(range(10))


def test_is_mnist(parts):
    # the well-known first labels and digit counts of MNIST
    assert parts[0][1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert parts[2][1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    train = np.concatenate([parts[0][1], parts[1][1]])
    assert np.bincount(train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(parts[2][1]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_script_refuses_other_files(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="got SHA-256 .*; need d2cebd"):
        make_mnist.read_pair(tmp_path, "train")
