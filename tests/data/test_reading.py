"""Reading: what is read is what was written, row by row, in whatever form it came."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from softfold.align import sort_names
from softfold.data.delimited import csv_text
from softfold.data.folds import plan_folds
from softfold.data.reading import read_table
from softfold.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Six files, each of which holds its own name."""
    for part, names in (("train", ("cat", "dog")), ("valid", ("cat", "dog"))):
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(2 if part == "train" else 1):
                path = f"{part}/{name}/{i}.jpg"
                (tmp_path / path).write_bytes(path.encode())
    return tmp_path


def frame_of(folder):
    paths = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.jpg"))
    return pd.DataFrame(
        {
            "path": paths,
            "label": [Path(p).parts[1] for p in paths],
            "is_valid": [p.startswith("valid") for p in paths],
        }
    )


def in_place(table):
    """Whether every item's key, label, split and content belong together."""
    for i, key in enumerate(table.item):
        content = table.data[i].decode()
        assert content.endswith(key) or key.isdigit()
        assert content.split("/")[1] == table.vocab[table.given[i]]
        assert content.startswith("valid") == table.valid[i]
    return True


@pytest.mark.parametrize("form", ["folder", "csv", "tsv", "parquet", "bytes", "frame", "images"])
def test_every_form_gives_the_same_table(folder, form, tmp_path_factory):
    frame = frame_of(folder).sample(frac=1, random_state=0)
    elsewhere = tmp_path_factory.mktemp("tables")
    if form == "folder":
        table = read_table(folder)
    elif form == "csv":
        frame.to_csv(folder / "labels.csv", index=False)
        table = read_table(folder / "labels.csv")
    elif form == "tsv":
        frame.to_csv(folder / "labels.tsv", index=False, sep="\t")
        table = read_table(folder / "labels.tsv")
    elif form == "parquet":
        frame.to_parquet(elsewhere / "labels.parquet")
        table = read_table(elsewhere / "labels.parquet", images=folder)
    elif form == "bytes":
        encoded = frame.assign(image=[(folder / p).read_bytes() for p in frame["path"]])
        encoded.drop(columns="path").to_parquet(elsewhere / "labels.parquet")
        table = read_table(elsewhere / "labels.parquet")
    elif form == "frame":
        table = read_table(frame, images=folder)
    else:
        frame.to_csv(elsewhere / "labels.csv", index=False)
        table = read_table(elsewhere / "labels.csv", images=folder)
    assert table.vocab == ("cat", "dog") and len(table) == 6 and table.kind == "image"
    assert in_place(table) and in_place(table.train) and in_place(table.holdout)
    assert len(table.train) == 4 and len(table.holdout) == 2


def test_vocabulary_does_not_depend_on_the_order_of_rows():
    frame = pd.DataFrame({"x": range(30), "label": [str(i % 11) for i in range(30)]})
    one = read_table(frame)
    other = read_table(frame.sample(frac=1, random_state=1))
    assert one.vocab == other.vocab == tuple(str(i) for i in range(11))
    assert sort_names(["b", "a", "10"]) == ("10", "a", "b")
    odd = ["01", "1", "001", "--1", "²"]
    assert sort_names(odd) == sort_names(odd[::-1]) and len(sort_names(odd)) == 5
    assert sort_names(["10", "01", "1", "001"]) == ("001", "01", "1", "10")


def test_labels_that_are_numbers_are_names():
    for labels in ([0, 1, 2], [0.0, 1.0, 2.0], ["0", "1", "2"], [True, False, True]):
        table = read_table(pd.DataFrame({"x": [1, 2, 3], "label": labels}))
        assert all(isinstance(name, str) and "." not in name for name in table.vocab)
        assert [table.vocab[k] for k in table.given] == [str(v).removesuffix(".0") for v in labels]


