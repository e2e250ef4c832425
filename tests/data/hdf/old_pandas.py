"""Write Panel and Panel4D files like pandas 0.10 to 0.24, with PyTables only."""

import itertools
import pickle

import numpy as np
import tables

AXES = {3: ["items", "major_axis", "minor_axis"], 4: ["labels", "items", "major_axis", "minor_axis"]}


def put(node, **attributes):
    """Set attributes like PyTables on Python 2: strings and integers directly, others as pickles of protocol 0."""
    for key, value in attributes.items():
        plain = isinstance(value, str | int)
        node._v_attrs[key] = value if plain else np.bytes_(pickle.dumps(value, protocol=0))


def write_panel(
    path, name, values, labels, item_axis, first=None, blocks=None, order=None, kind="values_block_{}_kind", **filters
):
    """Write a panel table.

    Parameters
    ----------
    values : array with 3 (Panel) or 4 (Panel4D) axes
    labels : list of lists, the labels of each axis
    item_axis : the axis that is stored along the columns
    first : the axis of the examples, by default the first that is not item_axis
    blocks : pairs of item positions and a dtype; by default one block
    order : the order in which to write the records, by default their natural order
    """
    n_axes = values.ndim
    index = [axis for axis in range(n_axes) if axis != item_axis]
    if first is not None:
        index = [first] + [axis for axis in index if axis != first]
    blocks = blocks or [(list(range(values.shape[item_axis])), values.dtype)]
    columns = {}
    for position, axis in enumerate(index):
        axis_labels = np.array(labels[axis])
        atom = axis_labels.dtype if axis_labels.dtype.kind != "U" else axis_labels.astype("S").dtype
        columns[AXES[n_axes][axis]] = tables.Col.from_dtype(np.dtype(atom), pos=position)
    for k, (items, dtype) in enumerate(blocks):
        columns[f"values_block_{k}"] = tables.Col.from_dtype(np.dtype((dtype, (len(items),))), pos=len(index) + k)
    by_record = np.moveaxis(values, [*index, item_axis], range(n_axes))
    records = list(itertools.product(*(range(values.shape[axis]) for axis in index)))
    records = [records[i] for i in (order if order is not None else range(len(records)))]
    with tables.open_file(path, "a") as file:
        group = file.create_group("/", name)
        table = file.create_table(group, "table", columns, filters=tables.Filters(**filters))
        rows = np.empty(len(records), table.dtype)
        for position, axis in enumerate(index):
            rows[AXES[n_axes][axis]] = [labels[axis][record[position]] for record in records]
        for k, (items, _) in enumerate(blocks):
            rows[f"values_block_{k}"] = [by_record[record][items] for record in records]
            put(table, **{kind.format(k): [labels[item_axis][i] for i in items]})
        table.append(rows)
        put(
            group,
            pandas_type="wide_table" if n_axes == 3 else "ndim_table",
            pandas_version="0.10.1",
            table_type="appendable_panel" if n_axes == 3 else "appendable_ndim",
            index_cols=[(axis, AXES[n_axes][axis]) for axis in index],
            non_index_axes=[(item_axis, list(labels[item_axis]))],
            values_cols=[f"values_block_{k}" for k in range(len(blocks))],
            data_columns=[],
            nan_rep="nan",
        )


def write_fixed_panel(path, name, blocks, axes):
    """Write a Panel in fixed format: blocks of (positions of items, values of shape (items, major, minor))."""
    with tables.open_file(path, "a") as file:
        group = file.create_group("/", name)
        put(group, pandas_type="wide", pandas_version="0.10.1", ndim=3, nblocks=len(blocks))
        for i, labels in enumerate(axes):
            file.create_array(group, f"axis{i}", np.array(labels))
        for k, (items, values) in enumerate(blocks):
            file.create_array(group, f"block{k}_items", np.array([axes[0][i] for i in items]))
            node = file.create_array(group, f"block{k}_values", values.T)
            node._v_attrs.transposed = True
