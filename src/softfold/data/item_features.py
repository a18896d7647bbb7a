"""Features that were made elsewhere: a row of numbers an item, found by the item's key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import as_frame, match_rows
from softfold.align.keys import as_keys, refuse_repeats, some
from softfold.data.finding import PATH_NAMES
from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of, require
from softfold.files import replacing, write_bytes
from softfold.large_arrays import scratch
from softfold.tensors import memory_map, pack_keys, write_tensors

SUFFIXES = (".npy", ".parquet", ".pq", ".safetensors")
_BLOCK = 16384
"""Rows looked at in one go, so that memory stays flat on large files."""


class ItemFeatures:
    """A row of features an item.

    Args:
        item: (N,) unique keys.
        values: (N, D) numbers, float16 or float32 as they are, all else as float32; a memory map
            is not loaded.
        name: where they came from, for messages.

    Raises:
        InputError: no matrix of numbers, another number of rows than keys, keys that repeat,
            values that are missing or infinite.

    >>> features = ItemFeatures(["a.jpg", "b.jpg"], np.array([[0.5, 1.0], [2.0, 3.0]]))
    >>> features.of(["b.jpg"])
    array([[2., 3.]], dtype=float32)
    """

    def __init__(self, item: Any, values: Any, name: str = "features") -> None:
        values = values if isinstance(values, np.ndarray) else np.asarray(values)
        if values.ndim != 2 or values.shape[1] == 0:
            raise InputError(f"{name}: features have shape {values.shape}; want (N, D)")
        if values.dtype.kind not in "fiub":
            raise InputError(
                f"{name}: features are of type {values.dtype}, not numbers: save them as float32"
            )
        self.item, self.values, self.name = as_keys(item), values, name
        if len(self.item) != len(values):
            raise InputError(
                f"{name}: {count_of(len(values), 'row')} of features for "
                f"{count_of(len(self.item), 'item')}: want one row an item"
            )
        refuse_repeats(self.item, f"{name}: item keys")
        self._refuse_gaps()

    def _refuse_gaps(self) -> None:
        wrong, first = 0, -1
        for start, block in self._blocks():
            bad = ~np.isfinite(block).all(axis=1)
            if bad.any():
                first = start + int(np.argmax(bad)) if first < 0 else first
                wrong += int(bad.sum())
        if wrong:
            raise InputError(
                f"{self.name}: features of {wrong:,} of {count_of(len(self), 'item')} are missing "
                f"or infinite; the first is {self.item[first]!r}: fill them in, or leave these "
                "items out of the labels and the features"
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """How many features an item has, D."""
        return self.values.shape[1]

    @cached_property
    def digest(self) -> str:
        """A hash of keys and values, in their order; values count as float32."""
        digest = hashlib.sha256(json.dumps([list(self.item), self.width]).encode())
        for _, block in self._blocks():
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def of(self, item: Any) -> np.ndarray:
        """Features float32 (n, D) of the items with these keys, in their order.

        Raises:
            InputError: an item has none.
        """
        rows = self._rows(item)
        out = scratch((len(rows), self.width))
        for start in range(0, len(rows), _BLOCK):
            here = slice(start, start + _BLOCK)
            out[here] = self.values[rows[here]]
        return out

    def take(self, item: Any) -> ItemFeatures:
        """The features of these items only, in their order; the type of the values stays."""
        return ItemFeatures(item, self.values[self._rows(item)], self.name)

    def on(self, table: LabelTable) -> LabelTable:
        """The table with its items' features in place of their data."""
        return replace(table, data=self.of(table.item))

    def save(self, path: str | Path) -> None:
        """Write a file that `read_item_features` reads; its suffix says which kind.

        A .npy file holds the values without the keys. A Parquet file has a column `item` and a
        column `features` of lists; a safetensors file the same as two tensors.
        """
        suffix, values = Path(path).suffix.lower(), self._numbers()
        if suffix == ".safetensors":
            write_tensors(path, {"features": values, "item": pack_keys(self.item)})
        elif suffix in (".parquet", ".pq"):
            _write_lists(path, self.item, values)
        elif suffix == ".npy":
            from io import BytesIO

            content = BytesIO()
            np.save(content, values)
            write_bytes(path, content.getvalue())
        else:
            raise InputError(f"{path}: features go to a {_some_suffixes()} file")

    def _rows(self, item: Any) -> np.ndarray:
        after = f": {self.name} has keys such as {next(iter(self.item), None)!r}"
        return match_rows(self.item, item, "without features", before=f"{self.name}: ", after=after)

    def _numbers(self) -> np.ndarray:
        kept = self.values.dtype in (np.float16, np.float32)
        return np.ascontiguousarray(self.values if kept else self.values.astype(np.float32))

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self.values), _BLOCK):
            with np.errstate(over="ignore"):  # what is too large is infinite, and said to be
                yield start, np.asarray(self.values[start : start + _BLOCK], dtype=np.float32)


