"""What cannot be used: all of it named at once, or left out, listed, and no label moves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import softfold
from softfold.cli import main
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.job.opening import open_job, reopen_job
from softfold.job.running import crossfit_labels
from softfold.pixels import decoding
from softfold.pixels.images import Images
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.trainers import BaseModel, BaseTrainer

pytest.importorskip("PIL")
pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
from pictures import encode

CLASSES = ("black", "grey", "white")
LOGISTIC = "sklearn.linear_model.LogisticRegression"


class Grey(BaseTrainer, BaseModel):
    """Predicts an image's class from its grey level, and notes what it was trained on."""

    name = "grey"

    def __init__(self):
        self.seen = set()

    def describe(self):
        return {}

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        self.history = None
        self.seen |= set(table.item)
        return self

    def predict(self, table):
        levels = [decoding.decode(table.data[i]).mean() / 100 for i in range(len(table))]
        return np.eye(3, dtype=np.float32)[np.round(levels).astype(int)] * 0.97 + 0.01


@pytest.fixture
def work(tmp_path, monkeypatch):
    """60 images whose grey level is their class, 15 of them in the hold-out, six rows broken."""
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(60)]})
    frame["label"] = [CLASSES[i % 3] for i in range(60)]
    frame["is_valid"] = np.arange(60) >= 45
    for i, path in enumerate(frame["path"]):
        pixels = np.full((24, 24, 3), i % 3 * 100, np.uint8)
        pixels[0, 0] = i
        (tmp_path / path).write_bytes(encode(pixels))
    whole = (tmp_path / "4.png").read_bytes()
    (tmp_path / "4.png").write_bytes(whole[:-30])
    (tmp_path / "7.png").write_bytes(b"")
    (tmp_path / "50.png").write_bytes(b"<html>404</html>")
    (tmp_path / "9.png").unlink()
    frame["label"] = frame["label"].astype(object)
    frame.loc[12, "label"], frame.loc[13, "path"] = "  ", None
    frame.to_csv("labels.csv", index=False)
    return tmp_path


BROKEN = {"4.png", "7.png", "50.png", "9.png", "12.png", "13"}
SKIP = Settings(labels="labels.csv", strategy="blend", on_error="skip")


def cross_fitted(settings=SKIP, **more):
    job = open_job(settings, "run", quiet=True, **more)
    job = replace(job, oof_trainer=Grey())
    crossfit_labels(job)
    return job


@pytest.mark.parametrize("call", ["run", "frame"])
def test_all_that_is_broken_is_named_in_one_error(work, call):
    labels = "labels.csv" if call == "run" else pd.read_csv("labels.csv")
    with pytest.raises(InputError) as refused:
        softfold.run(labels, work / "run", images=str(work), quiet=True)
    line = str(refused.value)
    assert "6 of 60 items cannot be used" in line and "--on-error skip" in line
    for item in (
        "4.png",
        "7.png",
        "50.png",
        "9.png",
        "12.png",
        "line 15" if call == "run" else "row 13",
    ):
        assert item in line
    assert "\n" not in line and not (work / "run").exists()


def test_ten_are_named_and_all_are_counted(work):
    for i in range(20, 40):
        (work / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r": 26 of 60 items .*; and 16 more: mend") as refused:
        open_job(Settings(labels="labels.csv"), "run", quiet=True)
    assert "26.png" not in str(refused.value)


