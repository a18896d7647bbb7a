"""What a file is whose name says that it is a text table, and whose first bytes say otherwise."""

from __future__ import annotations

import re

_BEGINNINGS = (
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"BZh", "a bzip2 archive", "unpack it"),
    (b"\xfd7zXZ\0", "an xz archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx, .ods)", "unpack it, or save as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet (.xls)", "save it as CSV"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"%PDF-", "a PDF", "save the table as CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
)
_MARKUP = (
    (
        re.compile(rb"<(!doctype\s+html|html|head|body|table|!--)\b", re.IGNORECASE),
        "a web page (HTML)",
    ),
    (re.compile(rb"<\?xml\b"), "XML"),
    (re.compile(rb'\{\s*("[^"]*"\s*:|\})|\[\s*[\[{]|\[\s*("[^"]*"|-?[\d.]+)\s*,?\s*\n'), "JSON"),
)


def other_kind(head: bytes) -> tuple[str, str] | None:
    """What a file that begins like this is, if it is no text table, and what to do about it.

    >>> other_kind(b'[{"path": "a.jpg"}]')
    ('JSON', 'save the table as CSV')
    >>> other_kind(b"path,label") is None
    True
    """
    for beginning, kind, advice in _BEGINNINGS:
        if head.startswith(beginning):
            return kind, advice
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for begins, kind in _MARKUP:
        if begins.match(text):
            return kind, "save the table as CSV"
    return None
