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


HEADERS = {
    "more axes than numpy has": bytes([0, 0, 8, 80]) + b"\0\0\0\1" * 80 + b"\1",
    "more values than memory": bytes([0, 0, 0x0E, 4]) + b"\x7f\xff\xff\xff" * 4,
    "no values, of a shape that no array has": bytes([0, 0, 0x0E, 4]) + bytes(4) + b"\x7f\xff\xff\xff" * 3,
}


@pytest.mark.parametrize("kind", HEADERS)
def test_damaged_headers_are_refused(kind, tmp_path):
    (tmp_path / "x").write_bytes(HEADERS[kind])
    with pytest.raises(ValueError, match=r"x: got .+; need .+; try "):
        files.read_idx(tmp_path / "x")