def test_what_is_left_out_is_listed_and_every_other_label_stays_with_its_image(work, capsys):
    job = open_job(SKIP, "run")
    assert "6 items cannot be used and are left out (skipped.csv)" in capsys.readouterr().err
    job = cross_fitted()
    run = Run("run")
    assert list(run.skipped) == ["item", "reason"]
    reasons = dict(run.skipped.to_numpy().tolist())
    assert set(reasons) == BROKEN
    assert reasons["12.png"] == "no label in 'label'" and reasons["9.png"] == "no such file"
    assert reasons["7.png"] == "the file is empty"
    assert reasons["50.png"] == "no image of a known format"
    items = run.items.set_index("item")
    assert len(items) == 54 and not set(items.index) & BROKEN
    assert not job.oof_trainer.seen & BROKEN
    assert not set(job.train.item) & BROKEN and len(job.plan(0).fold) == len(job.train)
    assert not set(run.oof.item) & BROKEN
    for item, given, file in zip(items.index, items["given"], items["file"], strict=True):
        level = decoding.decode(Path(file).read_bytes())[1, 1, 0]
        assert Path(file).name == item and given == CLASSES[level // 100]
    predicted = run.train["predicted"]
    assert (predicted == run.train["given"]).all()
    assert any("6 items cannot be used" in note for note in run.config["notes"])


def test_a_run_goes_on_without_the_same_items_and_refuses_others(work):
    before = cross_fitted()
    again = cross_fitted(resume=True)
    assert again.train.item.tolist() == before.train.item.tolist()
    reopened = reopen_job("run", quiet=True)
    assert reopened.table.item.tolist() == before.table.item.tolist()
    mended = encode(np.full((24, 24, 3), 100, np.uint8))
    (work / "7.png").write_bytes(mended)
    with pytest.raises(InputError, match=r"7.png, which could not be used then"):
        open_job(SKIP, "run", resume=True, quiet=True)
    (work / "7.png").write_bytes(b"")
    whole = (work / "5.png").read_bytes()
    (work / "5.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"5.png, which cannot be used now \(image file is trunc"):
        open_job(SKIP, "run", resume=True, quiet=True)
    with pytest.raises(InputError, match=r"5.png .*the run was made with them"):
        reopen_job("run", quiet=True)


def test_images_in_memory_are_left_out_too(work):
    table = softfold.read_table("labels.csv", on_error="skip")
    data = Images(encoded=[table.data[i] for i in range(len(table))])
    with pytest.raises(InputError, match="3 of 57 items cannot be used"):
        open_job(Settings(labels="t"), "run", table=replace(table, data=data, left_out=()))
    settings = Settings(labels="t", on_error="skip", strategy="blend")
    cross_fitted(settings, table=replace(table, data=data, left_out=()))
    assert set(Run("run").skipped["item"]) == {"4.png", "7.png", "50.png"}
    again = Run("run").table()
    assert len(again) == 54
    for i in range(len(again)):
        level = decoding.decode(again.data[i])[1, 1, 0]
        assert again.vocab[again.given[i]] == CLASSES[level // 100]


def test_an_item_that_people_excluded_is_no_error(work):
    labels = "labels.csv"
    (work / "50.png").write_bytes((work / "47.png").read_bytes())
    rows = [(item, "excluded", None) for item in sorted(BROKEN - {"13", "50.png"})]
    pd.DataFrame(rows, columns=["item", "state", "label"]).to_csv("decided.csv", index=False)
    with pytest.raises(InputError, match=r": 1 of \d+ items cannot be used: line 15"):
        open_job(Settings(labels=labels, decisions="decided.csv"), "run", quiet=True)
    rows = [("9.png", "confirmed", "grey"), ("5.png", "confirmed", "grey")]
    pd.DataFrame(rows, columns=["item", "state", "label"]).to_csv("decided.csv", index=False)
    job = open_job(replace(SKIP, decisions="decided.csv"), "run", quiet=True)
    table = job.table
    assert table.vocab[table.given[table.rows_of(["5.png"])[0]]] == "grey"


def test_all_broken_is_refused_in_either_way(work):
    for i in range(60):
        (work / f"{i}.png").write_bytes(b"no image")
    for on_error in ("stop", "skip"):
        with pytest.raises(InputError, match=r": 60 of 60 items cannot be used"):
            open_job(Settings(labels="labels.csv", on_error=on_error), "run", quiet=True)


@pytest.mark.parametrize("how", ["broken", "gone"])
def test_a_class_is_not_lost_without_a_word(work, how):
    for i in range(2, 45, 3):
        file = work / f"{i}.png"
        file.write_bytes(b"no image") if how == "broken" else file.unlink()
    frame = pd.read_csv("labels.csv")
    frame[~(frame["is_valid"] & (frame["label"] == "white"))].to_csv("labels.csv", index=False)
    with pytest.raises(InputError, match=r": 1 class has no training item .* is 'white' \(2.png: "):
        open_job(SKIP, "run", quiet=True)


def texts():
    words = np.array(["a good film today", "a bad film today", "an odd film today"])
    frame = pd.DataFrame({"text": [f"{words[i % 3]} number {i}" for i in range(90)]}, dtype=object)
    frame["label"] = np.array(["good", "bad", "odd"], dtype=object)[np.arange(90) % 3]
    frame["right"] = frame["label"]
    frame["is_valid"] = np.arange(90) >= 60
    frame.loc[[5, 70], "text"] = [None, "  \n "]
    frame.loc[[6, 71], "label"] = None
    return frame


@pytest.mark.filterwarnings("ignore:.*column 'right' holds the class names")
@pytest.mark.parametrize("holder", ["csv", "parquet", "frame"])
def test_empty_texts_and_rows_without_a_label(tmp_path, holder):
    pytest.importorskip("sklearn")
    frame = texts()
    labels = frame if holder == "frame" else str(tmp_path / f"texts.{holder}")
    if holder != "frame":
        getattr(frame, f"to_{holder}")(labels, index=False)
    rows = "line 8, line 74" if holder == "csv" else "row 6, row 71"  # a text has two lines
    with pytest.raises(InputError, match=rf"4 of 90 items .*{rows} \(no label in 'label'\)"):
        softfold.run(labels, tmp_path / "run", quiet=True)
    settings = {"truth": "right", "seeds": 1, "strategy": "blend", "quiet": True, "arch": LOGISTIC}
    run = softfold.run(labels, tmp_path / "run", on_error="skip", **settings)
    assert set(run.skipped["item"]) == {"5", "6", "70", "71"}
    assert len(run.items) == 86 and (run.items["given"] == run.items["truth"]).all()
    again = run.table()
    for key, text in zip(again.item, again.data["text"], strict=True):
        assert text.endswith(f"number {key}")
    assert set(run.soft_labels.item) == set(map(str, range(60))) - {"5", "6"}
    assert "4 items cannot be used and are left out" in (run.path / "report.html").read_text()
    resumed = softfold.run(labels, tmp_path / "run", on_error="skip", resume=True, **settings)
    assert resumed.metrics["soft"] == run.metrics["soft"]


def test_rows_of_a_table_keep_their_numbers(tmp_path):
    frame = pd.DataFrame({"x": range(40), "label": ["a", "b"] * 20}, dtype=object)
    frame.loc[[0, 17], "label"] = None
    table = softfold.read_table(frame, on_error="skip")
    assert [int(key) for key in table.item] == table.data["x"].tolist()
    assert [each.item for each in table.left_out] == ["0", "17"]
    both = pd.DataFrame({"x": [7, 8], "label": ["a", None]})
    table = softfold.read_table(frame, holdout=both, on_error="skip")
    assert [each.item for each in table.left_out] == ["0", "17", "holdout/1"]
    assert table.item[-1] == "holdout/0" and table.holdout.data["x"].tolist() == [7]
    with pytest.raises(InputError, match="on_error 'ignore': there are stop, skip"):
        softfold.read_table(frame, on_error="ignore")


def test_items_with_several_annotators_are_left_out_by_name(tmp_path):
    rows = []
    for i in range(60):
        text = "" if i == 8 else f"{i % 3} {i}"
        label = "" if i == 5 else "abc"[i % 3]
        rows += [(f"i{i}", text, who, label) for who in ("ann", "bob")]
    frame = pd.DataFrame(rows, columns=["item", "text", "who", "label"])
    frame.to_csv(tmp_path / "votes.csv", index=False)
    settings = Settings(labels=str(tmp_path / "votes.csv"), annotator="who", on_error="skip")
    with pytest.raises(InputError, match=r"2 of 60 items cannot be used: i5 .*; i8 \(the text"):
        open_job(replace(settings, on_error="stop"), tmp_path / "run", quiet=True)
    table = settings.read_labels(on_error="skip")
    assert [each.item for each in table.left_out] == ["i5", "i8"] and len(table) == 58
    for key, text in zip(table.item, table.data["text"], strict=True):
        assert text.endswith(f" {key[1:]}") and table.vocab[table.given[0]] == "a"


def test_the_same_on_the_command_line(work, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "labels.csv", "--out", "run", "--quiet"])
    written = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and len(written.splitlines()) == 1 and "6 of 60" in written
    with pytest.raises(SystemExit) as stop:
        main(["issues", "labels.csv", "--pred-probs", "p.npy", "--on-error", "skip"])
    assert "--on-error skip does not go with --pred-probs" in capsys.readouterr().err
    with pytest.raises(InputError, match="--on-error ignore: there are stop, skip"):
        Settings(labels="labels.csv", on_error="ignore")


def test_a_label_table_of_its_own_is_looked_at(tmp_path):
    words = pd.DataFrame({"text": [f"some words {i}" for i in range(30)]}, dtype=object)
    words.loc[3, "text"] = ""
    given, valid = np.arange(30) % 2, np.arange(30) >= 20
    item = np.array([f"t{i}" for i in range(30)], dtype=object)
    table = LabelTable(item=item, given=given, vocab=("a", "b"), valid=valid, data=words)
    with pytest.raises(InputError, match=r"1 of 30 items cannot be used: t3 \(the text is empty\)"):
        softfold.run(table, tmp_path / "run", quiet=True)
