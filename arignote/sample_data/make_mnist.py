"""Create mnist.pkl.gz from the four original files of MNIST.

Run ``python -m arignote.sample_data.make_mnist FOLDER``, where FOLDER contains train-images-idx3-ubyte.gz and the other
three formats. The output is reproducible byte for byte.
"""

import argparse
import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np

from arignote.data import atomic, formats
from arignote.sample_data import mnist

SHA256 = {
    "train-images-idx3-ubyte.gz": "d2cebd02927d553943b2679536bf602ec0cdcb6555ad87dda5d640e1d425faaf",
    "train-labels-idx1-ubyte.gz": "2a107763ddf1eef92815bfbb1b855b662a7228add9dfab29de697c644d666cda",
    "t10k-images-idx3-ubyte.gz": "4e612d6003de73386763f2c35c044ab376e830da80adb2347651a1f182f103a1",
    "t10k-labels-idx1-ubyte.gz": "909a5aeb9fcec3f171b427c45622a55f69dc15dd80bd0624413cbfbe12553c1c",
}
N_TRAIN = 50_000


def read_checked(path: Path) -> np.ndarray:
    """Read one of the four files after verifying its checksum."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[path.name]:
        raise ValueError(f"{path}: got SHA-256 {found}; need {SHA256[path.name]}; try another copy of the file")
    return formats.read_idx(path)


def read_pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a part as rows of float32 in [0, 1], and their labels as int64."""
    images = read_checked(folder / f"{part}-images-idx3-ubyte.gz")
    labels = read_checked(folder / f"{part}-labels-idx1-ubyte.gz")
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255), labels.astype(np.int64)


def main() -> None:
    """Read the files in the folder given on the command line, and write the sample data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the four files of MNIST")
    folder = parser.parse_args().folder
    images, labels = read_pair(folder, "train")
    parts = ((images[:N_TRAIN], labels[:N_TRAIN]), (images[N_TRAIN:], labels[N_TRAIN:]), read_pair(folder, "t10k"))
    content = gzip.compress(pickle.dumps(parts, protocol=4), compresslevel=9, mtime=0)
    atomic.write(mnist, lambda file: file.write(content))
    print(f"{mnist}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
