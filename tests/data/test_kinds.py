"""Files whose name says that they are tables, and which are something else."""

import gzip

import pytest

from softfold.data.delimited import read_delimited
from softfold.errors import InputError


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"path", mtime=0), "a gzip archive, not a text table: unpack it"),
        (b"PK\x03\x04rest", "a zip archive or a spreadsheet"),
        (b"PAR1rest", "a Parquet file"),
        (b"{\\rtf1\\ansi path,label}", "an RTF document"),
        (b"\n<!DOCTYPE html><table>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b'[{"path": "a.jpg", "label": "b"}]', "JSON"),
        (b'{"path": "a.jpg", "label": "b"}\n', "JSON"),
        (b'{\n  "path": ["a.jpg"]}', "JSON"),
    ],
)
def test_what_another_file_seems_to_be_is_said(tmp_path, content, kind):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"labels.csv: seems to be {kind}"):
        read_delimited(tmp_path / "labels.csv")


@pytest.mark.parametrize("header", ["[1]", "{x}", "<b>", "[x", "table", '"{"'])
def test_odd_names_of_columns_are_names(tmp_path, header):
    (tmp_path / "labels.csv").write_text(f"{header},label\n1,a\n")
    assert list(read_delimited(tmp_path / "labels.csv")) == [header.strip('"'), "label"]
