"""Random orders of what can only be read on."""

from contextlib import contextmanager

import numpy as np
import pytest

from arignote.data.order import Blocks
from arignote.data.readers import ArrayReader, Data, Reader


class OnlyOn(Reader):
    """A reader that cannot pick rows, in blocks of ten."""

    n_rows, shape, block_rows = 1000, (), 10

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield np.arange(first, last)


def test_a_minibatch_holds_rows_of_many_blocks():
    for X, _ in Data(OnlyOn(), batch_size=50, shuffle=True, shuffle_rows=200).iter_epoch(seed=1):
        assert len(set(X // 10)) >= 12  # of the twenty that are mixed; by chance, 18 or 19


def test_each_group_is_mixed_in_an_order_of_its_own():
    order = Blocks(0, 1000, block_rows=10, group_rows=200, seed=1, epoch=0)
    mixings = [order.mixing(group).tolist() for group in range(order.n_groups)]
    assert order.n_groups == 5 and all(sorted(mixing) == list(range(200)) for mixing in mixings)
    assert len(set(map(tuple, mixings))) == 5


def test_a_reader_that_gives_too_few_rows_of_a_block_is_found_out():
    class Short(OnlyOn):
        @contextmanager
        def opened(self):
            yield lambda first, last: np.arange(first, last - 1)

    for shuffle in (True, False):
        with pytest.raises(ValueError, match=r"Short: got 9 rows from row \d+ on; need 10"):
            next(Data(Short(), batch_size=10, shuffle=shuffle, shuffle_rows=200).iter_epoch())


def test_a_method_take_that_gives_too_few_rows_is_found_out():
    class Short(ArrayReader):
        def take(self, rows):
            return super().take(rows[:-1])

    with pytest.raises(ValueError, match="got 9 rows; need 10, as its n_rows=100 says"):
        next(Data(Short(np.arange(100)), batch_size=10, shuffle=True).iter_epoch())


def test_blocks_of_several_dtypes_keep_their_values():
    class Mixed(OnlyOn):
        def iter_epoch(self, *arguments, **named):
            for rows in super().iter_epoch(*arguments, **named):
                yield rows if rows[0] < 500 else rows + 0.5

    found = np.concatenate(
        [X for X, _ in Data(Mixed(), batch_size=50, shuffle=True, shuffle_rows=200).iter_epoch(seed=1)]
    )
    assert sorted(found.tolist()) == [float(i) if i < 500 else i + 0.5 for i in range(1000)]


@pytest.mark.parametrize("kind", [ArrayReader, OnlyOn])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_reader_that_overrides_iter_epoch_alone_is_read_by_it(kind, shuffle):
    class Doubled(kind):
        def iter_epoch(self, *arguments, **named):
            for rows in super().iter_epoch(*arguments, **named):
                yield 2 * rows

    reader = Doubled(np.arange(1000)) if kind is ArrayReader else Doubled()
    if kind is ArrayReader and shuffle:
        pytest.skip("its rows are picked by take")
    found = np.concatenate([X for X, _ in Data(reader, batch_size=50, shuffle=shuffle).iter_epoch()])
    assert sorted(found.tolist()) == list(range(0, 2000, 2))
