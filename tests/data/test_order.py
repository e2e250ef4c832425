"""Random orders of what can only be read on."""

import numpy as np

from arignote.data.order import Blocks
from arignote.data.readers import Data, Reader


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
