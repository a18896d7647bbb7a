"""How tables, matrices and texts become the numbers that scikit-learn is given."""

import numpy as np
import pandas as pd
import pytest

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images

sklearn = pytest.importorskip("sklearn")
from softfold.trainers.encoding import (  # noqa: E402
    column_numbers,
    columns_by_kind,
    encoder,
    estimator_data,
    gradient_boosting,
    logistic_regression,
)

FRAME = pd.DataFrame(
    {
        "width": [1.0, np.nan, 3.0, 5.0],
        "count": pd.array([1, None, 3, 4], dtype="Int64"),
        "flag": [True, False, True, True],
        "colour": ["red", None, "blue", "red"],
        "when": pd.to_datetime(["1970-01-02", None, "1970-01-11", "1969-12-31"]),
        "empty": [None, None, None, None],
    }
)


def table_of(data, n=4):
    item = np.array([f"i{i}" for i in range(n)], dtype=object)
    return LabelTable(item, np.arange(n) % 2, ("a", "b"), np.zeros(n, bool), data=data, name="toy")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (None, "toy: the estimator needs features; the table has labels only"),
        (Images(encoded=[b""] * 4), "toy: .* for images use --trainer probe or finetune"),
        (np.zeros((4, 2, 2)), r"toy: features have shape \(4, 2, 2\); want \(N, D\)"),
        (np.zeros(4), r"toy: features have shape \(4,\)"),
    ],
)
def test_what_scikit_learn_does_not_take_is_refused_with_what_to_do(data, line):
    with pytest.raises(InputError, match=line):
        estimator_data(table_of(data))


def test_dates_become_days_and_the_table_stays_as_it_was():
    table = table_of(FRAME)
    data = estimator_data(table)
    np.testing.assert_array_equal(data["when"], [1, np.nan, 10, -1])
    assert str(table.data["when"].dtype).startswith("datetime64")


def test_columns_have_names_of_text_and_a_matrix_is_given_as_it_is():
    assert list(estimator_data(table_of(FRAME.set_axis(range(6), axis=1)))) == list("012345")
    features = np.eye(4)
    assert estimator_data(table_of(features)) is features


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
def test_a_moment_is_the_same_day_in_every_zone(zone):
    values = pd.Series(pd.to_datetime(["1970-01-01 12:00", None]))
    values = values if zone is None else values.dt.tz_localize("UTC").dt.tz_convert(zone)
    np.testing.assert_array_equal(column_numbers(values, "toy"), [0.5, np.nan])


def test_a_word_among_numbers_is_named_with_its_column():
    values = pd.Series(["1", None, "two", "3"], name="width")
    with pytest.raises(InputError, match=r"toy: column 'width' held numbers .* and now 'two'"):
        column_numbers(values, "toy")
    assert column_numbers(values.drop(2), "toy").tolist()[::2] == [1.0, 3.0]


def test_columns_are_numbers_or_categories_and_empty_ones_are_left_out():
    numbers, categories, _ = columns_by_kind(estimator_data(table_of(FRAME)))
    assert numbers == ["width", "count", "flag", "when"] and categories == ["colour"]


def test_an_encoded_table_is_a_scaled_matrix_without_gaps():
    data = estimator_data(table_of(FRAME))
    fitted = encoder(data).fit(data)
    made = fitted.transform(data)
    assert made.shape == (4, 4 + 3) and np.isfinite(made).all()  # red, blue and missing
    np.testing.assert_allclose(made[:, :4].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(np.sort(made[:, 4:], axis=1), [[0, 0, 1]] * 4)
    strange = data.assign(colour="mauve", width=np.nan)
    assert np.isfinite(fitted.transform(strange)).all()


def test_an_encoded_matrix_has_its_gaps_filled_and_keeps_every_column():
    features = np.array([[1.0, np.nan, 5], [3.0, np.nan, 5], [np.nan, np.nan, 5], [8.0, np.nan, 5]])
    made = encoder(features).fit_transform(features)
    assert made.shape == features.shape and np.isfinite(made).all()
    np.testing.assert_allclose(made.std(axis=0), [1, 0, 0])


def test_texts_become_words_and_a_missing_one_has_none():
    frame = pd.DataFrame({"text": ["a good film", "a bad film", None, "a good day"]})
    made = np.asarray(encoder(frame).fit_transform(frame))
    assert made.shape[0] == 4 and (made[2] == 0).all()
    assert made[0] @ made[3] > made[1] @ made[3]


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (gradient_boosting, FRAME),
        (gradient_boosting, np.eye(4)),
        (lambda data: logistic_regression(data, 1.0), FRAME),
        (lambda data: logistic_regression(data, 1.0), np.eye(4)),
        (lambda data: logistic_regression(data, 1.0), pd.DataFrame({"text": ["two words"] * 4})),
    ],
    ids=["boosting, table", "boosting, matrix", "table", "matrix", "text"],
)
def test_a_classifier_takes_its_kind_of_data(make, data):
    data = estimator_data(table_of(data))
    classifier = make(data).fit(data, [0, 1, 0, 1])
    assert classifier.predict_proba(data).shape == (4, 2)


def test_a_table_in_another_order_of_rows_is_encoded_row_by_row():
    data = estimator_data(table_of(FRAME))
    turned = estimator_data(table_of(FRAME).take(np.array([3, 2, 1, 0])))
    fitted = encoder(data).fit(data)
    np.testing.assert_array_equal(fitted.transform(turned), fitted.transform(data)[::-1])
