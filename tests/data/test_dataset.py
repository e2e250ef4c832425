import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arignote.data import readers
from arignote.data.readers import ArrayReader, Data, DataWithHoldoutPartitions, Reader
from tests.helpers import assert_same


class Plain(Reader):
    """A reader that cannot pick rows."""

    def __init__(self, array):
        self.array, self.n_rows, self.shape = array, len(array), array.shape[1:]

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.array[first:last]


sizes = st.integers(1, 40)


@given(n=sizes, batch=sizes, start=st.integers(0, 45), stop=st.none() | st.integers(0, 45), on_batch=st.booleans(),
       partial=st.booleans())  # fmt: skip
def test_spans_are_the_batches_that_were_promised(n, batch, start, stop, on_batch, partial):
    found = [rows.tolist() for rows in ArrayReader(np.arange(n)).iter_epoch(batch, start, stop, on_batch, partial)]
    while on_batch and start % batch:
        start += 1
    rows = list(range(n))[start : n if stop is None else stop]
    expected = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    if not partial:
        expected = [rows for rows in expected if len(rows) == batch]
    assert found == expected


@given(n=sizes, batch=sizes, shuffle=st.booleans(), partial=st.booleans(), data=st.data())
def test_every_row_once_and_the_same_from_any_batch_on(n, batch, shuffle, partial, data):
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    source = Data(np.arange(n), np.arange(n) * 10, batch, start=start, stop=stop, shuffle=shuffle, seed=4,
                  allow_partial_batch=partial)  # fmt: skip
    whole = [(X.tolist(), y.tolist()) for X, y in source.iter_epoch(epoch=3)]
    assert len(whole) == source.n_batches()
    assert all([10 * row for row in X] == y for X, y in whole)
    seen = [row for X, _ in whole for row in X]
    assert len(set(seen)) == len(seen)
    if partial:
        assert sorted(seen) == list(range(start, stop))
    if not shuffle:
        assert seen == list(range(start, start + len(seen)))
    for first in range(len(whole) + 1):
        rest = [(X.tolist(), y.tolist()) for X, y in source.iter_epoch(epoch=3, first_batch=first)]
        assert rest == whole[first:]


@given(n=st.integers(1, 200), batch=st.integers(1, 50), valid=st.floats(0, 0.99), test=st.floats(0, 0.99))
def test_each_row_is_in_exactly_one_partition(n, batch, valid, test):
    try:
        parts = DataWithHoldoutPartitions(np.arange(n), np.arange(n), batch, valid, test)
    except ValueError as error:
        assert "need at least one batch left to train on" in str(error)
        return
    present = [part for part in (parts.train, parts.valid, parts.test) if part is not None]
    rows = [row for part in present for X, _ in part.iter_epoch() for row in X.tolist()]
    assert rows == list(range(n))
    assert present and all(part.start % batch == 0 for part in present)
    assert (parts.valid is not None) == (valid > 0) and (parts.test is not None) == (test > 0)


def test_shuffled_orders_depend_on_seed_and_epoch_alone():
    source = Data(np.arange(50), np.arange(50), 50, shuffle=True)
    order = lambda **where: next(source.iter_epoch(**where))[0].tolist()  # noqa: E731
    assert order(epoch=1, seed=2) == order(epoch=1, seed=2)
    orders = {tuple(order(epoch=epoch, seed=seed)) for epoch in (1, 2) for seed in (2, 3)}
    assert len(orders) == 4
    fixed = Data(np.arange(50), None, 50, shuffle=True, seed=9)
    assert next(fixed.iter_epoch(seed=1))[0].tolist() == next(fixed.iter_epoch(seed=2))[0].tolist()


