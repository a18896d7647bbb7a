"""Label tables: parts stay aligned row by row, keys are unique, content has a fingerprint."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.crossfit.plain import cross_fit
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.notebook import show_issues
from softfold.pixels.images import Images


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


def test_keys_are_unique_and_lengths_agree():
    keys = np.array(["a", "a"], dtype=object)
    with pytest.raises(InputError, match="keys must be unique; 'a' is repeated"):
        LabelTable(item=keys, given=np.zeros(2, int), vocab=("x",), valid=np.zeros(2, bool))
    with pytest.raises(InputError, match="given has 3 rows, item has 2"):
        LabelTable(item=keys, given=np.zeros(3, int), vocab=("x",), valid=np.zeros(2, bool))


@pytest.mark.parametrize("other", ["dogs", Path("dogs"), pd.DataFrame({"label": ["a"]})])
@pytest.mark.parametrize(
    "use", [cross_fit, noise_aware_cross_fit, lambda table: show_issues(table, pd.DataFrame())]
)
def test_what_is_no_label_table_is_refused_with_what_makes_one(use, other):
    with pytest.raises(InputError, match=r"table is .*no label table: softfold\.read_table makes"):
        use(other)


def test_rows_by_key_name_the_key_that_is_not_there():
    table = read_table(pd.DataFrame({"x": range(3), "label": list("aab")}))
    assert table.rows_of(["2", "0"]).tolist() == [2, 0]
    with pytest.raises(InputError, match="1 item of 2 not in the table; the first is '9'"):
        table.rows_of(["0", "9"])


def test_fingerprint_changes_with_the_items_not_with_the_labels(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0, None], "w": ["u", None, "v"], "label": list("aab")})
    one = read_table(frame)
    assert one.fingerprint == read_table(frame.assign(label=list("abb"))).fingerprint
    assert one.fingerprint != read_table(frame.assign(x=[1.0, 2.5, None])).fingerprint
    assert one.fingerprint != read_table(frame.assign(w=["u", "c", "v"])).fingerprint
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes(b"a picture")
    images = read_table(tmp_path)
    before = images.fingerprint
    assert before == read_table(tmp_path).fingerprint
    (tmp_path / "cat/0.jpg").write_bytes(b"another picture")
    assert images.fingerprint != before
