"""New items are read as the training items were: numbers as numbers, names as they are written."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from softfold.data.reading import read_table
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
