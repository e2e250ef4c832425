import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arignote.data import journal
from arignote.data.journal import JournaledFile

positions = st.integers(0, 20000)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("write"), positions, st.binary(min_size=1, max_size=6000)),
        st.tuples(st.just("read"), positions, st.integers(0, 9000)),
        st.tuples(st.just("commit"), st.none(), st.none()),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(start=st.binary(max_size=9000), actions=actions)
def test_behaves_like_a_file_and_preserves_committed_data(start, actions):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(start)
        journaled, model, committed = JournaledFile(path), io.BytesIO(start), start
        for action, position, argument in actions:
            if action == "commit":
                journaled.commit()
                committed = model.getvalue()
                continue
            assert journaled.seek(position) == model.seek(position)
            if action == "write":
                journaled.write(argument)
                model.write(argument)
            else:
                found = journaled.read(argument)
                assert found.rstrip(b"\0") == model.read(argument).rstrip(b"\0")
            assert path.read_bytes()[: len(committed)] == committed  # committed data do not change before the commit
        journaled.commit()
        journaled.close()
        assert path.read_bytes()[: len(model.getvalue())] == model.getvalue()
        assert not path.read_bytes()[len(model.getvalue()) :].strip(b"\0")
        assert os.listdir(folder) == ["file"]


def test_a_complete_journal_is_applied(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 10000)
    journaled = JournaledFile(path)
    journaled.seek(4000)
    journaled.write(b"b" * 500)
    monkeypatch.setattr(journal, "_apply", lambda path, pages: 1 / 0)  # between writing the journal and the file
    with pytest.raises(ZeroDivisionError):
        journaled.commit()
    monkeypatch.undo()
    assert path.read_bytes() == b"a" * 10000
    assert journal.recover(path)
    assert path.read_bytes()[:10000] == b"a" * 4000 + b"b" * 500 + b"a" * 5500
    assert not journal.recover(path)


def test_a_damaged_journal_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    journal.journal_path(tmp_path / "file").write_bytes(b"1234567890")
    with pytest.raises(ValueError, match="got a damaged journal .*file.journal; need an intact one"):
        JournaledFile(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"content"