@given(n=sizes, batch=sizes, mixed=st.integers(1, 50), partial=st.booleans(), data=st.data())
def test_rows_that_cannot_be_picked_are_shuffled_by_blocks(n, batch, mixed, partial, data):
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    reader = Plain(np.arange(n))
    reader.block_rows = data.draw(st.integers(1, 8))
    source = Data(reader, np.arange(n) * 10, batch, None, None, start, stop, partial, shuffle=True, shuffle_rows=mixed)
    whole = [(X.tolist(), y.tolist()) for X, y in source.iter_epoch(epoch=3, seed=5)]
    assert len(whole) == source.n_batches()
    assert all([10 * row for row in X] == y for X, y in whole)
    seen = [row for X, _ in whole for row in X]
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(start, stop))
    if partial:
        assert len(seen) == stop - start
    assert not seen or source.rows(0, len(seen), epoch=3, seed=5).tolist() == seen
    for first in range(len(whole) + 1):
        rest = [(X.tolist(), y.tolist()) for X, y in source.iter_epoch(epoch=3, first_batch=first, seed=5)]
        assert rest == whole[first:]


def test_shuffling_by_blocks_mixes_well():
    source = Data(Plain(np.arange(10000)), None, 100, shuffle=True, shuffle_rows=2000)
    source.features.block_rows = 25
    epochs = [np.concatenate([X for X, _ in source.iter_epoch_single(epoch, seed=1)]) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10000)) for epoch in epochs)
    for one, other in ((epochs[0], np.arange(10000)), (epochs[0], epochs[1]), (epochs[1], epochs[2])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.2
        assert (one == other).sum() < 20
    first = [X.tolist() for X, _ in source.iter_epoch_single(0, seed=1)]
    assert first != [X.tolist() for X, _ in source.iter_epoch_single(0, seed=2)]
    assert first == [X.tolist() for X, _ in source.iter_epoch_single(0, seed=1)]


@given(n=st.integers(12, 300), classes=st.integers(1, 4), valid=st.floats(0, 0.5), test=st.floats(0, 0.4))
def test_stratified_partitions_keep_the_classes(n, classes, valid, test):
    y = np.random.default_rng(n).integers(classes, size=n)
    try:
        parts = DataWithHoldoutPartitions(np.arange(n), y, 7, valid, test, stratify=True, seed=3)
    except ValueError as error:
        assert "try other fractions" in str(error)
        return
    present = [part for part in (parts.train, parts.valid, parts.test) if part is not None]
    rows = [[row for X, _ in part.iter_epoch() for row in X.tolist()] for part in present]
    assert sorted(row for part in rows for row in part) == list(range(n))
    assert all(part == sorted(part) for part in rows)
    for part in present:
        assert all((y[X] == labels).all() for X, labels in part.iter_epoch())
    for part, fraction in ((parts.valid, valid), (parts.test, test)):
        if any(f and not any(round(f * (y == k).sum()) for k in range(classes)) for f in (valid, test)):
            break  # classes that are too small to be divided
        for k in range(classes):
            held_out = 0 if part is None else sum((labels == k).sum() for _, labels in part.iter_epoch())
            assert abs(held_out - fraction * (y == k).sum()) <= 0.5 + 1e-9


def test_stratified_partitions_are_chosen_by_seed_alone():
    def held_out(seed):
        parts = DataWithHoldoutPartitions(np.arange(50), np.arange(50) % 2, 50, 0.2, 0, stratify=True, seed=seed)
        return next(parts.valid.iter_epoch())[0].tolist()

    assert held_out(1) == held_out(1) != held_out(2)


def test_stratified_partitions_of_a_reader_of_sequences_are_those_of_an_array():
    y = np.arange(60) // 20
    for stratified in (y, np.column_stack([y, 1 - y]), np.arange(60)):  # classes, several labels, too many classes
        given = {"valid_frac": 0.2, "test_frac": 0.1, "stratify": True, "seed": 4}
        found, expected = (
            DataWithHoldoutPartitions(kind(np.arange(60)), stratified, 7, **given) for kind in (Plain, np.asarray)
        )
        for part in ("train", "valid", "test"):
            one, other = (list(getattr(parts, part).iter_epoch()) for parts in (found, expected))
            assert_same(one, other)
            rows = [X.tolist() for X, _ in one]
            assert sum(map(len, rows)) == {"train": 42, "valid": 12, "test": 6}[part]
            assert rows[0] != list(range(rows[0][0], rows[0][0] + 7))


def test_nothing_is_read_of_a_partition_that_is_not_asked_for():
    read = []

    class Watched(Plain):
        def iter_epoch(self, *arguments, **named):
            for rows in super().iter_epoch(*arguments, **named):
                read.extend(rows.tolist())
                yield rows

    parts = DataWithHoldoutPartitions(Watched(np.arange(50)), np.arange(50), 5, 0.2, 0.2)
    assert read == []
    list(parts.valid.iter_epoch())
    assert read == list(range(30, 40))


def test_alter_functions_see_each_batch():
    source = Data(np.arange(6.0).reshape(6, 1), np.arange(6), 4, lambda X: np.hstack([X, X]), lambda y: -y)
    batches = list(source.iter_epoch())
    assert source.shape == (2,)
    assert batches[1][0].tolist() == [[4, 4], [5, 5]]
    assert batches[1][1].tolist() == [-4, -5]


def test_memmap_stays_on_the_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12.0).reshape(6, 2))
    reader = readers.as_reader(tmp_path / "x.npy")
    assert isinstance(reader.array, np.memmap)
    assert reader.n_rows == 6 and reader.shape == (2,)


