"""The estimator trainer: soft targets reach any scikit-learn classifier, columns fit the vocab."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from softfold.arrays import one_hot
from softfold.crossfit.plain import cross_fit
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.trainers.classifiers import weighted_copies
from softfold.trainers.estimator import Estimator, load

sklearn = pytest.importorskip("sklearn")
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression, RidgeClassifier  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402


def table_of(data, given, vocab=None):
    given = np.asarray(given)
    vocab = vocab or tuple(str(k) for k in range(given.max() + 1))
    keys = np.array([str(i) for i in range(len(given))], dtype=object)
    return LabelTable(
        item=keys, given=given, vocab=vocab, valid=np.zeros(len(given), bool), data=data
    )


def digits(n=600):
    x, y = load_digits(return_X_y=True)
    return table_of(x[:n], y[:n])


def mixed(n=400, seed=0):
    """Numbers with gaps, categories with gaps, booleans, dates."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    number = y + rng.normal(0, 0.7, n)
    number[rng.random(n) < 0.1] = np.nan
    colour = np.array(["red", "green", "blue"], dtype=object)[(y + (rng.random(n) < 0.2)) % 3]
    colour[rng.random(n) < 0.1] = None
    frame = pd.DataFrame(
        {
            "number": number,
            "colour": colour,
            "flag": rng.random(n) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
            "empty": np.full(n, np.nan),
        }
    )
    return table_of(frame, y, ("a", "b", "c"))


def accuracy(model, table):
    return (model.predict(table).argmax(axis=1) == table.given).mean()


def blurred(table, weight=0.7, seed=0):
    noise = np.random.default_rng(seed).dirichlet(np.ones(table.n_classes), len(table))
    return weight * one_hot(table.given, table.n_classes) + (1 - weight) * noise


@pytest.mark.parametrize("arch", [None, "sklearn.ensemble.RandomForestClassifier"])
def test_learns_tables_with_gaps_categories_booleans_and_dates(arch):
    table = mixed()
    model = Estimator(arch=arch).fit(table, blurred(table), seed=0)
    probabilities = model.predict(mixed(seed=1))
    assert probabilities.shape == (400, 3) and probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == mixed(seed=1).given).mean() > 0.7


@pytest.mark.parametrize("arch", [None, "sklearn.ensemble.RandomForestClassifier"])
def test_texts_beside_numbers_and_categories_are_read_as_texts(arch):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    words = np.array(["grim", "dull"])[y]
    texts = [f"film {rng.integers(10**6)} was {word} today" for word in words]
    frame = pd.DataFrame(
        {"text": texts, "pages": rng.normal(size=120), "shop": rng.choice(["a b", "c d"], 120)}
    )
    model = Estimator(arch=arch).fit(table_of(frame[:80], y[:80]), one_hot(y[:80], 2), seed=0)
    assert accuracy(model, table_of(frame[80:].reset_index(drop=True), y[80:])) == 1


def test_unknown_category_and_another_column_order_are_fine():
    table = mixed()
    model = Estimator().fit(table, one_hot(table.given, 3), seed=0)
    frame = table.data[list(table.data)[::-1]]
    reordered = table_of(frame, table.given, table.vocab)
    assert (model.predict(reordered) == model.predict(table)).all()
    strange = table_of(frame.assign(colour="mauve"), table.given, table.vocab)
    assert np.isfinite(model.predict(strange)).all()


def test_learns_matrices_and_texts():
    table = digits()
    model = Estimator().fit(table.take(np.arange(500)), blurred(table)[:500], seed=0)
    assert accuracy(model, table.take(np.arange(500, 600))) > 0.75
    words = {0: ["the cat sat", "a cat purrs", "my cat ate"], 1: ["the dog ran", "a dog barks"]}
    texts = [words[k % 2][k % len(words[k % 2])] + f" on day {k}" for k in range(60)]
    table = table_of(pd.DataFrame({"text": texts}), np.arange(60) % 2)
    assert table.kind == "text"
    assert accuracy(Estimator().fit(table, one_hot(table.given, 2), seed=0), table) == 1


def test_weighted_copies_are_the_soft_cross_entropy():
    # a logistic regression on weighted copies has, at its optimum, no gradient of the soft loss
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    table = table_of(x, rng.integers(0, 3, 300))
    targets = rng.dirichlet(np.ones(3), 300).clip(0.02)
    targets /= targets.sum(axis=1, keepdims=True)
    estimator = LogisticRegression(C=1e6, tol=1e-8, max_iter=10_000)
    p = Estimator(estimator).fit(table, targets, seed=0).predict(table)
    assert np.abs((p - targets).T @ np.c_[x, np.ones(300)] / 300).max() < 1e-4


def test_copies_weigh_one_an_item_and_small_shares_get_none():
    targets = np.random.default_rng(0).dirichlet(np.full(6, 0.2), 200)
    rows, labels, weights = weighted_copies(targets)
    assert np.allclose(np.bincount(rows, weights=weights), 1)
    assert (targets[rows, labels] >= 0.01).all() and len(rows) < targets.size
    flat = np.full((3, 500), 1 / 500)
    assert len(weighted_copies(flat)[0]) == 3