@pytest.mark.parametrize(
    ("values", "valid"),
    [
        ([True, False, False], [1, 0, 0]),
        ([1, 0, 0], [1, 0, 0]),
        (["valid", "train", "train"], [1, 0, 0]),
        (["TEST", "Train", "train "], [1, 0, 0]),
        (["True", "False", "False"], [1, 0, 0]),
    ],
)
def test_splits_by_flag_and_by_name(values, valid):
    frame = pd.DataFrame({"x": [1, 2, 3], "label": ["a", "a", "b"], "split": values})
    assert read_table(frame).valid.tolist() == [bool(v) for v in valid]


def test_truth_is_known_where_it_is_written():
    frame = pd.DataFrame({"x": range(4), "label": list("abab"), "right": ["a", None, "b", "b"]})
    table = read_table(frame, truth="right")
    assert table.truth.tolist() == [0, -1, 1, 1] and list(table.data) == ["x"]


def test_items_without_a_group_are_alone():
    frame = pd.DataFrame({"x": range(4), "label": list("abab"), "who": ["p", None, "p", None]})
    table = read_table(frame, group="who")
    assert table.group[0] == table.group[2] and len(set(table.group)) == 3


def test_holdout_of_its_own_file(folder):
    frame = frame_of(folder)
    train, holdout = frame[~frame["is_valid"]], frame[frame["is_valid"]]
    holdout = holdout.rename(columns={"label": "checked"}).drop(columns="is_valid")
    train.drop(columns="is_valid").to_csv(folder / "train.csv", index=False)
    holdout.to_csv(folder / "holdout.csv", index=False)
    table = read_table(
        folder / "train.csv", holdout=folder / "holdout.csv", holdout_label="checked"
    )
    assert in_place(table) and table.valid.sum() == 2


def test_tabular_holdout_keeps_columns_by_name():
    train = pd.DataFrame({"x": [1, 2, 3], "y": [10, 20, 30], "label": list("aab")})
    other = pd.DataFrame({"y": [40], "label": ["b"], "x": [4]})
    table = read_table(train, holdout=other)
    assert table.data["x"].tolist() == [1, 2, 3, 4] and table.data["y"].tolist() == [10, 20, 30, 40]
    assert len(set(table.item)) == 4


def test_repeated_rows_are_kept_once_and_said(folder):
    frame = frame_of(folder)
    with pytest.warns(UserWarning, match="2 rows repeat a path with the same label"):
        table = read_table(pd.concat([frame, frame.iloc[:2]]), images=folder)
    assert len(table) == 6 and in_place(table)


def test_other_noisy_labels_are_no_features():
    frame = pd.DataFrame({"x": range(4), "noisy_labels_0": list("abab")})
    frame["noisy_labels_50"] = list("aabb")
    table = read_table(frame, label="noisy_labels_50")
    assert list(table.data) == ["x"]


def test_a_second_column_of_labels_is_no_feature():
    frame = pd.DataFrame({"x": range(4), "first": list("abab"), "second": list("aabb")})
    with pytest.warns(UserWarning, match="column 'first' holds the class names"):
        table = read_table(frame, label="second")
    assert list(table.data) == ["x"]


def test_texts_are_known_by_their_blanks():
    texts = pd.DataFrame({"text": ["good film", "bad film", "so so"], "label": list("aba")})
    assert read_table(texts).kind == "text"
    words = pd.DataFrame({"word": ["good", "bad", "soso"], "label": list("aba")})
    assert read_table(words).kind == "table"


@pytest.mark.parametrize("key", [[f"doc-{i:05d}" for i in range(30)], list(range(30))])
def test_a_column_that_names_the_rows_is_no_feature_and_is_said(key):
    texts = [f"a film of {i} hours" for i in range(30)]
    frame = pd.DataFrame({"id": key, "text": texts, "label": list("abc") * 10})
    with pytest.warns(UserWarning, match="'id': a value of its own in every row.*--item id"):
        table = read_table(
            frame, holdout=frame.assign(id="new", text="another text"), label="label"
        )
    assert table.kind == "text" and list(table.data) == ["text"]


