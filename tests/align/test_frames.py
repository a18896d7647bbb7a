"""Tables of polars, datasets and Arrow stand where a data frame of pandas does."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import softfold
from softfold.align import as_frame
from softfold.data.item_features import as_item_features
from softfold.errors import InputError

N = 30
NAMES = ["so-so", "neg", "pos"]
FRAME = pd.DataFrame(
    {
        "item": [f"t{i}" for i in range(N)],
        "text": [f"this is text number {i}" for i in range(N)],
        "label": [NAMES[k] for k in np.random.default_rng(1).integers(0, 3, N)],
    }
)


def polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


def hugging_face(frame):
    """A Dataset whose labels are numbers of classes, in an order of its own."""
    datasets = pytest.importorskip("datasets")
    features = {name: datasets.Value("string") for name in frame.columns}
    features["label"] = datasets.ClassLabel(names=NAMES)
    columns = frame.to_dict("list")
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def predictions():
    """float64 (N, 3) with the keys of the rows and the names of the classes."""
    p = np.random.default_rng(0).dirichlet([1, 1, 1], N)
    return pd.DataFrame(p, index=FRAME["item"], columns=NAMES)


@pytest.mark.parametrize("kind", [polars, arrow, hugging_face])
def test_a_label_table_is_that_of_the_same_data_frame(kind):
    made, want = softfold.read_table(kind(FRAME)), softfold.read_table(FRAME)
    assert made.item.tolist() == want.item.tolist() == FRAME["item"].tolist()
    assert made.vocab == want.vocab == ("neg", "pos", "so-so")
    assert made.given.tolist() == want.given.tolist()
    holdout = FRAME.assign(item=[f"v{i}" for i in range(N)], text=[f"new {i}" for i in range(N)])
    both = softfold.read_table(kind(FRAME), holdout=kind(holdout))
    assert both.valid.sum() == N
    want = softfold.soften(want, predictions(), "blend")
    np.testing.assert_array_equal(softfold.soften(made, predictions(), "blend"), want)


@pytest.mark.parametrize("kind", [polars, arrow])
def test_predictions_are_found_by_the_column_item_and_by_the_names_of_classes(kind):
    table, p = softfold.read_table(FRAME), predictions()
    moved = p.sample(frac=1, random_state=0)[["pos", "so-so", "neg"]]
    made = softfold.rank_issues(table, kind(moved.reset_index()))
    pd.testing.assert_frame_equal(made, softfold.rank_issues(table, p))
    # without keys rows go by position, and columns still by name
    made = softfold.rank_issues(table, kind(p[["pos", "so-so", "neg"]].reset_index(drop=True)))
    pd.testing.assert_frame_equal(made, softfold.rank_issues(table, p))
    with pytest.raises(InputError, match="lack 'pos'"):
        softfold.soften(table, kind(p[["neg", "so-so"]].reset_index()))
    with pytest.raises(InputError, match=r"give softfold.read_table\(frame\)"):
        softfold.rank_issues(kind(FRAME), p)


@pytest.mark.parametrize("kind", [polars, arrow])
def test_features_are_found_by_the_column_item(kind):
    p = predictions()
    features = as_item_features(kind(p.sample(frac=1, random_state=0).reset_index()))
    np.testing.assert_allclose(np.asarray(features.of(FRAME["item"].to_numpy())), p, rtol=1e-6)


@pytest.mark.parametrize("kind", [polars, hugging_face])
def test_a_column_of_labels_is_labels(kind):
    p = predictions()
    made = softfold.soften(kind(FRAME)["label"], p.to_numpy(), "blend", vocab=NAMES)
    want = softfold.soften(FRAME["label"].tolist(), p.to_numpy(), "blend", vocab=NAMES)
    np.testing.assert_array_equal(made, want)


def test_each_item_of_a_dataset_gets_its_own_soft_target():
    """The dataset numbers its classes in another order than the table does, and is shuffled."""
    torch = pytest.importorskip("softfold.torch")
    data, p = hugging_face(FRAME), predictions()
    soft = softfold.soften(softfold.read_table(data), p, "blend")
    want = 0.7 * np.eye(3)[data["label"]] + 0.3 * p.to_numpy()
    shuffled = data.shuffle(seed=0)
    for part in (shuffled, shuffled.with_format("torch")):
        ready = torch.with_soft_targets(part, soft, items=shuffled["item"])
        for row in ready:
            i = int(row["item"].removeprefix("t"))
            assert row["text"] == FRAME["text"][i]
            np.testing.assert_allclose(row["label"], want[i], atol=1e-6)
    table = torch.label_table(data)
    assert table.vocab == tuple(NAMES) and table.given.tolist() == data["label"]
    by_row = softfold.soften(softfold.read_table(data.remove_columns("item")), p.to_numpy(), "gate")
    assert len(torch.with_soft_targets(data, by_row)) == N


@pytest.mark.parametrize("kind", [polars, arrow, pd.DataFrame])
def test_a_frame_is_no_torch_dataset(kind):
    torch = pytest.importorskip("softfold.torch")
    with pytest.raises(InputError, match=r"is a table.*Dataset.from_pandas\(frame\)"):
        torch.with_soft_targets(kind(FRAME), np.full((N, 3), 1 / 3))


@pytest.mark.parametrize("files", [False, True])
def test_images_of_a_dataset_are_read_encoded_or_as_files(files, tmp_path):
    datasets = pytest.importorskip("datasets")
    shades = [Image.new("RGB", (4, 4), (i, 0, 255 - i)) for i in range(N)]
    for i, shade in enumerate(shades):
        shade.save(tmp_path / f"{i}.png")
    label = [i % 2 for i in range(N)]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["b", "a"])}
    paths = [str(tmp_path / f"{i}.png") for i in range(N)]
    columns = {"image": paths if files else shades, "label": label}
    data = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    table = softfold.read_table(data)
    assert table.item.tolist() == (paths if files else [str(i) for i in range(N)])
    assert [table.vocab[k] for k in table.given] == ["ba"[k] for k in label]
    assert Image.open(io.BytesIO(table.data[7])).getpixel((0, 0)) == (7, 0, 248)


def test_missing_labels_of_a_dataset_are_missing():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"label": datasets.ClassLabel(names=NAMES)})
    data = datasets.Dataset.from_dict({"label": [1, -1, None, 0]}, features=features)
    made = as_frame(data)["label"]
    assert made[[0, 3]].tolist() == ["neg", "so-so"] and made[[1, 2]].isna().all()


def test_what_is_no_single_table_says_what_to_do():
    datasets = pytest.importorskip("datasets")
    data = hugging_face(FRAME)
    with pytest.raises(InputError, match=r"DatasetDict of datasets .* such as data\['train'\]"):
        softfold.read_table(datasets.DatasetDict(train=data))
    with pytest.raises(InputError, match="without streaming=True"):
        softfold.read_table(data.to_iterable_dataset())
    with pytest.raises(InputError, match="list is no label table"):
        softfold.read_table([1, 2])


def test_a_lazy_frame_is_to_be_collected():
    with pytest.raises(InputError, match=r"LazyFrame of polars is no table: collect\(\)"):
        softfold.read_table(polars(FRAME).lazy())


def test_class_numbers_in_lists_become_names():
    datasets = pytest.importorskip("datasets")
    kind = datasets.ClassLabel(names=["sky", "sea", "boat"])
    for features in (datasets.Sequence(kind), [kind]):
        data = datasets.Dataset.from_dict(
            {"x": [0.5, 1.5, 2.5], "labels": [[1, 0], [2], []]},
            features=datasets.Features({"x": datasets.Value("float64"), "labels": features}),
        )
        assert [*as_frame(data)["labels"]] == [["sea", "sky"], ["boat"], []]
