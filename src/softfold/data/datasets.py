"""Known datasets by name, as in `softfold run imagewoof --noise 5`."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.align import find, sort_names
from softfold.data.corruption import corrupt
from softfold.data.folds import draw_holdout
from softfold.data.frames import KNOWN_DATASETS
from softfold.data.naming import check_names, take_names
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError, require
from softfold.pixels.images import Images

FASHION_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
BREEDS = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}
THINGS = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
NAMES = {"imagewoof": BREEDS, "imagenette": THINGS}
"""Names for people, where a dataset's labels are numbers."""

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it


def load_dataset(
    name: str,
    *,
    noise: str | float | None = None,
    data: str | Path | None = None,
    names: Mapping[str, str] | str | Path | None = None,
    seed: int = 0,
) -> LabelTable:
    """A known dataset with its truth, its hold-out, and if asked noisy training labels.

    Args:
        name: one of `DATASETS`.
        noise: for imagewoof and imagenette the percent of a column that the dataset ships (1, 5,
            25, 50); for cifar10n the annotators ("aggre" or "random1"); for the others a percent
            of wrong labels made with `corrupt` ("30", or "pair-30" for each class into the next).
            None: right labels.
        data: folder of a local copy. Needed for cifar10n; imagewoof and imagenette are fetched
            through fastai without it; fashion-mnist is looked for where Debian's package is.
        names: names of classes for people, as `read_table` takes them; by itself `NAMES`.
        seed: of the noise that is made here, and of the hold-out of digits (a stratified fifth).

    Returns:
        LabelTable of images with `truth`; the hold-out's labels are right.

    Raises:
        InputError: unknown name or noise, files that are not there, no network to fetch with.

    >>> table = load_dataset("digits", noise=30)
    >>> len(table), int((table.train.given != table.train.truth).sum()), table.kind
    (1797, 431, 'image')
    """
    if name not in DATASETS:
        raise InputError(f"no known dataset {name!r}: there are {', '.join(DATASETS)}")
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    wanted = None if noise is None else str(noise).strip().removesuffix("%").removesuffix(".0")
    table = DATASETS[name](name, wanted, None if data is None else Path(data), seed)
    if names is None:
        known = NAMES.get(name, {})
        return replace(table, names={k: known[k] for k in table.vocab if k in known})
    _, pairs = take_names(pd.DataFrame(), names, None, name)
    return replace(table, names=check_names(pairs, table.vocab, f"--names {names}"))


def _digits(name: str, noise: str | None, data: Path | None, seed: int) -> LabelTable:
    if data is not None:
        raise InputError("digits come with scikit-learn: --data has no meaning here")
    digits = require("sklearn.datasets", extra="sklearn").load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    table = _images_table(name, pixels, digits.target, [str(k) for k in range(10)], len(pixels))
    return _with_noise(draw_holdout(table, fraction=0.2, seed=seed), noise, seed)


def _fashion(name: str, noise: str | None, data: Path | None, seed: int) -> LabelTable:
    folder = data or FASHION_FOLDER
    parts = {}
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            stem = folder / f"{part}-{kind}-ubyte"
            file = next((f for f in (stem.with_name(f"{stem.name}.gz"), stem) if f.exists()), None)
            if file is None:
                raise InputError(
                    f"{name}: {stem.name}.gz is not in {folder}: install Debian's package "
                    "dataset-fashion-mnist, or give a folder with its four files (--data)"
                )
            parts[part, kind[:6]] = _read_idx(file)
    pixels = np.concatenate([parts["train", "images"], parts["t10k", "images"]])
    labels = np.concatenate([parts["train", "labels"], parts["t10k", "labels"]])
    n_train = len(parts["train", "images"])
    return _with_noise(_images_table(name, pixels, labels, FASHION_NAMES, n_train), noise, seed)


def _cifar10n(name: str, noise: str | None, data: Path | None, seed: int) -> LabelTable:
    if noise not in {None, "aggre", "random1"}:
        raise InputError(f"{name} has no labels {noise!r}: choose --noise aggre or random1")
    if data is None:
        raise InputError(f"{name}: give the folder with train.parquet and test.parquet (--data)")
    require("pyarrow", extra="cli")
    frames = []
    for part in ("train", "test"):
        file = data / f"{part}.parquet"
        if not file.exists():
            raise InputError(f"{name}: {part}.parquet is not in {data}")
        columns = ["image", "label"] + ([noise] if noise and part == "train" else [])
        try:
            frames.append(pd.read_parquet(file, columns=columns))
        except (ValueError, KeyError, OSError) as error:
            line = str(error).strip().splitlines()[0]
            raise InputError(f"{file}: want columns {', '.join(columns)}: {line}") from None
    train, test = frames
    vocab = sort_names(train["label"].astype(str))

    def codes(column: pd.Series) -> np.ndarray:
        return find(vocab, column.astype(str))

    keys = [f"train/{i:05d}" for i in range(len(train))]
    keys += [f"test/{i:05d}" for i in range(len(test))]
    truth = np.concatenate([codes(train["label"]), codes(test["label"])])
    given = truth.copy()
    if noise:
        given[: len(train)] = codes(train[noise])
    if (given < 0).any() or (truth < 0).any():
        raise InputError(f"{name}: some labels name a class that column 'label' of training lacks")
    return LabelTable(
        item=np.array(keys, dtype=object),
        given=given,
        vocab=vocab,
        valid=np.arange(len(keys)) >= len(train),
        truth=truth,
        data=Images(encoded=[*train["image"], *test["image"]]),
        name=name,
    )


