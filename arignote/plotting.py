"""Plots of networks and their training. Requires matplotlib: ``pip install arignote[plot]``.

Each function takes a classifier or the name of a checkpoint, draws one figure, optionally writes it to a file, and
returns the axes, so that more can be added. No display is needed; in a notebook the figure is shown below the cell.
"""

import math
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from arignote.checkpoint.format import checkpoint_read
from arignote.util import netlog

# Color maps of images: of weights and activations, whose sign matters, and of data.
SIGNED, PLAIN = "RdBu_r", "gray"


def learning_curves(classifier: Any, filename: str | Path | None = None) -> Any:
    """Plot the losses of a training run against the epochs, and the error rates, if available, on a second axis.

    Parameters
    ----------
    classifier : NNClassifier, str or Path
        A trained classifier, or a checkpoint.
    filename : str or Path, optional
        File to write the figure to, in the format of its suffix (.png, .pdf, ...).

    Returns
    -------
    matplotlib axes
        The axes of the losses.
    """
    classifier = _trained_classifier(classifier)
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
    _log_scale(losses)
    if errors is not None:
        errors.set_ylabel("error, %")
        errors.set_ylim(bottom=0)
    losses.legend(handles=handles)
    return _save(losses, filename)


def show_cost(metadata: Any, plot_train: bool = True, axes: Any = None) -> Any:
    """Plot the training and validation losses against the number of minibatches.

    Parameters
    ----------
    metadata : NNClassifier, str, Path or dict
        A trained classifier, a checkpoint, or a dictionary with ``train_loss`` and ``valid_loss``: lists of pairs of
        the number of a minibatch and a loss.
    plot_train : bool, optional
        Plot the training loss too, by default True.
    axes : matplotlib axes, optional
        By default new ones.

    Returns
    -------
    matplotlib axes
    """
    if not isinstance(metadata, Mapping):
        trainer = _trained_classifier(metadata).trainer
        metadata = {name: getattr(trainer, name) for name in ("train_loss", "valid_loss")}
    axes = _axes(8, 5) if axes is None else axes
    axes.set(xlabel="minibatch", ylabel="loss")
    for name, label in (("train_loss", "training"), ("valid_loss", "validation")):
        pairs = metadata.get(name, []) if plot_train or name != "train_loss" else []
        if len(pairs):
            axes.plot(*np.asarray(pairs, dtype=float).T, label=label)
    axes.legend()
    return axes


def training_rates(classifier: Any, filename: str | Path | None = None) -> Any:
    """Plot the learning rate against the epochs, and the momentum, if the update rule uses it, on a second axis.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.

    Returns
    -------
    matplotlib axes
        The axes of the learning rate.
    """
    classifier = _trained_classifier(classifier)
    rates = _axes(8, 4, xlabel="epoch", ylabel="learning rate", title=classifier.name)
    shown = [(rates, "learning_rate", "C0")]
    if classifier.trainer.sgd.update_rule.uses_momentum:
        momenta = rates.twinx()
        momenta.set(ylabel="momentum", ylim=(0, 1))
        shown.append((momenta, "momentum", "C1"))
    handles = []
    for axes, name, color in shown:
        epochs, values = classifier.trainer.curve(name)
        if not values:
            raise ValueError(
                f"got {classifier.name}, whose history has no {name}, which the first Arignote did not record; "
                "need a newer history; try classifier.fit to resume training"
            )
        # The value in an entry was used until its validation.
        label = name.replace("_", " ")
        handles += axes.step([0, *epochs], [values[0], *values], where="pre", color=color, label=label)
    _log_scale(rates)
    shown[-1][0].legend(handles=handles, loc="lower left")  # on the axes in front
    return _save(rates, filename)


