"""Sample data.

`mnist` is the path of a file for :func:`arignote.data.files.read_pickle`. It contains the MNIST data set of 70 000
images of handwritten digits, 28x28 pixels (Y. LeCun, C. Cortes, C. J. C. Burges), as ((X, y), (X, y), (X, y)) for
training, validation and test: 50 000, 10 000 and 10 000 rows, X float32 in [0, 1] of shape (n, 784), y int64.
"""

from pathlib import Path

mnist = str(Path(__file__).with_name("mnist.pkl.gz"))