def _imagenette(name: str, noise: str | None, data: Path | None, seed: int) -> LabelTable:
    """Imagewoof and Imagenette: folders train and val, and the dataset's own noisy labels."""
    folder = data or _fetch(name)
    root = next((f for f in (folder, folder / f"{name}2-160") if (f / "train").is_dir()), None)
    if root is None:
        raise InputError(f"{name}: --data {folder} holds no folder `train`")
    file = f"noisy_{name}.csv"
    csv = next((f / file for f in (root, root.parent) if (f / file).exists()), None)
    if csv is None:
        if noise is not None:
            raise InputError(
                f"{name}: --noise {noise} needs {file}, which is neither in {root} nor in "
                f"{root.parent}"
            )
        table = read_table(root)
        return replace(table, truth=table.given.copy(), name=name)
    column = f"noisy_labels_{noise or 0}"
    offered = [c for c in pd.read_csv(csv, nrows=0).columns if c.startswith("noisy_labels_")]
    if column not in offered:
        percents = ", ".join(c.removeprefix("noisy_labels_") for c in offered)
        raise InputError(f"{name} has no labels with {noise}% noise: choose --noise {percents}")
    table = read_table(
        csv, images=root, path="path", label=column, truth="noisy_labels_0", valid="is_valid"
    )
    return replace(table, name=name)


def _fetch(name: str) -> Path:
    """The dataset through fastai's `untar_data`, from its cache where it is there already."""
    external = require("fastai.data.external", extra="fastai")
    try:
        return Path(external.untar_data(getattr(external.URLs, f"{name.upper()}_160")))
    except (OSError, EOFError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} cannot be fetched ({reason}): give the folder of a local copy (--data)"
        ) from error


DATASETS: dict[str, Callable[[str, str | None, Path | None, int], LabelTable]] = dict(
    zip(KNOWN_DATASETS, (_digits, _imagenette, _imagenette, _cifar10n, _fashion), strict=True)
)


def _images_table(
    name: str, pixels: np.ndarray, labels: np.ndarray, names: list[str], n_train: int
) -> LabelTable:
    """A table of grey images (N, H, W) uint8; those after the first `n_train` are the hold-out."""
    vocab = sort_names(names)
    truth = find(vocab, names)[labels]
    return LabelTable(
        item=np.array([f"{i:05d}" for i in range(len(pixels))], dtype=object),
        given=truth.copy(),
        vocab=vocab,
        valid=np.arange(len(pixels)) >= n_train,
        truth=truth,
        data=Images(encoded=[encode_png(p) for p in pixels]),
        name=name,
    )


def _with_noise(table: LabelTable, noise: str | None, seed: int) -> LabelTable:
    """The same table with a percent of its training labels made wrong."""
    if noise is None:
        return table
    kind, _, percent = noise.rpartition("-")
    try:
        rate = float(percent) / 100
    except ValueError:
        rate = -1.0
    if kind not in {"", "symmetric", "pair"} or not 0 <= rate <= 1:
        raise InputError(
            f"--noise {noise}: {table.name} takes a percent of wrong labels such as 30, or pair-30"
        )
    given, train = table.given.copy(), ~table.valid
    given[train] = corrupt(
        given[train], rate, kind or "symmetric", n_classes=table.n_classes, seed=seed
    )
    return replace(table, given=given)


def _read_idx(file: Path) -> np.ndarray:
    """A uint8 array from an IDX file (Yann LeCun's format for MNIST), gzipped or not."""
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        shape = struct.unpack_from(f">{content[3]}I", content, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{file}: no IDX file of bytes ({error})") from None


def encode_png(pixels: np.ndarray) -> bytes:
    """A grey image (H, W) uint8 as the bytes of a PNG file, by Pillow.

    >>> encode_png(np.zeros((8, 8), np.uint8))[:4]
    b'\\x89PNG'
    """
    image = require("PIL.Image", extra="torch").fromarray(pixels)
    file = BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