def test_a_reader_that_gives_too_few_labels_is_found_out():
    class Short(Plain):
        def iter_epoch(self, *arguments, **named):
            for rows in super().iter_epoch(*arguments, **named):
                yield rows[:-1]

    with pytest.raises(ValueError, match="Short: got 3 rows from row 0 on; need 4, as its n_rows=8 says"):
        list(Data(np.arange(8), Short(np.arange(8)), 4).iter_epoch())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Data(np.zeros(5), np.zeros(4)), "got 5 rows of features and 4 of labels"),
        (lambda: Data(np.zeros(5), start=5), "got rows 5 to 5 of 5; need at least one row"),
        (lambda: Data(np.zeros(5), stop=6), "got rows 0 to 6 of 5"),
        (lambda: Data(np.zeros((0, 3))), "need at least one row"),
        (lambda: Data(5), "got 5; need an array of rows"),
        (lambda: Data("nothing.npy"), "need a file that exists"),
        (lambda: Data(np.zeros(3)).n_batches(), "got no batch_size"),
        (lambda: DataWithHoldoutPartitions(np.zeros(9), np.zeros(9), 3, 0.9, 0), "need at least one batch left"),
        (lambda: DataWithHoldoutPartitions(np.zeros(9), np.zeros(9), 3, -0.1, 0), "got valid_frac=-0.1"),
    ],
)
def test_refuses_wrong_input(make, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make()


def test_the_misprinted_name_still_works():
    assert readers.DataWithHoldoutParitions is DataWithHoldoutPartitions


def test_a_subclass_with_other_arguments_can_be_replaced():
    class Named(Data):
        def __init__(self, name):
            super().__init__(np.arange(10), np.arange(10), 4)
            self.name = name

    found = Named("mine").replace(start=3, allow_partial_batch=False)
    assert (type(found), found.name, found.n_rows, found.n_batches()) == (Named, "mine", 7, 1)


def test_rows_picked_of_arrays_in_memory_cost_next_to_nothing():
    X, y = np.zeros((20, 3)), np.arange(20) % 2
    parts = DataWithHoldoutPartitions(X, y, 5, 0.2, 0, stratify=True)
    assert parts.train.is_plain and parts.valid.is_plain
    assert not DataWithHoldoutPartitions(Plain(X), y, 5, 0.2, 0, stratify=True).train.is_plain


@pytest.mark.parametrize("stratify", [False, True])
def test_fractions_that_leave_nothing_to_train_on_are_refused(stratify):
    with pytest.raises(ValueError, match="got valid_frac=0.9 and test_frac=0.3 of .*to train on"):
        DataWithHoldoutPartitions(np.arange(20), np.arange(20) % 2, 2, 0.9, 0.3, stratify=stratify)


@pytest.mark.parametrize("use", [lambda data: data.shape, lambda data: list(data.iter_epoch(batch_size=2))])
def test_a_function_that_works_in_place_leaves_the_users_array_as_it_is(use):
    def halve(X):
        X /= 2
        return X

    X = np.ones((4, 3))
    use(Data(X, alter_features=halve))
    assert (X == 1).all()
