"""Label tables: what is read is what was written, row by row, in whatever form it came."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.errors import InputError
from softfold.labels import Images, LabelTable, read_table, sort_names


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


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_parts_and_parts_of_parts_stay_aligned(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    encoded = [str(i).encode() for i in range(n)]
    forms = [
        Images(encoded=encoded),
        pd.DataFrame({"x": range(n)}, index=rng.permutation(n)),
        np.arange(n)[:, None],
    ]
    for data in forms:
        table = LabelTable(
            item=np.array([str(i) for i in range(n)], dtype=object),
            given=np.arange(n),
            vocab=tuple(str(i) for i in range(n)),
            valid=rng.random(n) < 0.3,
            truth=np.arange(n),
            group=np.array([str(i) for i in range(n)], dtype=object),
            data=data,
        )
        for part in (table.train, table.holdout, table.take(rng.permutation(n)).train):
            part = part.take(rng.random(len(part)) < 0.7)
            for i, key in enumerate(part.item):
                row = int(key)
                assert part.given[i] == part.truth[i] == row and part.group[i] == key
                if isinstance(part.data, Images):
                    assert part.data[i] == key.encode()
                else:
                    value = part.data.iloc[i, 0] if hasattr(part.data, "iloc") else part.data[i, 0]
                    assert value == row


def test_vocabulary_does_not_depend_on_the_order_of_rows():
    frame = pd.DataFrame({"x": range(30), "label": [str(i % 11) for i in range(30)]})
    one = read_table(frame)
    other = read_table(frame.sample(frac=1, random_state=1))
    assert one.vocab == other.vocab == tuple(str(i) for i in range(11))
    assert sort_names(["b", "a", "10"]) == ("10", "a", "b")


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


def test_keys_are_unique_and_lengths_agree():
    keys = np.array(["a", "a"], dtype=object)
    with pytest.raises(InputError, match="keys must be unique; 'a' is repeated"):
        LabelTable(item=keys, given=np.zeros(2, int), vocab=("x",), valid=np.zeros(2, bool))
    with pytest.raises(InputError, match="given has 3 rows, item has 2"):
        LabelTable(item=keys, given=np.zeros(3, int), vocab=("x",), valid=np.zeros(2, bool))


def test_rows_by_key_name_the_key_that_is_not_there():
    table = read_table(pd.DataFrame({"x": range(3), "label": list("aab")}))
    assert table.rows_of(["2", "0"]).tolist() == [2, 0]
    with pytest.raises(InputError, match="1 item of 2 not in the table; the first is '9'"):
        table.rows_of(["0", "9"])


def test_texts_are_known_by_their_blanks():
    texts = pd.DataFrame({"text": ["good film", "bad film", "so so"], "label": list("aba")})
    assert read_table(texts).kind == "text"
    words = pd.DataFrame({"word": ["good", "bad", "soso"], "label": list("aba")})
    assert read_table(words).kind == "table"


def test_fingerprint_changes_with_the_items_not_with_the_labels(folder):
    frame = pd.DataFrame({"x": [1.0, 2.0, None], "w": ["u", None, "v"], "label": list("aab")})
    one = read_table(frame)
    assert one.fingerprint == read_table(frame.assign(label=list("abb"))).fingerprint
    assert one.fingerprint != read_table(frame.assign(x=[1.0, 2.5, None])).fingerprint
    assert one.fingerprint != read_table(frame.assign(w=["u", "c", "v"])).fingerprint
    images = read_table(folder)
    before = images.fingerprint
    assert before == read_table(folder).fingerprint
    (folder / "train/cat/0.jpg").write_bytes(b"another picture")
    assert images.fingerprint != before
