"""Known datasets: right items, right noise, a clean hold-out, and one clear line without data."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softfold.data.datasets import DATASETS, FASHION_NAMES, encode_png, load_dataset
from softfold.errors import InputError

SHARED = Path(__file__).parents[3] / "shared/data"
Image = pytest.importorskip("PIL.Image")


def pixels_of(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


def test_png_holds_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9), dtype=np.uint8)
    assert (pixels_of(encode_png(pixels)) == pixels).all()


def test_digits_are_scikit_learns_with_a_stratified_clean_holdout():
    from sklearn.datasets import load_digits

    digits = load_digits()
    table = load_dataset("digits", noise="30")
    assert (table.truth == digits.target).all() and table.vocab == tuple("0123456789")
    for i in (0, 700, 1796):
        assert np.abs(pixels_of(table.data[i]) / 255 * 16 - digits.images[i]).max() < 0.05
    train, holdout = table.train, table.holdout
    assert abs(len(holdout) / len(table) - 0.2) < 0.01
    assert np.ptp(np.bincount(holdout.truth) / np.bincount(table.truth)) < 0.02
    assert (train.given != train.truth).sum() == round(0.3 * len(train))
    assert (holdout.given == holdout.truth).all()


def test_noise_is_a_percent_or_pair():
    assert (load_dataset("digits").given == load_dataset("digits").truth).all()
    table = load_dataset("digits", noise="pair-40").train
    wrong = table.given != table.truth
    assert wrong.sum() == round(0.4 * len(table))
    assert (table.given[wrong] == (table.truth[wrong] + 1) % 10).all()
    again = load_dataset("digits", noise=40.0, seed=1)
    assert (again.given != load_dataset("digits", noise="40%", seed=0).given).any()


def write_idx(file, array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    file.write_bytes(gzip.compress(header + array.tobytes()))


def test_fashion_mnist_from_its_four_files(tmp_path):
    rng = np.random.default_rng(0)
    pixels = {
        p: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for p, n in (("train", 40), ("t10k", 10))
    }
    for part, images in pixels.items():
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(len(images)) % 10).astype(np.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    table = load_dataset("fashion-mnist", noise="25", data=tmp_path)
    assert table.valid.tolist() == [False] * 40 + [True] * 10
    names = [table.vocab[k] for k in table.truth[:10]]
    assert names == FASHION_NAMES
    assert (pixels_of(table.data[43]) == pixels["t10k"][3]).all()
    assert (table.given != table.truth).sum() == 10
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match="no IDX file"):
        load_dataset("fashion-mnist", data=tmp_path)
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz is not in"):
        (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
        load_dataset("fashion-mnist", data=tmp_path)


def test_cifar10n_from_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    names = ["cat", "dog"]
    images = [encode_png(np.full((4, 4), i, np.uint8)) for i in range(6)]
    train = pd.DataFrame({"image": images[:4], "label": names * 2, "aggre": ["cat"] * 4})
    train["random1"] = ["dog", "dog", "cat", "cat"]
    train.to_parquet(tmp_path / "train.parquet")
    pd.DataFrame({"image": images[4:], "label": names}).to_parquet(tmp_path / "test.parquet")
    table = load_dataset("cifar10n", noise="random1", data=tmp_path)
    assert table.given.tolist() == [1, 1, 0, 0, 0, 1] and table.truth.tolist() == [0, 1] * 3
    assert table.valid.tolist() == [False] * 4 + [True] * 2
    assert [pixels_of(table.data[i])[0, 0] for i in range(6)] == list(range(6))
    with pytest.raises(InputError, match="choose --noise aggre or random1"):
        load_dataset("cifar10n", noise="5", data=tmp_path)
    train.drop(columns="aggre").to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match="want columns image, label, aggre"):
        load_dataset("cifar10n", noise="aggre", data=tmp_path)


@pytest.fixture
def woof(tmp_path):
    """A small Imagewoof: 8 training images, 4 of the hold-out, its CSV beside its folders."""
    root, rows = tmp_path / "imagewoof2-160", []
    for part, n in (("train", 4), ("val", 2)):
        for name in ("n01", "n02"):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                path = f"{part}/{name}/{i}.JPEG"
                (root / path).write_bytes(encode_png(np.zeros((2, 2), np.uint8)))
                noisy = "n02" if part == "train" and i == 0 else name
                rows.append((path, name, noisy, part == "val"))
    columns = ["path", "noisy_labels_0", "noisy_labels_5", "is_valid"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "noisy_imagewoof.csv", index=False)
    return root


def test_imagewoof_takes_its_own_noisy_labels(woof):
    for data in (woof, woof.parent):
        table = load_dataset("imagewoof", noise=5, data=data)
        assert table.vocab == ("n01", "n02") and table.valid.sum() == 4 and len(table) == 12
        assert (table.given != table.truth).sum() == 1
    clean = load_dataset("imagewoof", data=woof)
    assert (clean.given == clean.truth).all()
    with pytest.raises(InputError, match="no labels with 7% noise: choose --noise 0, 5"):
        load_dataset("imagewoof", noise="7", data=woof)


def test_imagewoof_without_its_csv_knows_only_right_labels(woof):
    (woof / "noisy_imagewoof.csv").rename(woof.parent / "noisy_imagewoof.csv")
    assert (load_dataset("imagewoof", noise="5", data=woof).given != 0).any()
    (woof.parent / "noisy_imagewoof.csv").unlink()
    table = load_dataset("imagewoof", data=woof)
    assert len(table) == 12 and (table.given == table.truth).all()
    with pytest.raises(InputError, match=r"noisy_imagewoof\.csv, which is neither in"):
        load_dataset("imagewoof", noise="5", data=woof)


def test_without_a_network_one_line_says_what_to_do(monkeypatch):
    external = pytest.importorskip("fastai.data.external")

    def refuse(url):
        raise OSError("Temporary failure in name resolution\nand more")

    monkeypatch.setattr(external, "untar_data", refuse)
    with pytest.raises(InputError) as error:
        load_dataset("imagewoof", noise="5")
    assert str(error.value) == (
        "imagewoof cannot be fetched (Temporary failure in name resolution): give the folder of a "
        "local copy (--data)"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("mnist",), "no known dataset 'mnist': there are digits, imagewoof"),
        (("digits", "lots"), "takes a percent of wrong labels such as 30, or pair-30"),
        (("digits", "130"), "takes a percent"),
        (("digits", "instance-30"), "takes a percent"),
        (("digits", None, "/no/such/folder"), "--data /no/such/folder: no such folder"),
        (("digits", None, "."), "--data has no meaning"),
        (("cifar10n", "aggre"), "give the folder with train.parquet and test.parquet"),
        (("cifar10n", "aggre", "."), "train.parquet is not in"),
        (("imagewoof", "5", str(Path(__file__).parent)), "holds no folder `train`"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, line):
    name, noise, data = (*arguments, None, None)[:3]
    with pytest.raises(InputError) as error:
        load_dataset(name, noise=noise, data=data)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_names_are_the_ones_of_the_command_line():
    assert set(DATASETS) == {"digits", "imagewoof", "imagenette", "cifar10n", "fashion-mnist"}


@pytest.mark.skipif(not (SHARED / "cifar10n").exists(), reason=f"{SHARED}/cifar10n is not here")
def test_real_cifar10n_has_its_published_noise():
    table = load_dataset("cifar10n", noise="aggre", data=SHARED / "cifar10n")
    assert len(table.train) == 50_000 and len(table.holdout) == 10_000
    assert (table.train.given != table.train.truth).mean() == pytest.approx(0.0903, abs=0.0005)
