import gzip
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from arignote.data import files, readers
from arignote.data.formats import read_labelled_table, tables
from tests.helpers import ROOT


def test_reads_tables(tmp_path):
    (tmp_path / "plain.csv").write_text("1,2,0\n3,4,1\n")
    X, y = files.read_csv(tmp_path / "plain.csv")
    assert X.tolist() == [[1, 2], [3, 4]] and X.dtype == np.float32 and y.tolist() == [0, 1]
    (tmp_path / "header.csv").write_text('"label",a,b\n7,1,2\n8,3,4\n')
    assert files.read_csv(tmp_path / "header.csv")[1].tolist() == [7, 8]
    assert files.read_csv(tmp_path / "header.csv", label="b")[1].tolist() == [2, 4]
    assert files.read_csv(tmp_path / "header.csv", label=1)[1].tolist() == [1, 3]
    with gzip.open(tmp_path / "packed.csv.gz", "wt") as file:
        file.write("1,0\n2,1\n")
    assert files.read_csv(tmp_path / "packed.csv.gz")[0].tolist() == [[1], [2]]


@pytest.mark.parametrize("header", ["", "label,a,b\n", "0,label,1\n"], ids=["none", "names", "numbers and a name"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_headers_of_tables(header, mark, tmp_path):
    (tmp_path / "a.csv").write_bytes(mark + header.encode() + b"7,8,0\n5,6,1\n")
    X, y = files.read_csv(tmp_path / "a.csv")
    column = header.strip().split(",").index("label") if header else 2
    table = np.array([[7, 8, 0], [5, 6, 1]])
    assert y.tolist() == table[:, column].tolist()
    assert X.tolist() == np.delete(table, column, axis=1).tolist()


def test_wrong_tables_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\nthree,4\n")
    with pytest.raises(ValueError, match=r"a.csv: got 'three' in row 1, column 'x'; need a number"):
        files.read_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="got label='z'; need one of the columns"):
        files.read_csv(tmp_path / "b.csv", label="z")


@pytest.mark.parametrize("header", [True, False])
def test_a_table_of_features_alone_can_have_a_header(header, tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    np.savetxt(tmp_path / "a.csv", values, delimiter=",", header="a,b,c" if header else "", comments="")
    np.testing.assert_array_equal(files.read_array(tmp_path / "a.csv"), values)
    np.testing.assert_array_equal(readers.as_reader(tmp_path / "a.csv").array, values)
    np.savetxt(tmp_path / "y.csv", values[:, :1], header="y" if header else "", comments="")
    np.testing.assert_array_equal(files.read_array(tmp_path / "y.csv"), values[:, 0])


HEADERS = {
    "names": ("a,b,label\n1,2,x\n3,4,y\n", ["a", "b"]),
    "numbers as names": ("0,1,label\n1,2,x\n3,4,y\n", ["0", "1"]),
    "numbers, and an unusual name of labels": ("0,1,species\n1,2,x\n3,4,x\n5,6,y\n", ["0", "1"]),
    "no names, text as labels": ("1,2,x\n3,4,x\n5,6,y\n", None),
    "no names, each label once": ("1,2,x\n3,4,y\n5,6,z\n", None),
    "no names": ("1,2,0\n3,4,1\n", None),
    "quoted names": ('"a, b","c","y"\n1,2,x\n3,4,y\n', ["a, b", "c"]),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_first_line_of_names_is_told_from_rows(case, tmp_path):
    content, columns = HEADERS[case]
    (tmp_path / "a.csv").write_text(content)
    table = read_labelled_table(tmp_path / "a.csv")
    assert table.columns == columns
    assert len(table.features) == len(content.splitlines()) - (columns is not None)
    assert table.labels.dtype.kind == ("f" if case == "no names" else "U")


def test_a_table_of_names_alone_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,label\n")
    with pytest.raises(ValueError, match="a.csv: got a table without rows; need at least one"):
        files.read_csv(tmp_path / "a.csv")


NO_HEADERS = {
    "the usual name of labels as a label": "5.1,1,y\n4.9,3,n\n4.9,3,y\n",
    "a label that comes once": "5.1,1,z\n4.9,3,x\n4.9,3,x\n",
    "labels that are text or digits": "5.1,1,c\n4.9,3,1\n4.9,3,b\n",
}


@pytest.mark.parametrize("case", NO_HEADERS)
def test_no_row_is_taken_for_a_header(case, tmp_path):
    (tmp_path / "a.csv").write_text(NO_HEADERS[case])
    table = read_labelled_table(tmp_path / "a.csv")
    assert table.columns is None and len(table.features) == len(table.labels) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_ends_of_lines_are_known(end, tmp_path):
    (tmp_path / "a.csv").write_bytes(end.join(["", "a,label", "1,x", "2,y", ""]).encode())
    table = read_labelled_table(tmp_path / "a.csv")
    assert (table.columns, table.labels.tolist()) == (["a"], ["x", "y"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1;2;0\n3;4;1\n", "got one column; need features and labels, separated by commas"),
        ("a,label\n1,x\n2,\n", "got no label in row 1; need one for each row"),
        ("a,label\n1,0\n2,nan\n", "got no label in row 1; need one for each row"),
    ],
)
def test_tables_without_labels_are_refused(content, message, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        files.read_csv(tmp_path / "a.csv")


def test_a_column_of_row_numbers_is_told(tmp_path):
    (tmp_path / "a.csv").write_text(",a,label\n0,1,x\n1,2,y\n")
    with pytest.warns(UserWarning, match="a.csv: got a column without a name, which is used as a feature"):
        assert files.read_csv(tmp_path / "a.csv")[0].shape == (2, 2)


def test_numpy_does_not_write_behind_its_buffer(tmp_path):
    """As numpy 1.23 does for a last line of certain lengths that ends with a comma and without a newline."""
    code = """
        import sys
        from arignote.data import files
        for n in range(1, 70):
            with open(sys.argv[1], "w") as file:
                file.write("1," * n)
            try:
                files.read_csv(sys.argv[1])
            except ValueError:
                pass
        print("whole")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(tmp_path / "a.csv")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONMALLOC": "debug"}  # which checks what is behind
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "whole\n", done.stderr[-1000:]


@pytest.mark.parametrize(
    ("header", "label"),
    [("y,label,a", 1), ("Class,target,a", 1), ("a,y,b", 1), ("x,y,kind", 2), ("X,label,y", 1), ("a,b,c", 2)],
)
def test_the_column_of_labels_by_its_name(header, label, tmp_path):
    (tmp_path / "a.csv").write_text(f"{header}\n10,11,12\n20,21,22\n")
    assert files.read_csv(tmp_path / "a.csv")[1].tolist() == [10 + label, 20 + label]


@pytest.mark.parametrize("content", ["a,b,label", "a,b,label\n\n\n", '"a\nb",c\n', ",", "\n", ""])
@pytest.mark.parametrize("read", [files.read_csv, files.read_array, readers.Data])
def test_names_without_rows_are_refused(content, read, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=r"a.csv: got .+; need .+; try "):
        read(str(tmp_path / "a.csv"))


def test_blank_lines_and_names_of_several_lines_are_no_rows(tmp_path):
    (tmp_path / "a.csv").write_text('\n"a\nb",label\n\n1,x\n\n2,y\n')
    table = read_labelled_table(tmp_path / "a.csv")
    assert table.columns == ["a\nb"] and table.features.tolist() == [[1], [2]] and table.labels.tolist() == ["x", "y"]


@pytest.mark.parametrize("names", ["a,label", "a,b,c,label"])
def test_there_is_a_name_for_each_column(names, tmp_path):
    (tmp_path / "a.csv").write_text(f"{names}\n1,2,0\n3,4,1\n")
    with pytest.raises(ValueError, match=r"a.csv: got \d names of columns, and 3 fields in row 0; need as many"):
        files.read_csv(tmp_path / "a.csv")


def test_numbers_that_float32_does_not_have_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,label\n1,2,0\n3,-1e39,1\n")
    with pytest.raises(ValueError, match=r"a.csv: got -1e\+39 in row 1; need numbers that float32 has"):
        files.read_csv(tmp_path / "a.csv")
    assert files.read_csv(tmp_path / "a.csv", label="b")[1].tolist() == [2, -1e39]


def test_one_long_label_does_not_make_all_others_long(tmp_path):
    (tmp_path / "a.csv").write_text("1,a\n" * 10_000 + "1," + "b" * 100_000 + "\n")
    with pytest.raises(ValueError, match=r"a.csv: got a label of 100000 characters, 'b+.*; need names of classes"):
        files.read_csv(tmp_path / "a.csv")


def test_a_field_longer_than_any_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,label\n1," + "b" * 200_000 + "\n")
    with pytest.raises(ValueError, match=r"a.csv: got a file that cannot be read as CSV \(field larger than"):
        files.read_csv(tmp_path / "a.csv")


def test_many_columns_of_text_are_looked_at_once(tmp_path, monkeypatch):
    """Whether the first line has names, which it takes all rows to know."""
    n_read = 0
    whole = tables.csv.reader

    def reader(lines):
        nonlocal n_read
        rows = whole(lines)
        n_read += 1
        return rows

    monkeypatch.setattr(tables.csv, "reader", reader)
    (tmp_path / "a.csv").write_text(("0," + ",".join("a" for _ in range(500)) + "\n") * 20)
    with pytest.raises(ValueError, match="got 'a' in row 0, column 1"):
        files.read_array(tmp_path / "a.csv")
    assert n_read == 2