WRITTEN = ["01", "1", "001", "1e5", "12e45", "true", "NA", "None", "null", " cat", "cat", "Cat"]


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "frame", "categories"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_labels_are_text_as_written_in_every_form(form, tmp_path):
    frame = pd.DataFrame({"x": range(24), "label": WRITTEN * 2, "right": [*WRITTEN, *[None] * 12]})
    if form in ("csv", "tsv"):
        frame.to_csv(tmp_path / f"l.{form}", index=False, sep="," if form == "csv" else "\t")
        table = read_table(tmp_path / f"l.{form}", truth="right")
    elif form == "parquet":
        frame.to_parquet(tmp_path / "l.parquet")
        table = read_table(tmp_path / "l.parquet", truth="right")
    elif form == "frame":
        table = read_table(frame, truth="right")
    else:
        table = read_table(frame.astype({"label": "category"}), truth="right")
    assert [table.vocab[k] for k in table.given] == WRITTEN * 2
    assert [table.vocab[k] for k in table.truth[:12]] == WRITTEN
    assert (table.truth[12:] == -1).all()
    assert table.data["x"].tolist() == list(range(24))


def test_no_two_values_become_one_class():
    floats = pd.DataFrame({"x": range(4), "label": [1.0, 12e45, np.nan, 1.0], "y": 0})
    with pytest.raises(InputError, match=r"1 of 4 items .* row 2 \(no label in 'label'\)"):
        read_table(floats)
    whole = read_table(floats.dropna())
    assert whole.vocab == ("1", str(int(12e45)))
    for mixed in ([1, "1", 2], [b"a", "a", "b"], [True, "True", "b"]):
        frame = pd.DataFrame({"x": range(3), "label": pd.Series(mixed, dtype=object)})
        with pytest.raises(InputError, match="which are written the same"):
            read_table(frame)


def test_look_alike_labels_are_reported_with_counts():
    labels = ["cat"] * 5 + ["Cat"] * 2 + [" cat"] + ["сat"] + ["dog"] * 3 + ["NA"] * 2
    frame = pd.DataFrame({"x": range(14), "label": labels})
    with pytest.warns(UserWarning) as warned:
        table = read_table(frame)
    lines = [str(w.message) for w in warned]
    assert table.n_classes == 6
    assert "'cat' (5), 'Cat' (2), ' cat' (1), 'сat' with U+0441 (1)" in lines[0]
    assert "'NA' (2): taken for the name of a class" in lines[1]


def test_columns_of_numbers_are_numbers_and_all_others_stay_as_written(tmp_path):
    text = (
        "label;whole;comma;gaps;zip;flag;mixed\n"
        "a;1;0,5;1;01;true;1\n"
        "b;2;1,25;NA;2a;false;NA\n"
        "a;3;2;;b3;true;x\n"
    )
    (tmp_path / "l.csv").write_text(text)
    data = read_table(tmp_path / "l.csv").data
    assert data["whole"].tolist() == [1, 2, 3] and data["comma"].tolist() == [0.5, 1.25, 2]
    assert data["gaps"].isna().tolist() == [False, True, True]
    assert data["zip"].tolist() == ["01", "2a", "b3"] and data["flag"].tolist() == [1, 0, 1]
    assert data["mixed"].tolist() == ["1", "NA", "x"]


def test_a_holdout_file_is_read_as_the_training_file_is(tmp_path):
    (tmp_path / "t.csv").write_text("label,code,x\na,007,1\nb,x1,2\na,x2,NA\n")
    (tmp_path / "h.csv").write_text("label,code,x\na,007,1\nb,012,2\n")
    table = read_table(tmp_path / "t.csv", holdout=tmp_path / "h.csv")
    assert table.holdout.data["code"].tolist() == ["007", "012"]
    (tmp_path / "h.csv").write_text("label,code,x\na,007,1\nb,012,two\n")
    with pytest.raises(InputError, match="'x' holds numbers in training, and 'two' in line 3"):
        read_table(tmp_path / "t.csv", holdout=tmp_path / "h.csv")