def as_item_features(features: Any) -> ItemFeatures | None:
    """Features with their keys, whatever a trainer was given; None stays None.

    Args:
        features: `ItemFeatures`, a data frame whose index (or column `item`) has the item keys, or
            the path of a .parquet or .safetensors file.
    """
    if features is None or isinstance(features, ItemFeatures):
        return features
    features = as_frame(features)
    if isinstance(features, pd.DataFrame):
        keys = features.get("item", features.index)
        numbers = features.drop(columns="item", errors="ignore")
        return ItemFeatures(keys.to_numpy(dtype=object), numbers.to_numpy(), "features")
    if isinstance(features, str | Path):
        return read_item_features(features)
    raise InputError(
        "features have no item keys: give a data frame with the keys as its index, "
        "pd.DataFrame(features, index=table.item)"
    )


def read_item_features(
    path: str | Path, item: Sequence[str] | np.ndarray | None = None
) -> ItemFeatures:
    """Features out of a file.

    Args:
        path: .npy, an (N, D) array in the order of `item`; .parquet with a column `item` and
            either one column of lists or columns of numbers; .safetensors with a matrix
            `features` (or the only matrix) and the keys: a tensor `item`, uint8 of a JSON list in
            UTF-8, or `item` in the header, a JSON list.
        item: (N,) keys of the rows of a .npy file.

    Raises:
        InputError: no such file, another kind of file, what `ItemFeatures` refuses.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file of features")
    kind = file.suffix.lower()
    if kind == ".npy":
        return _of_array(file, item)
    if kind in (".parquet", ".pq"):
        return _of_parquet(file)
    if kind == ".safetensors":
        return _of_tensors(file)
    raise InputError(f"{path}: features are read from a {_some_suffixes()} file")


def _some_suffixes() -> str:
    return ".npy, .parquet or .safetensors"


def _of_array(file: Path, item: Sequence[str] | np.ndarray | None) -> ItemFeatures:
    if item is None:
        raise InputError(
            f"{file}: a .npy file has no item keys, and here is no label table whose order its "
            "rows could have: use a .parquet or .safetensors file"
        )
    try:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "object" in why.lower():
            why = "it is an array of objects, which only running code could read"
        raise InputError(
            f"{file}: cannot be read as features ({why}): save an array of numbers, "
            "np.save(path, features.astype('float32'))"
        ) from None
    if values.ndim == 2 and len(values) != len(item):
        raise InputError(
            f"{file}: {count_of(len(values), 'row')}, and the label table has "
            f"{count_of(len(item), 'item')}: rows of a .npy file are those of the label table; a "
            ".parquet or .safetensors file has item keys"
        )
    return ItemFeatures(item, values, str(file))


def _of_parquet(file: Path) -> ItemFeatures:
    require("pyarrow", extra="cli")
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: cannot be read as Parquet: {why}") from None
    names = table.column_names
    if "item" not in names:
        text = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_dictionary)
        words = [n for n in names if any(each(table.schema.field(n).type) for each in text)]
        raise InputError(f"{file}: no column 'item' with the items' keys: {_which(names, words)}")
    keys = table.column("item").to_pandas().to_numpy(dtype=object)
    names = [name for name in names if name != "item" and not name.startswith("__index_level_")]
    kinds = [table.schema.field(name).type for name in names]
    if len(names) == 1 and (
        arrow.types.is_list(kinds[0])
        or arrow.types.is_large_list(kinds[0])
        or arrow.types.is_fixed_size_list(kinds[0])
    ):
        return ItemFeatures(keys, _lists(file, table.column(names[0]), keys), str(file))
    numbers = (arrow.types.is_integer, arrow.types.is_floating, arrow.types.is_boolean)
    odd = [n for n, kind in zip(names, kinds) if not any(each(kind) for each in numbers)]
    if odd:
        raise InputError(
            f"{file}: {count_of(len(odd), 'column')} beside `item` not of numbers; the first is "
            f"{odd[0]!r}: leave it out"
        )
    values = np.empty((len(table), len(names)), np.float32)
    for i, name in enumerate(names):
        values[:, i] = table.column(name).to_pandas().astype(np.float64).to_numpy()
    return ItemFeatures(keys, values, str(file))


def _which(names: list[str], words: list[str]) -> str:
    """Which of the columns, of which some hold words, is to be called `item`, in words."""
    key = next((n for n in PATH_NAMES if n in words), words[0] if len(words) == 1 else None)
    others = [*words, *(n for n in names if n not in words)]
    if key is None:
        what = "rename the one that holds them" if words else "add one"
    elif key.startswith("__index_level_"):
        what = "the index holds them, frame.reset_index(names='item') makes it a column"
    else:
        what = f"rename the column {key!r} to 'item'"
    return f"{what}; it has: {some(others, 12)}"


def _lists(file: Path, column: Any, keys: np.ndarray) -> np.ndarray:
    """A column of lists as a matrix (N, D); all must be of one length."""
    from pyarrow import compute

    lengths = compute.list_value_length(column).to_pandas().fillna(0).to_numpy(np.int64)
    width = int(lengths[0]) if len(lengths) else 0
    other = lengths != width
    if other.any():
        row = int(np.argmax(other))
        raise InputError(
            f"{file}: features of {count_of(int(other.sum()), 'item')} are of another length than "
            f"the {width} of the first; the first is {keys[row]!r} with {lengths[row]}"
        )
    flat = compute.list_flatten(column).to_numpy()
    if flat.dtype not in (np.float16, np.float32):
        flat = pd.to_numeric(pd.Series(flat), errors="coerce").to_numpy(np.float32)
    return flat.reshape(len(lengths), width)


def _of_tensors(file: Path) -> ItemFeatures:
    safe_open = require("safetensors", extra="cli").safe_open
    try:
        with safe_open(str(file), framework="numpy") as opened:
            about = opened.metadata() or {}
            shapes = {n: opened.get_slice(n) for n in opened.keys()}  # noqa: SIM118
            kinds = {n: (len(s.get_shape()), s.get_dtype()) for n, s in shapes.items()}
            packed = opened.get_tensor("item").tobytes() if "item" in kinds else None
    except Exception as error:
        raise InputError(f"{file}: cannot be read as safetensors: {error}") from None
    matrices = [n for n, (dimensions, _) in kinds.items() if dimensions == 2 and n != "item"]
    name = "features" if "features" in kinds else matrices[0] if len(matrices) == 1 else None
    if name is None:
        have = ", ".join(kinds) or "nothing"
        raise InputError(f"{file}: no matrix 'features' (N, D); it holds: {have}")
    if kinds[name][1] not in ("F16", "F32", "F64"):
        raise InputError(
            f"{file}: {name!r} is of type {kinds[name][1]}; save it as float32 or float16"
        )
    try:
        keys = json.loads(about["item"] if packed is None else packed)
        assert isinstance(keys, list)
    except (KeyError, ValueError, AssertionError):
        raise InputError(
            f"{file}: no item keys: put a tensor 'item' beside, uint8 of their JSON list, or "
            "metadata={'item': json.dumps(keys)}"
        ) from None
    return ItemFeatures(keys, memory_map(file, name), str(file))


def _write_lists(path: str | Path, item: np.ndarray, values: np.ndarray) -> None:
    require("pyarrow", extra="cli")
    import pyarrow as arrow
    from pyarrow import parquet

    lists = arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1)), values.shape[1])
    table = arrow.table({"item": arrow.array(item, arrow.string()), "features": lists})
    with replacing(path) as part:
        parquet.write_table(table, part)
