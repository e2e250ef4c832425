"""What a name of a checkpoint means: the name of a run, of a file, of a folder alone."""

import re
from pathlib import Path

import pytest

from arignote.checkpoint import names
from arignote.checkpoint.names import checkpoint_path, find, in_folder, newest, parse_checkpoint, stem, to_resume


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", "x"),
        ("x.pkl", "x"),
        ("x.pkl.gz", "x"),
        ("x.pickle.gzip", "x"),
        ("X.PKL.GZ", "X"),
        ("a.pkl/x.gz", "a.pkl/x"),
        ("x_last.pkl.gz", "x"),
        ("x_best_model.pkl.gz", "x"),
        ("x_last", "x"),
        ("x_best_model", "x"),
        ("s3://bucket/a/x_last.pkl.gz", "s3://bucket/a/x"),
        # These are names of runs: rate0.1 is not rate0.05, and the files of x_previous are not those of x.
        ("rate0.1", "rate0.1"),
        ("x.v2", "x.v2"),
        ("x_previous.pkl.gz", "x_previous"),
        ("x_epoch3.pkl.gz", "x_epoch3"),
        ("a/_last", "a/_last"),
        (".pkl", ".pkl"),
    ],
)
def test_stems(name, expected):
    assert stem(name) == stem(Path(name) if "://" not in name else name) == stem(expected) == expected
    assert str(checkpoint_path(name, "last")) == f"{expected}_last.pkl.gz"


def test_files_of_names():
    assert str(checkpoint_path("a/b")) == "a/b_last.pkl.gz"
    assert str(checkpoint_path("a/b", "epoch3")) == "a/b_epoch3.pkl.gz"
    assert str(checkpoint_path("a/b_best_model.pkl.gz")) == "a/b_best_model.pkl.gz"
    assert str(checkpoint_path("a/b.pickle")) == "a/b.pickle"
    assert str(checkpoint_path("a/b_best_model")) == "a/b_best_model.pkl.gz"
    assert str(checkpoint_path("a/b_last")) == "a/b_last.pkl.gz"


def test_no_two_runs_have_a_file_in_common():
    kinds = ("last", "previous", "best_model", "best_model_previous", "epoch1")
    stems = {stem(f"m{end}") for end in ("", *(f"_{kind}" for kind in kinds), ".pkl.gz", "_previous_previous")}
    files = [str(checkpoint_path(each, kind)) for each in sorted(stems) for kind in kinds]
    assert len(stems) > 3 and len(files) == len(set(files))


def test_parse_checkpoint():
    assert parse_checkpoint(None) == (None, None)
    assert parse_checkpoint("x.pkl.gz") == ("", "x")
    assert parse_checkpoint("a/b/x.pkl.gz") == parse_checkpoint(Path("a/b/x")) == ("a/b", "x")
    assert parse_checkpoint("/x") == ("/", "x")
    for folder in ("a/b/", "a/b/."):
        found, base = parse_checkpoint(folder)
        assert found.startswith("a/b") and re.fullmatch(r"20\d{6}_\d{6}_checkpoint", base)


def test_a_folder_alone_resumes_its_newest_run(tmp_path):
    folder = f"{tmp_path}/"
    assert newest(folder) is newest(tmp_path / "none") is None
    begun = in_folder(folder, resume=True)
    assert begun.startswith(folder) and names.DATED.fullmatch(begun.removeprefix(folder))
    for name in ("20141231_checkpoint", "20200202_101010_checkpoint", "20200202_090000_checkpoint", "zebra"):
        (tmp_path / f"{name}_last.pkl.gz").touch()
    (tmp_path / "20300101_000000_checkpoint_best_model.pkl.gz").touch()
    assert in_folder(folder, resume=True) == f"{folder}20200202_101010_checkpoint"
    assert in_folder(folder, resume=False) >= begun
    assert find(folder) == tmp_path / "20200202_101010_checkpoint_last.pkl.gz"
    assert in_folder(tmp_path / "zebra", resume=True) == tmp_path / "zebra"


def test_runs_of_one_second_have_names_of_their_own(tmp_path):
    chosen = [in_folder(f"{tmp_path}/", resume=False)]
    checkpoint_path(chosen[0]).touch()
    chosen.append(in_folder(f"{tmp_path}/", resume=False))
    assert chosen[0] < chosen[1]


def test_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("20200202_101010_checkpoint_last.pkl.gz").touch()
    for folder in (".", Path(), "./"):
        assert Path(in_folder(folder, resume=True)) == Path("20200202_101010_checkpoint")


def test_a_folder_at_an_address():
    fsspec = pytest.importorskip("fsspec")
    assert newest("memory://names/") is None
    with fsspec.open("memory://names/20200202_101010_checkpoint_last.pkl.gz", "wb") as file:
        file.write(b"1")
    assert in_folder("memory://names/", resume=True) == "memory://names/20200202_101010_checkpoint"


def test_a_folder_without_runs_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="need a file that exists"):
        find(f"{tmp_path}/")


def test_which_file_is_read(tmp_path):
    def found(name, *kinds):
        return find(f"{tmp_path}/{name}", *kinds).name

    assert found("x") == found("x_last") == found("x_last.pkl.gz") == "x_last.pkl.gz"
    assert found("x.pkl.gz") == "x.pkl.gz"
    (tmp_path / "x").touch()
    assert found("x") == "x"
    (tmp_path / "x_last.pkl.gz").touch()
    assert found("x") == found("x.pkl.gz") == found("x", "best_model", "last") == "x_last.pkl.gz"
    assert found("x_best_model.pkl.gz") == found("x_best_model") == "x_best_model.pkl.gz"  # not another one
    (tmp_path / "x_best_model.pkl.gz").touch()
    assert found("x", "best_model", "last") == found("x.pkl.gz", "best_model", "last") == "x_best_model.pkl.gz"
    assert found("x_last", "best_model", "last") == found("x_last.pkl.gz", "best_model", "last") == "x_last.pkl.gz"
    (tmp_path / "x.pkl.gz").touch()
    assert found("x.pkl.gz", "best_model", "last") == "x.pkl.gz"


def test_which_file_is_resumed(tmp_path):
    name = f"{tmp_path}/x.pkl.gz"
    assert to_resume(name) is None
    Path(name).touch()
    assert to_resume(name) == Path(name) and to_resume(tmp_path / "x") is None
    (tmp_path / "x_last.pkl.gz").touch()
    assert to_resume(name) == to_resume(tmp_path / "x") == tmp_path / "x_last.pkl.gz"
