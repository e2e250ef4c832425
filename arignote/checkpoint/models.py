"""Files of parameters alone, in the first Arignote's form; see :mod:`arignote.checkpoint.stores`."""

import gzip
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arignote.checkpoint import format as checkpoint_format
from arignote.checkpoint import names, stores
from arignote.data import storage


def save_model(model: Any, filename: str | Path, extra_metadata: Mapping[str, Any] | None = None) -> None:
    """Write the parameters of a network without its training, as the first Arignote did: a store of version 2.0.

    `checkpoint_write` keeps the training, too, and layers that the first Arignote did not have; `save_params` of a
    classifier writes a file for other programs.

    Parameters
    ----------
    model : NNClassifier
    filename : str or Path
        Packed by gzip, whatever the extension.
    extra_metadata : dict, optional
        Plain data to store with it.

    Raises
    ------
    ValueError
        If the network is not built, or has layers with parameters that the first Arignote did not have.

    Examples
    --------
    >>> import tempfile
    >>> from arignote.nnets.nets import NNClassifier
    >>> name = tempfile.mkdtemp() + "/mine.pkl.gz"
    >>> save_model(NNClassifier([["ClassificationOutputLayer", {"n_classes": 3}]], n_in=4), name, {"note": "untrained"})
    >>> network, metadata = restore_model(name)
    >>> network.network.input_layer.input_shape, metadata["note"]
    ((4,), 'untrained')
    """
    described = {"utc_time": time.asctime(time.gmtime())} | checkpoint_format.plain_metadata(extra_metadata)
    content = stores.store_of(model.network and model.__getstate__(), described)
    if not storage.is_remote(filename):
        storage.tolerant_makedirs(Path(filename).parent)
    storage.write(filename, gzip.compress(pickle.dumps(content, protocol=2), checkpoint_format.COMPRESSION))


def restore_model(
    filename: str | Path, model: Any = None, input: Any = None, skip_hl: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Read a network from a store of parameters, of version 1.0 or 2.0, or its parameters into a network.

    Parameters
    ----------
    filename : str or Path
        A store, or a checkpoint.
    model : NNClassifier, optional
        Set the parameters of this one, layer by layer in their order, whatever their names. By default, the network is
        built as the store says.
    input : optional
        Ignored: a network needs no symbolic input.
    skip_hl : bool, optional
        Leave the parameters of layers of `model` whose names end in "hl" as they are.

    Returns
    -------
    model : NNClassifier
    metadata : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, or does not say which layers the network has, and no `model` is given.
    TypeError
        If the parameters do not fit into `model`.
    """
    if model is None:
        return checkpoint_format.checkpoint_read(filename, get_metadata=True)
    path = names.find(filename)
    with checkpoint_format.opened(path) as (header, behind):
        arrays = stores.arrays_behind(header, behind.load) if stores.knows(header) else None
    if arrays is None:
        other, found = checkpoint_format.checkpoint_read(filename, get_metadata=True)
    try:
        if arrays is None:
            values = other.network.get_values()
        else:
            values, found = stores.values_for(model.layer_defs, header, arrays), stores.metadata(header)
        model.set_trainable_params({name: values[name] for name in values if not (skip_hl and _is_of_hl(name))})
    except Exception as error:  # what was stored does not fit the network, in whatever way
        raise TypeError(f"{path}: {error}; try a network of the same layers") from error
    return model, found


def _is_of_hl(param: str) -> bool:
    return param.rpartition(".")[0].endswith("hl")