def test_two_columns_of_a_name_are_refused():
    frame = pd.DataFrame([[1, "a", 2]] * 3, columns=["x", "label", "x"])
    with pytest.raises(InputError, match="1 name is that of several columns; the first is 'x'"):
        read_table(frame)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(InputError, match="no regular file"):
        read_table(tmp_path / "labels.csv")


def test_links_to_files_are_read_and_links_to_folders_are_said(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "album").mkdir()
    (outside / "far.jpg").write_bytes(b"train/cat/link.jpg")
    (outside / "album" / "1.jpg").write_bytes(b"train/cow/1.jpg")
    try:
        (folder / "train/cat/link.jpg").symlink_to(outside / "far.jpg")
    except OSError:
        pytest.skip("no links here")
    (folder / "train/cat/gone.jpg").symlink_to(outside / "nothing.jpg")
    (folder / "train/cow").symlink_to(outside / "album")
    (folder / "train/cat/round").symlink_to(folder)
    (folder / "train/dog/.link").symlink_to(folder)
    with pytest.warns(UserWarning) as warned:
        table = read_table(folder)
    assert len(table) == 7 and in_place(table) and "train/cat/link.jpg" in table.item
    assert str(warned[0].message) == (
        f"{folder}: 4 files were left out: 2 linked to a folder, 1 linked to nothing, 1 hidden"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_in_a_folder_is_said_and_never_opened(folder):
    os.mkfifo(folder / "train/cat/pipe.jpg")
    with pytest.warns(UserWarning, match="1 file was left out: 1 no regular file"):
        assert len(read_table(folder)) == 6
    frame = frame_of(folder)
    assert "train/cat/pipe.jpg" in frame["path"].tolist()
    with pytest.raises(InputError, match=r"train/cat/pipe.jpg \(no regular file\)"):
        read_table(frame, images=folder)


def test_a_folder_that_cannot_be_read_is_named(folder, monkeypatch):
    read = os.scandir

    def denied(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"dog: the folder cannot be read: Permission denied"):
        read_table(folder)


@pytest.mark.parametrize(
    "name",
    [
        "new\nline",
        "com,ma",
        'quo"te',
        "semi;colon",
        " blank ",
        "=1+1",
        "a\rb",
        "'a",
        "1",
        "ü\u0301",
    ],
)
def test_odd_names_of_files_and_classes_stay_as_they_are(folder, name):
    if os.name == "nt":
        pytest.skip("not names of files here")
    for part in ("train", "valid"):
        key = f"{part}/{name}/{name}.jpg"
        (folder / part / name).mkdir()
        (folder / key).write_bytes(key.encode())
    table = read_table(folder)
    assert in_place(table) and name in table.vocab and f"train/{name}/{name}.jpg" in table.item
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        stream.write(csv_text(frame_of(folder)))
    assert read_table(folder / "labels.csv").item.tolist() == frame_of(folder)["path"].tolist()


def test_a_path_that_is_longer_than_any_name_is_one_broken_row(folder):
    frame = frame_of(folder)
    frame.loc[0, "path"] = "x" * 1000 + ".jpg"
    with pytest.raises(InputError, match=r": 1 of 6 items .*…x+\.jpg \(") as refused:
        read_table(frame, images=folder)
    assert len(str(refused.value)) < 700
    assert len(read_table(frame, images=folder, on_error="skip")) == 5


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"valid": [["a"], [0], [0]]}, r"holds list in row 0 \(counted from 0\), not names"),
        (
            {"image": [b"1", 2**62, "x"]},
            r"holds encoded images and, in row 1 \(counted.*, int",
        ),
    ],
)
def test_columns_of_objects_that_say_nothing_are_refused(columns, line):
    frame = pd.DataFrame({"x": [1, 2, 3], "label": ["a", "b", "a"], **columns})
    with pytest.raises(InputError, match=line):
        read_table(frame, check_files=False)


