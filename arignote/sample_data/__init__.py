"""Data to try things on.

`mnist` is the name of a file, for :func:`arignote.data.files.read_pickle`: 70 000 images of handwritten digits, 28x28
pixels (Y. LeCun, C. Cortes, C. J. C. Burges), as ((X, y), (X, y), (X, y)) for training, validation and testing: 50 000,
10 000 and 10 000 rows, X float32 in [0, 1] of shape (n, 784), y int64.
"""

from pathlib import Path

mnist = str(Path(__file__).with_name("mnist.pkl.gz"))
