import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arignote.data import journal
from arignote.data.journal import JournaledFile

places = st.integers(0, 20000)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("write"), places, st.binary(min_size=1, max_size=6000)),
        st.tuples(st.just("read"), places, st.integers(0, 9000)),
        st.tuples(st.just("commit"), st.none(), st.none()),
        st.tuples(st.just("truncate"), places, st.none()),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(start=st.binary(max_size=9000), acts=acts)
def test_behaves_like_a_file_and_keeps_what_is_committed(start, acts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(start)
        journaled, model, committed = JournaledFile(path), io.BytesIO(start), start
        for act, place, what in acts:
            if act == "commit":
                journaled.commit()
                committed = model.getvalue()
                continue
            if act == "truncate":
                journaled.truncate(place)
                # What is committed stays, up to the end of its last page. What was written behind it may come back.
                n_committed = -(-len(committed) // journal.PAGE) * journal.PAGE
                assert max(place, len(committed)) <= journaled.seek(0, os.SEEK_END) <= max(place, n_committed)
                continue
            assert journaled.seek(place) == model.seek(place)
            if act == "write":
                journaled.write(what)
                model.write(what)
            else:
                found = journaled.read(what)
                n_left = max(0, journaled.seek(0, os.SEEK_END) - place)
                assert found.rstrip(b"\0") == model.read(min(what, n_left)).rstrip(b"\0")
            assert path.read_bytes()[: len(committed)] == committed  # nothing real changes before the commit
        journaled.commit()
        journaled.close()
        assert path.read_bytes()[: len(model.getvalue())] == model.getvalue()
        assert not path.read_bytes()[len(model.getvalue()) :].strip(b"\0")
        assert os.listdir(folder) == ["file"]


def test_what_is_committed_stays_when_the_file_is_truncated(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 5000)
    journaled = JournaledFile(path)
    journaled.truncate(100)
    assert journaled.seek(0, os.SEEK_END) == 5000
    journaled.commit()
    journaled.close()
    assert path.read_bytes() == b"a" * 5000


@pytest.mark.xfail(strict=True, reason="commit forgets an end that nothing was written up to")
def test_a_file_that_is_made_longer_is_so_after_the_commit(tmp_path):
    """HDF5 makes its file longer for what it has yet to write, and refuses to open a file that is shorter."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * 5000)
    journaled = JournaledFile(path)
    journaled.truncate(20000)
    journaled.commit()
    journaled.close()
    assert path.read_bytes() == b"a" * 5000 + bytes(15000)


def test_all_that_a_journal_refers_to_is_on_the_disk_before_it(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 10000)
    order = []
    fsync, write = os.fsync, journal.atomic.write

    def noted_fsync(number):
        if os.path.samestat(os.fstat(number), path.stat()):
            order.append("the file is on the disk")
        fsync(number)

    def noted_write(name, fill):
        write(name, fill)
        order.append(f"{Path(name).name} is written")

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(journal.atomic, "write", noted_write)
    journaled = JournaledFile(path)
    journaled.write(b"b" * 500)
    journaled.seek(20000)
    journaled.write(b"c" * 500)
    journaled.commit()
    journaled.close()
    assert order == ["the file is on the disk", "file.journal is written", "the file is on the disk"]


def test_a_whole_journal_is_finished(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 10000)
    journaled = JournaledFile(path)
    journaled.seek(4000)
    journaled.write(b"b" * 500)
    monkeypatch.setattr(journal, "_apply", lambda path, pages: 1 / 0)  # cut off between the journal and the file
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
