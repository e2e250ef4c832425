"""What several test modules share: comparisons to the bit, small networks, gradients, a metadata service."""

import hashlib
import http.server
import ipaddress
import os
import struct
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from arignote.nnets.callbacks import Callback

ROOT = Path(__file__).parent.parent

MLP = [["FCLayer", {"n_units": 8, "activation": "tanh"}], ["ClassificationOutputLayer", {"n_classes": 3}]]
DROPPED = [MLP[0], ["DropoutLayer", {"dropout_p": 0.3}], MLP[1]]
"""The same with dropout, so that training needs random numbers."""


# -- equal to the bit ------------------------------------------------------------------------------------------------


def assert_same(one, other, what="value"):
    """Assert that two pieces of plain data are equal to the bit: types, order of keys, arrays, NaN and signed zeros."""
    assert type(one) is type(other), f"{what}: got {type(other).__name__}; need {type(one).__name__}"
    if isinstance(one, dict):
        assert list(one) == list(other), f"{what}: got the keys {list(other)}; need {list(one)}"
        for key in one:
            assert_same(one[key], other[key], f"{what}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), f"{what}: got {len(other)} entries; need {len(one)}"
        for i, (item, counterpart) in enumerate(zip(one, other, strict=True)):
            assert_same(item, counterpart, f"{what}[{i}]")
    elif isinstance(one, np.ndarray):
        kinds = [(array.dtype, array.shape) for array in (one, other)]
        assert kinds[0] == kinds[1], f"{what}: got {kinds[1]}; need {kinds[0]}"
        assert one.tobytes() == other.tobytes(), f"{what}: {(one != other).sum()} of {one.size} numbers differ"
    elif isinstance(one, float):
        assert struct.pack("d", one) == struct.pack("d", other), f"{what}: got {other!r}; need {one!r}"
    else:
        assert one == other, f"{what}: got {other!r}; need {one!r}"


def without_clock(classifier):
    """Return the state of a classifier without the time that its training took."""
    state = classifier.__getstate__()
    if state["run"]:
        state["run"]["progress"].pop("seconds")
    return state


def assert_same_training(one, other, same_data=True):
    """Assert that two classifiers, and their trainings, are equal to the bit, the time they took aside.

    Compares parameters, arrays of the optimizer, rules, histories, progress, settings and the states of callbacks.
    Those that store nothing, such as `StopAfter`, do not count.
    """
    states = [without_clock(classifier) for classifier in (one, other)]
    for state in states:
        if state["run"]:
            state["run"]["callbacks"] = {name: kept for name, kept in state["run"]["callbacks"].items() if kept}
            state["run"]["settings"].pop("functions")  # only their names
            state["run"]["data"] = state["run"]["data"] if same_data else {}
    assert_same(*states, "state")


def assert_same_params(one, other):
    """Assert that the parameters of two classifiers are equal to the bit."""
    assert_same(one.network.get_values(), other.network.get_values(), "params")


def digests(classifier):
    """Return a checksum of each part of the state, the time aside: a small form to compare between processes."""
    flat = {}

    def visit(value, name):
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, f"{name}/{key}")
        else:
            content = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            flat[name] = hashlib.sha256(content).hexdigest()

    visit(without_clock(classifier), "")
    return flat


# -- images ----------------------------------------------------------------------------------------------------------


def write_digits(folder, n=1797, names=tuple("0123456789")):
    """Write digits of scikit-learn, 8x8 pixels, as PNG files into a folder for each class; return pixels and labels.

    They come in the order of their paths: by class, then in the order of scikit-learn.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    X, y = (array[:n] for array in load_digits(return_X_y=True))
    pixels = np.rint(X.reshape(-1, 8, 8) * (255 / 16)).astype("uint8")
    for i, (image, label) in enumerate(zip(pixels, y, strict=True)):
        path = Path(folder) / names[label] / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    order = np.argsort(np.array(list(names))[y], kind="stable")
    return pixels[order] / np.float32(255), y[order]


# -- training --------------------------------------------------------------------------------------------------------


class StopAfter(Callback):
    """Stop the training after a number of minibatches."""

    def __init__(self, n_batches):
        self.left = n_batches

    def on_batch_end(self, classifier, loss):
        self.left -= 1
        if self.left == 0:
            classifier.trainer.stop("enough")


def mean_nll(classifier, X, y):
    """Return the negative log likelihood of labels, from the probabilities that the classifier predicts."""
    p = classifier.predict_proba(X).astype(np.float64)
    return -np.log(p[np.arange(len(y)), y]).mean()


def wait_until(condition, seconds=60):
    """Wait until something is so; fail if it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {seconds} s in vain"
        time.sleep(0.01)


# -- other programs --------------------------------------------------------------------------------------------------

HOLD = """
import sys
from arignote.checkpoint import lock
with lock.acquire(sys.argv[1], float(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def hold(name, seconds=30):
    """Start a program that holds the lock of a checkpoint until the end of the block."""
    command = [sys.executable, "-c", HOLD, str(name), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def process_tree(pid):
    """Return a process and all that it has started, directly or not, which still run."""
    found = [pid]
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        with suppress(OSError):
            found += [each for child in path.read_text().split() for each in process_tree(int(child))]
    return found


def listening_addresses(pids):
    """Return the address of each TCP socket on which some processes listen, and the process."""
    owners = {}
    for pid in pids:
        for path in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                owners[os.readlink(path)] = pid
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            _, local, _, state, *fields = line.split()
            owner = owners.get(f"socket:[{fields[5]}]")
            if state == "0A" and owner is not None:
                words = bytes.fromhex(local.partition(":")[0])  # each four bytes are a number of this machine
                address = ipaddress.ip_address(b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4)))
                found.append((getattr(address, "ipv4_mapped", None) or address, owner))
    return found


# -- gradients -------------------------------------------------------------------------------------------------------


def numeric_gradient(function, array, step=1e-6):
    """Return the gradient of a function of an array by central differences."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def numeric_gradient_by(shared, function):
    """Return the gradient of a function of nothing by a shared variable that it depends on."""
    start = shared.get_value()

    def at(value):
        shared.set_value(value)
        return function()

    gradient = numeric_gradient(at, start)
    shared.set_value(start)
    return gradient


# -- spot machines ---------------------------------------------------------------------------------------------------


class MetadataService(http.server.BaseHTTPRequestHandler):
    """What a program on an EC2 machine sees of the metadata service, version 2.

    Attributes
    ----------
    notice : str or None
        The spot notice, if there is one.
    asked : int
        How many questions there were.
    token : str
        The token that is valid now.
    """

    notice = None
    asked = 0
    token = "the-token"

    def reply(self, status, text=""):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        good = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self.reply(200 if good else 400, self.token)

    def do_GET(self):
        type(self).asked += 1
        if self.headers.get("X-aws-ec2-metadata-token") != self.token:
            return self.reply(401)
        if self.path != "/latest/meta-data/spot/instance-action" or self.notice is None:
            return self.reply(404)
        return self.reply(200, self.notice)

    def log_message(self, *arguments):
        pass
