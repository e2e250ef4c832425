"""Pictures of networks and their training. Needs matplotlib: ``pip install arignote[plot]``.

Each function takes a classifier or the name of a checkpoint, draws one picture, writes it to a file if one is named,
and returns the axes, to add to. It needs no screen; in a notebook the picture is shown below the cell.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from arignote.util import netlog

# Pictures of images: of weights and activations, whose sign matters; and of data.
SIGNED, PLAIN = "RdBu_r", "gray"


def learning_curves(classifier: Any, filename: str | Path | None = None) -> Any:
    """Draw the losses of a training run against the epochs, and the test error, if known, on an axis of its own.

    Parameters
    ----------
    classifier : NNClassifier, str or Path
        One that was trained, or a checkpoint.
    filename : str or Path, optional
        Write the picture there, in the format that the name says (.png, .pdf, ...).

    Returns
    -------
    matplotlib axes
        Of the losses.
    """
    from matplotlib.ticker import LogFormatter, LogLocator

    classifier = _trained(classifier)
    history = classifier.trainer.history
    names = list(dict.fromkeys(name for entry in history for name in entry))
    curves = [name for name in names if name.split("_")[0] in ("train", "valid", "test")]
    losses = _axes(8, 5, xlabel="epoch", ylabel="loss", title=classifier.name)
    losses.grid(alpha=0.3, which="both")
    errors = None
    handles = []
    for i, name in enumerate(curves):
        axes, percent = losses, 1.0
        if name.endswith("_error"):
            errors = errors or losses.twinx()
            axes, percent = errors, 100.0
        epochs, values = classifier.trainer.curve(name)
        style = "--" if axes is errors else "-"
        values = [percent * value for value in values]
        handles += axes.plot(epochs, values, style, marker=".", color=f"C{i}", label=name.replace("_", " "))
    if classifier.trainer.best_params is not None:
        best = classifier.trainer.progress.best_epoch
        handles.append(losses.axvline(best, color="gray", linestyle=":", label="best validation loss"))
    losses.set_yscale("log")
    # Losses often stay within one power of ten: 2 and 5 are labelled, too.
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    losses.yaxis.set_major_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf)))
    losses.yaxis.set_minor_formatter("")
    if errors is not None:
        errors.set_ylabel("error, %")
        errors.set_ylim(bottom=0)
    losses.legend(handles=handles)
    return _finished(losses, filename)


def training_rates(classifier: Any, filename: str | Path | None = None) -> Any:
    """Draw the steps of learning rate and momentum against the epochs.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.

    Returns
    -------
    matplotlib axes
        Of the learning rate.
    """
    classifier = _trained(classifier)
    rates = _axes(8, 4, xlabel="epoch", ylabel="learning rate", title=classifier.name)
    momenta = rates.twinx()
    momenta.set(ylabel="momentum", ylim=(0, 1))
    handles = []
    for axes, name, color in ((rates, "learning_rate", "C0"), (momenta, "momentum", "C1")):
        epochs, values = classifier.trainer.curve(name)
        if not values:
            raise ValueError(
                f"got {classifier.name}, in whose history no {name} stands: the first Arignote kept none; "
                "need a newer one; try classifier.fit, to go on"
            )
        # An entry has the value until its validation.
        label = name.replace("_", " ")
        handles += axes.step([0, *epochs], [values[0], *values], where="pre", color=color, label=label)
    rates.set_yscale("log")
    momenta.legend(handles=handles, loc="lower left")  # of the axes in front
    return _finished(rates, filename)


def filters(classifier: Any, filename: str | Path | None = None, layer: str | None = None, n_filters: int = 64) -> Any:
    """Draw what the units of a layer look for: their weights, as images; red is positive, blue negative.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.
    layer : str, optional
        Name of a layer; by default the first one with weights.
    n_filters : int, optional
        How many to draw, by default 64: those with the largest norm.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the weights of the layer are no images: those of a dense layer behind anything but an image, say.
    """
    classifier = _classifier(classifier)
    if layer is None:
        layer = next(each.name for each in classifier.layers_inf if {"W", "W0"} & set(each.params))
    chosen = classifier.get_layer(layer)
    weights = chosen.params["W" if "W" in chosen.params else "W0"].get_value()
    images = weights if weights.ndim == 4 else weights.T.reshape(-1, *_image_shape(chosen))
    largest = np.argsort(-(images**2).sum(axis=(1, 2, 3)), kind="stable")[:n_filters]
    axes = _axes(7, 7, title=f"{classifier.name}: {layer}")
    _show(axes, _tiled(images[np.sort(largest)].mean(axis=1)), SIGNED)
    return _finished(axes, filename)


def activations(classifier: Any, image: Any, filename: str | Path | None = None, n_maps: int = 12) -> Any:
    """Draw what the layers of images make of one image: a row for each layer, its first maps side by side.

    Parameters
    ----------
    classifier
        As for :func:`learning_curves`; one with convolutions.
    image : array
        One example, as `predict` takes it.
    filename : str or Path, optional
    n_maps : int, optional
        How many maps of a layer to draw, by default 12.

    Returns
    -------
    array of matplotlib axes, one for each row

    Raises
    ------
    ValueError
        If the network has no layers of images.
    """
    from arignote import engine

    classifier = _classifier(classifier)
    network = classifier.network
    shown = [layer for layer in network.layers_inf if len(layer.output_shape) == 3 and layer.short_name != "dropout"]
    if not shown:
        raise ValueError(f"got {classifier.name}, whose layers give no images; need convolutions; try plotting.filters")
    outputs = [
        layer.output if layer.output_layout() == "bc01" else layer.output.dimshuffle(3, 0, 1, 2) for layer in shown
    ]
    found = engine.function([network.x], outputs)(network.prepare_features(np.asarray(image)[np.newaxis]))
    rows = _grid(1.1 * n_maps, 1.5 * len(shown), len(shown))
    for axes, layer, maps in zip(rows, shown, found, strict=True):
        _show(axes, _tiled(np.asarray(maps)[0, :n_maps], n_columns=n_maps), PLAIN if layer is shown[0] else SIGNED)
        axes.set_title(f"{layer.name} {layer.output_shape}", loc="left", fontsize=9)
    return _finished(rows, filename)


def confusion_matrix(classifier: Any, X: Any, y: Any, filename: str | Path | None = None) -> Any:
    """Draw how often examples of each class are taken for each other one.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.
    X, y : arrays
        Examples and their class numbers.

    Returns
    -------
    matplotlib axes
    """
    classifier = _classifier(classifier)
    n = classifier.network.output_layer.n_classes
    counts = np.zeros((n, n), int)
    np.add.at(counts, (classifier.network.output_layer.prepare_labels(y), classifier.predict(X)), 1)
    right = np.trace(counts) / counts.sum()
    side = max(5, 0.5 * n)
    axes = _axes(side, side, xlabel="predicted", ylabel="true", title=f"{classifier.name}: {100 * right:.2f} % right")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)  # few of many shall be seen, too
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(
                j,
                i,
                f"{count}",
                ha="center",
                va="center",
                color="white" if shares[i, j] > 0.35 else "black",
                fontsize=8,
            )
    axes.set(xticks=range(n), yticks=range(n))
    return _finished(axes, filename)


def most_wrong(classifier: Any, X: Any, y: Any, filename: str | Path | None = None, n_examples: int = 25) -> Any:
    """Draw the images whose true class was thought least probable.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.
    X, y : arrays
        Images, also as vectors, and their class numbers.
    n_examples : int, optional
        How many, by default 25.

    Returns
    -------
    array of matplotlib axes, one for each image
    """
    classifier = _classifier(classifier)
    labels = classifier.network.output_layer.prepare_labels(y)
    probabilities = classifier.predict_proba(X)
    worst = np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")[:n_examples]
    shape = _image_shape(classifier.layers_inf[0])
    columns = math.ceil(math.sqrt(len(worst)))
    n_rows = math.ceil(len(worst) / columns)
    grid = _grid(1.6 * columns, 1.9 * n_rows, n_rows, columns)
    for axes in grid[len(worst) :]:
        axes.set_axis_off()
    for axes, row in zip(grid, worst, strict=False):
        image = np.asarray(X[row], float).reshape(shape)
        _show(axes, image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0), PLAIN)
        predicted = probabilities[row].argmax()
        text = f"{labels[row]}, taken for {predicted}\n{100 * probabilities[row, labels[row]]:.1g} %, row {row}"
        axes.set_title(text, fontsize=7)
    return _finished(grid, filename)


def _classifier(source: Any) -> Any:
    """Return a classifier, read from a checkpoint if need be."""
    if isinstance(source, str | Path):
        from arignote.data import files

        return files.checkpoint_read(source)
    return source


def _trained(source: Any) -> Any:
    """Return a classifier that has a history."""
    classifier = _classifier(source)
    if classifier.trainer is None or not classifier.trainer.history:
        raise ValueError(f"got {classifier.name}, which was not trained yet; need a history; try classifier.fit first")
    return classifier


def _image_shape(layer: Any) -> tuple[int, int, int]:
    """Return (channels, rows, columns) of what comes into a layer, a square image if it is a vector of its size."""
    if len(layer.input_shape) == 3:
        return layer.input_shape
    side = math.isqrt(layer.input_shape[0])
    if side**2 != layer.input_shape[0]:
        raise ValueError(
            f"got {layer} with inputs of shape {layer.input_shape}; need images; try an InputImageLayer in front"
        )
    return (1, side, side)


def _tiled(images: np.ndarray, n_columns: int | None = None) -> np.ndarray:
    """Return images (n, rows, columns) side by side, with lines of NaN between them."""
    magnified = max(1, 24 // images.shape[1])  # or the lines would look thick between small filters
    images = images.repeat(magnified, axis=1).repeat(magnified, axis=2)
    n, rows, columns = images.shape
    across = n_columns or math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    tiles = np.full((down * across, rows + 1, columns + 1), np.nan)
    tiles[:n, :-1, :-1] = images
    tiles = tiles.reshape(down, across, rows + 1, columns + 1).transpose(0, 2, 1, 3)
    return tiles.reshape(down * (rows + 1), across * (columns + 1))[:-1, :-1]


def _show(axes: Any, image: np.ndarray, colors: str) -> None:
    """Draw an image without axes; in signed colors zero is in the middle."""
    limit = np.nanmax(np.abs(image)) if colors == SIGNED else None
    axes.imshow(image, cmap=colors, vmin=None if limit is None else -limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()


def _grid(width: float, height: float, n_rows: int = 1, n_columns: int = 1) -> Any:
    """Return the axes of a new figure of a size in inches, row by row."""
    figure = _new_figure()(figsize=(width, height), layout="constrained")
    return figure.subplots(n_rows, n_columns, squeeze=False).ravel()


def _new_figure() -> Any:
    """Return what makes a figure: in a notebook, one that is shown below the cell; else one that needs no screen."""
    if netlog.in_notebook():
        from matplotlib import pyplot

        return pyplot.figure
    from matplotlib.figure import Figure

    return Figure


def _axes(width: float, height: float, **labels: Any) -> Any:
    """Return the one pair of axes of a new figure."""
    axes = _grid(width, height)[0]
    axes.set(**labels)
    return axes


def _finished(axes: Any, filename: str | Path | None) -> Any:
    """Write the figure to a file if one is named; return the axes."""
    if filename is not None:
        np.ravel(axes)[0].figure.savefig(filename, dpi=100)
    return axes
