"""What scikit-learn is given: tables, feature matrices and texts, and how they become numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.places import place_of
from softfold.data.table import ForeignItems, LabelTable, text_columns
from softfold.errors import InputError
from softfold.pixels.images import Images


def estimator_data(table: LabelTable) -> pd.DataFrame | np.ndarray:
    """The items as scikit-learn takes them: a frame with column names as text, or a matrix (N, D).

    Dates become days since 1970.

    Raises:
        InputError: images, labels alone, or features that are no matrix.
    """
    if table.data is None:
        raise InputError(f"{table.name}: the estimator needs features; the table has labels only")
    if isinstance(table.data, Images):
        raise InputError(
            f"{table.name}: the estimator takes tables, feature matrices and texts; for images "
            "use --trainer probe or finetune"
        )
    if isinstance(table.data, ForeignItems):
        raise InputError(
            f"{table.name}: scikit-learn cannot read a Dataset; give a trainer of softfold.torch"
        )
    if isinstance(table.data, np.ndarray) and table.data.ndim != 2:
        raise InputError(f"{table.name}: features have shape {table.data.shape}; want (N, D)")
    if isinstance(table.data, pd.DataFrame):
        data = table.data.rename(columns=str)
        for column in data.columns:
            if pd.api.types.is_datetime64_any_dtype(data[column]):
                data = data.assign(**{column: column_numbers(data[column], table.name)})
        return data
    return table.data


def column_numbers(values: pd.Series, name: str) -> pd.Series:
    """A column as float64: dates in days, missing values as NaN."""
    if pd.api.types.is_datetime64_any_dtype(values):
        days = (values - pd.Timestamp(0, tz=values.dt.tz)) / pd.Timedelta(days=1)
        return days.astype(float)
    try:
        return pd.to_numeric(values).astype(float)
    except (ValueError, TypeError):
        bad = pd.to_numeric(values, errors="coerce").isna() & values.notna()
        i = int(bad.to_numpy().argmax())
        raise InputError(
            f"{name}: column {values.name!r} held numbers in training, and now {values.iloc[i]!r} "
            f"in {place_of(values, i)}"
        ) from None


def columns_by_kind(data: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """Names of columns of numbers (booleans too), of categories and of texts; not of empty ones."""
    filled = [c for c in data.columns if data[c].notna().any()]
    numbers = [c for c in filled if pd.api.types.is_numeric_dtype(data[c])]
    texts = text_columns(data)
    return numbers, [c for c in filled if c not in {*numbers, *texts}], texts


def logistic_regression(data: pd.DataFrame | np.ndarray, strength: float) -> Any:
    """An unfitted Pipeline: scaled columns or TF-IDF, then a logistic regression (C `strength`)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(encoder(data), LogisticRegression(C=strength, max_iter=1000))


def gradient_boosting(data: pd.DataFrame | np.ndarray, **settings: Any) -> Any:
    """An unfitted Pipeline of histogram gradient boosting, which takes gaps and categories.

    settings: keyword arguments of `HistGradientBoostingClassifier`.
    """
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    # no early stopping: its own split would put copies of one item on both sides
    settings = {"early_stopping": False, **settings}
    if isinstance(data, np.ndarray):
        return make_pipeline(HistGradientBoostingClassifier(**settings))
    numbers, categories, _ = columns_by_kind(data)
    # 255 bins are the most that histogram gradient boosting has for a category
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=250
    )
    encode = make_column_transformer(
        (_as_float(), numbers), (make_pipeline(_as_text(), codes), categories)
    )
    which = [False] * len(numbers) + [True] * len(categories)
    boosting = HistGradientBoostingClassifier(categorical_features=which, **settings)
    return make_pipeline(encode, boosting)


def threads_for(data: pd.DataFrame | np.ndarray) -> AbstractContextManager:
    """One thread for small data: there threads cost more than they give, most on a busy machine."""
    if data.size > 2_000_000:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def encoder(data: pd.DataFrame | np.ndarray) -> Any:
    """What turns the data into a matrix of scaled numbers without gaps; texts become TF-IDF."""
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    if isinstance(data, np.ndarray):
        return make_pipeline(fill, StandardScaler())
    numbers, categories, texts = columns_by_kind(data)
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=100)
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    return make_column_transformer(
        (make_pipeline(_as_float(), fill, StandardScaler()), numbers),
        (make_pipeline(_as_text(), one_hot), categories),
        *((make_pipeline(_as_words(), words), [text]) for text in texts),
        sparse_threshold=0.3 if texts else 0,
    )


def _float_values(columns: pd.DataFrame) -> np.ndarray:
    return columns.astype(float).to_numpy()


def _text_values(columns: pd.DataFrame) -> np.ndarray:
    filled = columns.astype(object).where(columns.notna(), "missing")
    return filled.astype(str).to_numpy(dtype=object)


def _words(columns: pd.DataFrame) -> np.ndarray:
    return columns.iloc[:, 0].fillna("").astype(str).to_numpy(dtype=object)


def _as_float() -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(_float_values)


def _as_text() -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(_text_values)


def _as_words() -> Any:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(_words)
