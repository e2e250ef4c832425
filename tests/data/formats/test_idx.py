import gzip

import numpy as np
import pytest

from arignote.data import files
from arignote.data.formats import idx


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, dtype, packed):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    code = {value: key for key, value in idx.IDX_TYPES.items()}[dtype]
    content = bytes([0, 0, code, 3]) + np.array([2, 3, 4], ">i4").tobytes() + array.tobytes()
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    found = files.read_idx(tmp_path / "x")
    assert np.array_equal(found, array) and found.dtype.isnative
    for cut in (0, 3, 10, len(content) - 1):
        (tmp_path / "x").write_bytes(content[:cut])
        with pytest.raises(ValueError, match="got a file that is not in IDX form|bytes of data for shape"):
            files.read_idx(tmp_path / "x")