def test_one_hot_targets_give_what_scikit_learn_alone_gives():
    table = digits()
    for estimator in (RandomForestClassifier(10, random_state=0), KNeighborsClassifier()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = Estimator(estimator).fit(table, one_hot(table.given, 10), seed=0)
        alone = sklearn.clone(estimator).fit(table.data, table.given)
        assert np.allclose(model.predict(table), alone.predict_proba(table.data), atol=1e-6)


def test_without_sample_weight_labels_are_drawn_and_that_is_said():
    table = digits()
    targets = blurred(table)
    trainer = Estimator(KNeighborsClassifier(1))
    with pytest.warns(UserWarning, match="takes no sample_weight"):
        first = trainer.fit(table, targets, seed=1).predict(table)
        again = trainer.fit(table, targets, seed=1).predict(table)
        other = trainer.fit(table, targets, seed=2).predict(table)
    assert (first == again).all() and (first != other).any()
    # the nearest neighbour of an item is itself: its predicted classes are the drawn labels
    kept = (first.argmax(axis=1) == table.given).mean()
    assert kept == pytest.approx(targets[np.arange(600), table.given].mean(), abs=0.05)


def test_weights_go_through_pipelines_to_the_last_step():
    table = digits()
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = Estimator(nested).fit(table, blurred(table), seed=0)
    assert accuracy(model, table) > 0.9


def test_columns_follow_the_vocabulary_though_a_class_has_no_weight():
    table = table_of(np.arange(12.0)[:, None], np.repeat([0, 2, 3], 4), ("a", "b", "c", "d"))
    model = Estimator().fit(table, one_hot(table.given, 4), seed=0)
    p = model.predict(table)
    assert p.shape == (12, 4) and (p[:, 1] == 0).all()
    assert (p.argmax(axis=1) == table.given).mean() > 0.6


def test_seed_sets_random_states_that_are_not_set():
    table = digits(200)
    targets = one_hot(table.given, 10)
    trainer = Estimator(arch="sklearn.tree.ExtraTreeClassifier")
    test = table_of(table.data + 1.5, table.given)
    one, two, three = (trainer.fit(table, targets, seed=s).predict(test) for s in (1, 1, 2))
    assert (one == two).all() and (one != three).any()
    fixed = Estimator(DecisionTreeClassifier(random_state=3, max_features=3))
    one, two = (fixed.fit(table, targets, seed=s).predict(test) for s in (1, 2))
    assert (one == two).all()


def test_settings_make_the_same_trainer_again():
    trainer = Estimator(arch="sklearn.ensemble.RandomForestClassifier", params={"max_depth": 3})
    settings = json.loads(json.dumps(trainer.describe()))
    assert Estimator(**settings).describe() == trainer.describe()
    given = json.loads(json.dumps(Estimator(RandomForestClassifier(7)).describe()))
    assert given["arch"] == "sklearn.ensemble.RandomForestClassifier"
    assert Estimator(**given).describe()["params"]["n_estimators"] == 7


def test_save_writes_settings_and_no_pickle(tmp_path):
    table = digits(100)
    model = Estimator().fit(table, one_hot(table.given, 10), seed=0)
    model.save(tmp_path / "model.json")
    assert "fitted again" in json.loads((tmp_path / "model.json").read_text())["note"]
    with pytest.raises(InputError, match="fits again"):
        load(tmp_path / "model.json")


def test_cross_fit_uses_it_on_tables():
    table = mixed(300)
    oof = cross_fit(table, "estimator", n_folds=3, seed=0)
    assert (oof.probabilities.argmax(axis=1) == table.given).mean() > 0.75


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda: Estimator(arch="os.system").fit(digits(10), np.eye(10), seed=0),
            "want a scikit-learn classifier by its dotted name",
        ),
        (lambda: Estimator(arch="sklearn.tree._classes.Tree"), "by its dotted name"),
        (lambda: Estimator(arch="sklearn.ensemble.Nothing"), "no such classifier"),
        (lambda: Estimator(arch="sklearn.nothing.Nothing"), "no such classifier"),
        (lambda: Estimator(arch="sklearn.datasets.load_digits"), "no scikit-learn classifier"),
        (lambda: Estimator(arch="sklearn.linear_model.Ridge"), "no predict_proba"),
        (lambda: Estimator(arch="sklearn.ensemble.VotingClassifier"), "estimators"),
        (lambda: Estimator(RidgeClassifier()), "no predict_proba"),
        (lambda: Estimator(LogisticRegression(), arch="sklearn.svm.SVC"), "not both"),
        (lambda: Estimator().fit(table_of(None, [0, 1]), np.eye(2), seed=0), "labels only"),
        (
            lambda: Estimator().fit(
                table_of(Images(encoded=[b"", b""]), [0, 1]), np.eye(2), seed=0
            ),
            "for images use --trainer probe or finetune",
        ),
        (lambda: Estimator().fit(digits(10), np.ones((10, 3)), seed=0), "want (10, 10)"),
        (
            lambda: Estimator().fit(digits(10), one_hot(np.zeros(10, int), 10), seed=0),
            "all targets of 10 training items are of class '0'",
        ),
        (
            lambda: Estimator(LogisticRegression()).fit(
                table_of(np.full((4, 1), np.nan), [0, 1, 0, 1]), np.eye(2)[[0, 1, 0, 1]], seed=0
            ),
            "cannot be fitted: Input X contains NaN",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, line):
    with pytest.raises(InputError) as error:
        call()
    assert line in str(error.value) and "\n" not in str(error.value)


def test_other_columns_at_prediction_are_named():
    table = mixed(60)
    model = Estimator().fit(table, one_hot(table.given, 3), seed=0)
    with pytest.raises(InputError, match="1 column of training not there; the first is 'colour'"):
        model.predict(table_of(table.data.drop(columns="colour"), table.given, table.vocab))
    with pytest.raises(InputError, match="column 'number' held numbers in training, and now 'x'"):
        model.predict(table_of(table.data.assign(number="x"), table.given, table.vocab))
