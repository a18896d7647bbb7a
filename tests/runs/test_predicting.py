"""New items are read as the training items were: numbers as numbers, names as they are written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from softfold.data.reading import read_table
from softfold.errors import InputError
from softfold.runs.predicting import Predictor
from softfold.trainers.estimator import Estimator


@pytest.fixture(scope="module")
def predictor():
    """The code alone tells the class; `x` is noise."""
    rng = np.random.default_rng(0)
    code = rng.choice(["007", "7", "NA", "1e1"], 400)
    frame = pd.DataFrame({"code": code, "x": rng.normal(size=400)})
    table = read_table(frame.assign(label=np.where(np.isin(code, ["007", "NA"]), "yes", "no")))
    model = Estimator().fit(table, np.eye(2)[table.given], seed=0)
    return Predictor(model, table.vocab, "table")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_codes_that_look_like_numbers_stay_codes(predictor, delimiter, tmp_path):
    rows = [("code", "x"), ("007", "1.5"), ("7", "NA"), ("NA", "2"), ("1e1", "")]
    file = tmp_path / "new.csv"
    file.write_text("\r\n".join(delimiter.join(r) for r in rows), encoding="utf-16")
    assert predictor.predict(file)["predicted"].tolist() == ["yes", "no", "yes", "no"]
    only = tmp_path / "numbers.csv"
    only.write_text("x,code\n1,007\n1,7\n")
    assert predictor.predict(only)["predicted"].tolist() == ["yes", "no"]


def test_hidden_files_of_a_folder_are_not_predicted(tmp_path):
    from softfold.runs.predicting import unlabelled

    for name in ("a.png", ".b.png", ".thumbs/c.png", "d/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "f.heic").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"3 files were left out: 2 hidden, 1 .heic \(save such"):
        table = unlabelled(tmp_path, ("x", "y"), "image")
    assert table.item.tolist() == ["a.png", "d/e.png"]


def test_predictions_have_the_name_beside_the_class():
    from softfold.runs.predicting import Predictor

    class Sure:
        def predict(self, table):
            return np.tile([0.1, 0.9], (len(table), 1))

    frame = Predictor(Sure(), ("n1", "n2"), "table", {"n2": "dingo"}).predict(np.zeros((3, 2)))
    assert list(frame.columns)[:4] == ["item", "predicted", "predicted_name", "confidence"]
    assert set(frame["predicted"]) == {"n2"} and set(frame["predicted_name"]) == {"dingo"}


class Brightness:
    """Tells dark images from light ones; of broken files it names one, as models do."""

    def predict(self, table):
        from softfold.pixels.decoding import decode_batches

        batches = decode_batches(table.data, 8, batch_size=4, threads=1)
        light = np.concatenate([b.mean((1, 2, 3)) / 255 for b in batches])
        return np.stack([1 - light, light], 1).astype(np.float32)


@pytest.fixture
def pictures(tmp_path):
    """Nine grey images, of which 2 and 5 are broken; what each is predicted as is its name."""
    pytest.importorskip("PIL")
    from pictures import encode

    for i in range(9):
        content = encode(np.full((8, 8), 255 * (i % 2), np.uint8)) if i not in (2, 5) else b"none"
        (tmp_path / f"{i}-{('dark', 'light')[i % 2]}.png").write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("holder", ["folder", "table", "list"])
def test_broken_images_are_all_named_or_all_left_out(pictures, holder):
    predictor = Predictor(Brightness(), ("dark", "light"), "image")
    items = pictures
    if holder == "table":
        names = sorted(p.name for p in pictures.iterdir())
        items = pictures / "new.csv"
        rows = ["Path,n", *(f"{name},1" for name in names[:4]), ",2"]
        items.write_text("\n".join([*rows, *(f"{n},1" for n in [*names[4:], "lost.png"])]))
    elif holder == "list":
        items = [*sorted(pictures.iterdir()), pictures / "lost.png"]
    with pytest.raises(InputError) as refused:
        predictor.predict(items)
    broken = ["2-dark.png", "5-light.png"]
    broken += {"folder": [], "table": ["line 6", "lost.png"], "list": ["lost.png"]}[holder]
    n = {"folder": 9, "table": 11, "list": 10}[holder]
    assert f"{len(broken)} of {n} items cannot be used" in str(refused.value)
    assert all(name in str(refused.value) for name in [*broken, "--on-error skip"])
    with pytest.warns(UserWarning, match=f"{len(broken)} items cannot be used and are left out"):
        frame = predictor.predict(items, on_error="skip")
    assert sorted(Path(k).name for k, _ in frame.attrs["skipped"]) == sorted(broken)
    assert [Path(k).stem.split("-")[0] for k in frame["item"]] == list("0134678")
    assert all(p in k for k, p in zip(frame["item"], frame["predicted"], strict=True))


def test_one_name_that_is_nothing_is_said_to_be_nothing():
    predictor = Predictor(Brightness(), ("dark", "light"), "image")
    with pytest.raises(InputError, match="typo_name: no such image, folder or table"):
        predictor.predict("typo_name")


def test_a_cell_that_is_no_number_is_named_with_its_line(predictor, tmp_path):
    (tmp_path / "new.csv").write_text("code,x\n7,1\n7,#REF!\n")
    with pytest.raises(InputError, match=r"'x' held numbers .* now '#REF!' in line 3"):
        predictor.predict(tmp_path / "new.csv")


def test_features_are_found_by_the_keys_that_a_label_table_gives():
    from softfold.runs.predicting import Predictor

    class First:
        def predict(self, table):
            return np.stack([table.data[:, 0], 1 - table.data[:, 0]], axis=1)

    predictor = Predictor(First(), ("a", "b"), "labels", own_features=True)
    items = pd.DataFrame({"path": ["x.png", "y.png"], "item": ["1", "2"]})
    for keys, asked in (
        (["y.png", "x.png"], items),
        (["2", "1"], items[["item"]]),
        (["7", "4"], items[["item"]].set_axis([4, 7]).rename(columns={"item": "note"})),
    ):
        features = pd.DataFrame([[0.25], [0.75]], index=keys)
        assert predictor.predict(asked, features)["a"].tolist() == [0.75, 0.25]
