"""`SoftLabelClassifier`: scikit-learn's own checks, what it gains, and what X may be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import softfold
from softfold.errors import InputError
from softfold.sklearn import SoftLabelClassifier
from softfold.soft_labels import SoftLabels


@parametrize_with_checks(
    [
        SoftLabelClassifier(LogisticRegression()),
        SoftLabelClassifier(KNeighborsClassifier(3), cv=3),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """Images, given labels and truth: 40% of each class are labelled as the next one."""
    X, truth = load_digits(return_X_y=True)
    given = softfold.corrupt(truth, rate=0.4, kind="pair", seed=0)
    return X / 16, given, truth


TRAIN, TEST = slice(0, 1200), slice(1200, None)


@pytest.mark.parametrize(
    "inner",
    [
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
        KNeighborsClassifier(10),  # takes no weights
        RidgeClassifier(),  # gives no probabilities
    ],
)
def test_it_gains_where_labels_are_wrong(digits, inner):
    X, given, truth = digits
    plain = inner.fit(X[TRAIN], given[TRAIN]).score(X[TEST], truth[TEST])
    soft = SoftLabelClassifier(inner, random_state=0).fit(X[TRAIN], given[TRAIN])
    assert soft.score(X[TEST], truth[TEST]) > plain + 0.05
    assert hasattr(soft, "predict_proba") == hasattr(inner, "predict_proba")


def test_what_it_says_of_the_labels_is_in_the_order_of_the_items(digits):
    X, given, truth = digits
    names = np.array(["class " + "abcdefghij"[k] for k in range(10)])
    model = SoftLabelClassifier(LogisticRegression(C=0.1), random_state=0)
    model.fit(pd.DataFrame(X).add_prefix("pixel "), names[given])
    wrong = given != truth
    assert wrong[np.argsort(-model.suspicion_)[:100]].mean() > 0.9
    assert (model.soft_labels_.argmax(axis=1) == truth).mean() > 0.8
    assert (model.oof_.argmax(axis=1) == truth).mean() > 0.6
    low, high = model.noise_.rate_interval
    assert low < wrong.mean() < high
    assert list(model.classes_) == sorted(names)
    assert model.feature_names_in_[0] == "pixel 0" and model.n_features_in_ == 64
    assert set(model.predict(pd.DataFrame(X).add_prefix("pixel "))) <= set(names)


@pytest.mark.filterwarnings("ignore:predictions tell nothing")
def test_no_model_predicts_a_copy_of_what_it_saw_nor_an_item_of_its_group(digits):
    X, given, _ = digits
    X, given = X[:200], given[:200]
    twice, labels = np.concatenate([X, X]), np.concatenate([given, (given + 1) % 10])
    for kind in (np.asarray, pd.DataFrame, list):
        seen = _folds_seen(kind(twice), labels, None)
        assert (seen[:200] == seen[200:]).all()
    groups = np.arange(200) // 4
    seen = _folds_seen(X, given, groups)
    assert (seen.reshape(-1, 4) == seen[::4, None]).all()
    assert len(np.unique(seen)) == 5


def _folds_seen(X, labels, groups):
    """The fold of each item, told by a classifier that predicts alike whatever it is asked."""
    model = SoftLabelClassifier(_OneAnswer(), random_state=0).fit(X, labels, groups=groups)
    return np.unique(model.oof_[:, 0], return_inverse=True)[1]


class _OneAnswer(GaussianNB):
    def fit(self, X, y):
        super().fit(np.asarray(X), y)
        self.answer_ = np.random.default_rng(np.asarray(X).sum().astype(int)).random()
        return self

    def predict_proba(self, X):
        p = np.full((len(X), len(self.classes_)), 1 - self.answer_) / (len(self.classes_) - 1)
        p[:, 0] = self.answer_
        return p


def test_pipeline_grid_search_and_cross_val_predict(digits):
    X, given, truth = digits
    inner = LogisticRegression(C=0.01)
    model = make_pipeline(StandardScaler(), SoftLabelClassifier(inner, cv=3, random_state=0))
    search = GridSearchCV(
        model,
        {
            "softlabelclassifier__estimator__C": [0.01, 0.1],
            "softlabelclassifier__strategy": ["auto", "given"],
        },
        cv=2,
        scoring="neg_log_loss",
        error_score="raise",
    ).fit(X[:400], given[:400])
    assert search.best_estimator_[-1].estimator_.C in (0.01, 0.1)
    p = cross_val_predict(model, X, given, cv=2, method="predict_proba")
    plain = cross_val_predict(make_pipeline(StandardScaler(), inner), X, given, cv=2)
    assert (p.argmax(axis=1) == truth).mean() > (plain == truth).mean() + 0.1


SUBJECTS = {
    "sport": "the striker scored|our keeper saved|a referee booked|the team won|both runners led",
    "food": "the baker kneaded|our cook salted|a waiter served|the soup simmered|both ovens baked",
    "sky": "the comet passed|our telescope saw|a planet crossed|the moon rose|both stars faded",
}
ENDS = "before noon|last week|in the rain|without a word|all day|once more|as planned|too late"


def sentences():
    """Short texts of three classes, and labels of which every fifth is that of the next class."""
    texts, truth = [], []
    for k, starts in enumerate(SUBJECTS.values()):
        made = [f"{start} {end}" for start in starts.split("|") for end in ENDS.split("|")]
        texts += made
        truth += [k] * len(made)
    truth = np.array(truth)
    given = softfold.corrupt(truth, rate=0.2, kind="pair", seed=0)
    return texts, np.array(list(SUBJECTS))[given], np.array(list(SUBJECTS))[truth]


def test_lists_of_texts_and_sparse_matrices():
    texts, given, truth = sentences()
    inner = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = SoftLabelClassifier(inner, random_state=0).fit(texts, given)
    assert model.predict(["the striker saved"]) == ["sport"]
    assert (model.predict(texts) == truth).mean() > 0.95
    words = TfidfVectorizer().fit(texts)
    sparse = SoftLabelClassifier(LogisticRegression(), random_state=0)
    sparse.fit(words.transform(texts), given)
    assert (sparse.predict(words.transform(texts)) == truth).mean() > 0.95
    seen = _copies_share(words.transform(texts + texts))
    assert seen


def _copies_share(X):
    from softfold.sklearn.splitting import row_copies

    half = X.shape[0] // 2
    copies = row_copies(X)
    return (copies[half:] == np.arange(half)).all() and (copies[:half] == np.arange(half)).all()


def test_soft_labels_that_are_there_are_learned_without_a_cross_fit(digits):
    x, y = digits[0][:300], np.array(list("abcdefghij"))[digits[1][:300]]
    keys = pd.Index([f"item {i}" for i in range(300)])
    model = SoftLabelClassifier(GaussianNB(), random_state=0).fit(x, y)
    turned = np.eye(10, dtype=np.float32)[(np.unique(y, return_inverse=True)[1] + 1) % 10]
    by_array = model.fit(x, y, soft_labels=turned)
    assert not hasattr(model, "oof_") and not hasattr(model, "suspicion_")
    np.testing.assert_array_equal(model.soft_labels_, turned)
    wanted = by_array.predict(x)
    plain = GaussianNB().fit(x, model.classes_[turned.argmax(axis=1)])
    np.testing.assert_array_equal(wanted, plain.predict(x))
    mixed, columns = np.random.default_rng(0).permutation(300), np.arange(10)[::-1]
    soft = SoftLabels(
        keys.to_numpy()[mixed], turned[mixed][:, columns], tuple(model.classes_[columns]), "given"
    )
    for items, labels in ((x, pd.Series(y, index=keys)), (pd.DataFrame(x, index=keys), y)):
        found = SoftLabelClassifier(GaussianNB()).fit(items, labels, soft_labels=soft)
        np.testing.assert_array_equal(found.soft_labels_, turned)
    counted = SoftLabels(
        np.arange(301).astype(str).astype(object), turned[[*range(300), 0]], soft.vocab, "given"
    )
    with pytest.raises(InputError, match=r"soft_labels: .* 300 labels, 301 rows"):
        model.fit(x, y, soft_labels=counted)  # which rows of them these are, nobody said
    for odd, line in (
        (turned[1:], "soft_labels: .* 300 labels, 299 rows"),
        (turned + 1, "soft_labels: .* no probabilities"),
        (turned[:, 1:], "soft_labels: vocab has 10 names; there are 9 classes"),
        (soft, "soft_labels: 1 label of 300 without a soft label; the first is 'another'"),
    ):
        named = pd.Series(y, index=["another", *keys[1:]])
        with pytest.raises(InputError, match=line):
            model.fit(x, named, soft_labels=odd)


@pytest.mark.filterwarnings("ignore:predictions tell nothing")
def test_a_class_that_soft_labels_leave_nothing_of_is_still_known(digits):
    X, given, _ = digits
    X, labels = X[:300], given[:300] % 2
    labels = labels.copy()
    labels[:2] = 2  # two items of a class, which any model believes to be of another
    model = SoftLabelClassifier(LogisticRegression(), random_state=0).fit(X, labels)
    assert model.predict_proba(X).shape == (300, 3)


def test_what_cannot_be_is_one_line_that_says_what_to_do(digits):
    X, given, _ = digits
    X, given = X[:100], given[:100].copy()
    with pytest.raises(InputError, match="want a number of folds; groups="):
        SoftLabelClassifier(LogisticRegression(), cv=[1]).fit(X, given)
    with pytest.raises(InputError, match="1 class in 100 samples"):
        SoftLabelClassifier(LogisticRegression()).fit(X, given * 0)
    given[0] = 77
    with pytest.raises(InputError, match="class '77' has 1 item, all in one fold"):
        SoftLabelClassifier(LogisticRegression()).fit(X, given)
    with pytest.raises(InputError, match="different items are too few for 5 folds"):
        SoftLabelClassifier(LogisticRegression()).fit(X[:3].repeat(30, axis=0), given[:90] % 2)
    with pytest.raises(InputError, match="strategy 'best' is unknown"):
        SoftLabelClassifier(LogisticRegression(), strategy="best").fit(X[1:], given[1:])