def filters(classifier: Any, filename: str | Path | None = None, layer: str | None = None, n_filters: int = 64) -> Any:
    """Plot the weights of the units of a layer as images; red is positive, blue is negative.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.
    layer : str, optional
        Name of a layer, by default the first one with weights.
    n_filters : int, optional
        The number of units to plot, by default 64: those with the largest norm.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the weights of the layer are not images, such as those of a dense layer whose input is not an image.
    """
    classifier = _classifier(classifier)
    if layer is None:
        layer = next(each.name for each in classifier.layers_inf if {"W", "W0"} & set(each.params))
    chosen = classifier.get_layer(layer)
    weights = chosen.params["W" if "W" in chosen.params else "W0"].get_value()
    images = weights if weights.ndim == 4 else weights.T.reshape(-1, *_image_shape(chosen))
    largest = np.argsort(-(images**2).sum(axis=(1, 2, 3)), kind="stable")[:n_filters]
    axes = _axes(7, 7, title=f"{classifier.name}: {layer}")
    _show(axes, _tile(images[np.sort(largest)].mean(axis=1)), SIGNED)
    return _save(axes, filename)


def activations(classifier: Any, image: Any, filename: str | Path | None = None, n_maps: int = 12) -> Any:
    """Plot the activations of the image layers for one image: one row per layer, with its first feature maps.

    Parameters
    ----------
    classifier
        As for :func:`learning_curves`, with convolution layers.
    image : array
        One example, in the form that `predict` takes.
    filename : str or Path, optional
    n_maps : int, optional
        The number of feature maps to plot for each layer, by default 12.

    Returns
    -------
    array of matplotlib axes, one for each row

    Raises
    ------
    ValueError
        If the network has no image layers.
    """
    from arignote import engine

    classifier = _classifier(classifier)
    network = classifier.network
    shown = [layer for layer in network.layers_inf if len(layer.output_shape) == 3 and layer.short_name != "dropout"]
    if not shown:
        raise ValueError(
            f"got {classifier.name}, whose layers have no image outputs; need convolutions; try plotting.filters"
        )
    outputs = [
        layer.output if layer.output_layout() == "bc01" else layer.output.dimshuffle(3, 0, 1, 2) for layer in shown
    ]
    found = engine.function([network.x], outputs)(network.prepare_features(np.asarray(image)[np.newaxis]))
    rows = _grid(1.1 * n_maps, 1.5 * len(shown), len(shown))
    for axes, layer, maps in zip(rows, shown, found, strict=True):
        _show(axes, _tile(np.asarray(maps)[0, :n_maps], n_columns=n_maps), PLAIN if layer is shown[0] else SIGNED)
        axes.set_title(f"{layer.name} {layer.output_shape}", loc="left", fontsize=9)
    return _save(rows, filename)


def confusion_matrix(classifier: Any, X: Any, y: Any, filename: str | Path | None = None) -> Any:
    """Plot the confusion matrix: how often each class is predicted for each true class.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.
    X, y : arrays
        Examples and their class labels.

    Returns
    -------
    matplotlib axes
    """
    classifier = _classifier(classifier)
    n = classifier.network.output_layer.n_classes
    counts = np.zeros((n, n), int)
    predicted = classifier.network.output_layer.decide(classifier.predict_proba(X))
    np.add.at(counts, (classifier.network.prepare_labels(y), predicted), 1)
    accuracy = np.trace(counts) / counts.sum()
    side = max(5, 0.5 * n)
    axes = _axes(
        side, side, xlabel="predicted", ylabel="true", title=f"{classifier.name}: accuracy {100 * accuracy:.2f} %"
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)  # the square root makes small fractions visible
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
    if classifier.network.classes is not None:
        axes.set_xticklabels(classifier.classes_, rotation=90)
        axes.set_yticklabels(classifier.classes_)
    return _save(axes, filename)