def test_a_column_without_a_name_and_one_of_bytes_are_features():
    raw, label = [b"\xff", b"1", b"2"], ["a", "b", "a"]
    frame = pd.DataFrame({None: [1, 2, 3], "raw": raw, "label": label}, dtype=object)
    assert read_table(frame).frame["raw"].tolist() == raw
    assert read_table(frame.drop(columns="raw")).frame.shape == (3, 1)
    many = [b"\xff a b c %d" % i for i in range(12)]
    texts = read_table(pd.DataFrame({"raw": many, "label": label * 4}))
    assert plan_folds(texts, 2).fold.shape == (12, 1)
    assert texts.fingerprint != texts.take(np.arange(11)).fingerprint


def test_text_of_a_parquet_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "labels.parquet"
    label = pa.array(["cat", "dog"] * 3)
    buffers = [
        None,
        label.buffers()[1],
        pa.py_buffer(b"\xff" + label.buffers()[2].to_pybytes()[1:]),
    ]
    broken = pa.Array.from_buffers(pa.string(), 6, buffers)
    pq.write_table(pa.table({"x": range(6), "label": broken}), file)
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_table(file)


ROWS = pd.DataFrame({"x": [1.5, 2.5, 3.5, 4.5], "label": ["cat", "dog", "cat", "dog"]})


def test_rows_are_known_by_a_column_item_a_frames_index_or_their_number(tmp_path):
    assert list(read_table(ROWS).item) == ["0", "1", "2", "3"]
    assert list(read_table(ROWS.iloc[[2, 0, 3, 1]]).item) == ["2", "0", "3", "1"]
    named = ROWS.assign(item=["d", "c", "b", "a"])
    for table in (read_table(named), read_table(named.iloc[::-1]).take([3, 2, 1, 0])):
        assert list(table.item) == ["d", "c", "b", "a"]
        assert list(table.frame.columns) == ["x"]
    named.rename(columns={"item": "id"}).to_csv(tmp_path / "t.csv", index=False)
    assert list(read_table(tmp_path / "t.csv", item="id").item) == ["d", "c", "b", "a"]
    assert "id" in read_table(tmp_path / "t.csv").frame


def test_a_column_item_that_tells_no_rows_apart_is_a_feature():
    with pytest.warns(UserWarning, match="do not tell the rows apart"):
        table = read_table(ROWS.assign(item=["a", "a", "b", "b"]))
    assert list(table.item) == ["0", "1", "2", "3"] and "item" in table.frame
    texts = read_table(pd.DataFrame({"item": ["one two", "three four"], "label": ["a", "b"]}))
    assert texts.kind == "text"  # all that there is


def test_item_keys_that_were_asked_for_must_tell_the_rows_apart():
    for values, what in ((["a", "b", "a", "c"], "there before"), (["a", None, "b", "c"], "empty")):
        with pytest.raises(InputError, match=rf"--item key: 1 name {what}; the first is .* in row"):
            read_table(ROWS.assign(key=values), item="key")
    with pytest.raises(InputError, match="no column 'key'"):
        read_table(ROWS, item="key")


def test_infinite_numbers_are_said(tmp_path):
    (tmp_path / "t.csv").write_text("x,label\n1,a\n1e400,b\ninf,a\n2,b\n")
    with pytest.warns(
        UserWarning, match="'x' is infinite in 2 cells; the first is '1e400' in line 3"
    ):
        read_table(tmp_path / "t.csv")


def test_a_column_item_beside_paths_is_nothing_to_warn_about():
    frame = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "item": ["x", "x"], "label": ["c", "d"]})
    assert list(read_table(frame, check_files=False).item) == ["a.jpg", "b.jpg"]
