"""Predictions are averaged item by item and class by class, whatever their order."""

import numpy as np
import pandas as pd
import pytest

from softfold import average_predictions
from softfold.crossfit.oof import OutOfFold
from softfold.errors import InputError

ONE = pd.DataFrame([[0.9, 0.1, 0], [0.2, 0.2, 0.6]], index=["x", "y"], columns=["a", "b", "c"])


def test_rows_and_columns_are_found_by_name_in_any_order():
    two = pd.DataFrame([[0, 1, 0], [1, 0, 0.0]], index=["y", "x"], columns=["b", "c", "a"])
    mean = average_predictions(ONE, two, weights=[3, 1])
    assert mean.index.tolist() == ["x", "y"] and list(mean.columns) == ["a", "b", "c"]
    expected = [[0.675, 0.325, 0], [0.15, 0.15, 0.7]]
    np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_frames_of_predict_and_out_of_fold_predictions_are_matched_by_item():
    predicted = ONE.iloc[::-1].rename_axis("item").reset_index()
    predicted.insert(1, "predicted", ["c", "a"])
    predicted.insert(2, "confidence", [0.6, 0.9])
    probabilities = np.array([[0.5, 0.5, 0], [0, 0, 1]], np.float32)
    item, fold = np.array(["x", "y"], object), np.zeros((2, 1), np.int16)
    mean = average_predictions(predicted, OutOfFold(item, probabilities, fold, ("a", "b", "c")))
    assert mean.index.tolist() == ["y", "x"]
    np.testing.assert_allclose(mean.loc["x"], [0.7, 0.3, 0], atol=1e-6)


def test_matrices_without_keys_go_by_position():
    one, two = np.eye(2), np.full((2, 2), 0.5)
    mean = average_predictions(one, two)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, [[0.75, 0.25], [0.25, 0.75]])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (ONE.set_axis(["x", "z"]), "1 item of 2 not among model 2's predictions; the first is 'y'"),
        (ONE.set_axis(["a", "b", "d"], axis=1), "model 2's predictions lack 'c'"),
        (
            pd.concat([ONE, ONE.set_axis(["u", "v"])]),
            "model 2's predictions: 2 items more than the first",
        ),
        (ONE.to_numpy(), "model 2's predictions: the first have keys of items and have none"),
        (ONE + 1, "model 2's predictions: 2 of 2 rows are no probabilities"),
    ],
)
def test_what_does_not_match_is_named(other, said):
    with pytest.raises(InputError, match=said):
        average_predictions(ONE, other)


def test_repeated_items_and_weights_that_do_not_fit_are_refused():
    with pytest.raises(
        InputError, match="keys of model 1's predictions: 1 of 2 repeat an earlier one"
    ):
        average_predictions(ONE.set_axis(["x", "x"]))
    for weights in ([1], [1, -1], [0, 0], [1, np.nan]):
        with pytest.raises(InputError, match="weights"):
            average_predictions(ONE, ONE, weights=weights)
    with pytest.raises(InputError, match="there are none"):
        average_predictions()
    with pytest.raises(InputError, match="of shape"):
        average_predictions(np.eye(2), np.eye(3))