def most_wrong(classifier: Any, X: Any, y: Any, filename: str | Path | None = None, n_examples: int = 25) -> Any:
    """Plot the images with the lowest predicted probability of their true class.

    Parameters
    ----------
    classifier, filename
        As for :func:`learning_curves`.
    X, y : arrays
        Images, which may be flattened, and their class labels.
    n_examples : int, optional
        The number of images, by default 25.

    Returns
    -------
    array of matplotlib axes, one for each image
    """
    classifier = _classifier(classifier)
    labels, classes = classifier.network.prepare_labels(y), classifier.classes_
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
        predicted = classes[probabilities[row].argmax()]
        share = f"{100 * probabilities[row, labels[row]]:.1g} %"
        axes.set_title(f"{classes[labels[row]]}, predicted {predicted}\n{share}, row {row}", fontsize=7)
    return _save(grid, filename)


def _classifier(source: Any) -> Any:
    """Return a classifier, loaded if `source` is a checkpoint; refuse to begin without matplotlib."""
    if util.find_spec("matplotlib") is None:
        raise ImportError("got no package matplotlib; need it for plots; try: pip install 'arignote[plot]'")
    if isinstance(source, str | Path):
        return checkpoint_read(source)
    return source


def _trained_classifier(source: Any) -> Any:
    """Return a classifier that has been trained."""
    classifier = _classifier(source)
    if classifier.trainer is None or not classifier.trainer.history:
        raise ValueError(f"got {classifier.name}, which has not been trained; need a history; try classifier.fit")
    return classifier


def _image_shape(layer: Any) -> tuple[int, int, int]:
    """Return the shape (channels, rows, columns) of the input of a layer; vectors are taken as square images."""
    if len(layer.input_shape) == 3:
        return layer.input_shape
    side = math.isqrt(layer.input_shape[0])
    if side**2 != layer.input_shape[0]:
        raise ValueError(
            f"got {layer} with inputs of shape {layer.input_shape}; need images; try an InputImageLayer first"
        )
    return (1, side, side)


def _tile(images: np.ndarray, n_columns: int | None = None) -> np.ndarray:
    """Return a grid of images (n, rows, columns), separated by lines of NaN."""
    scale = max(1, 24 // images.shape[1])  # otherwise the lines between small filters would look thick
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    n, rows, columns = images.shape
    across = n_columns or math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    tiles = np.full((down * across, rows + 1, columns + 1), np.nan)
    tiles[:n, :-1, :-1] = images
    tiles = tiles.reshape(down, across, rows + 1, columns + 1).transpose(0, 2, 1, 3)
    return tiles.reshape(down * (rows + 1), across * (columns + 1))[:-1, :-1]


def _show(axes: Any, image: np.ndarray, colors: str) -> None:
    """Plot an image without axis labels; signed color maps are centered at zero."""
    limit = np.nanmax(np.abs(image)) if colors == SIGNED else None
    axes.imshow(image, cmap=colors, vmin=None if limit is None else -limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()


def _grid(width: float, height: float, n_rows: int = 1, n_columns: int = 1) -> Any:
    """Return the axes of a new figure, row by row; the size is in inches."""
    figure = _new_figure()(figsize=(width, height), layout="constrained")
    return figure.subplots(n_rows, n_columns, squeeze=False).ravel()


def _new_figure() -> Any:
    """Return the figure factory: figures are shown below the cell in a notebook, else they need no display."""
    if netlog.in_notebook():
        from matplotlib import pyplot

        return pyplot.figure
    from matplotlib.figure import Figure

    return Figure


def _axes(width: float, height: float, **labels: Any) -> Any:
    """Return the axes of a new figure with one plot."""
    axes = _grid(width, height)[0]
    axes.set(**labels)
    return axes


def _log_scale(axes: Any) -> None:
    """Give the axes of a plot a logarithmic scale with ticks such as 0.5."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    # Losses often span less than one power of ten, so 2 and 5 are labeled, too.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter("")


def _save(axes: Any, filename: str | Path | None) -> Any:
    """Write the figure to a file if `filename` is given; return the axes."""
    if filename is not None:
        np.ravel(axes)[0].figure.savefig(filename, dpi=100)
    return axes
