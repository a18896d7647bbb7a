"""Trainers of your own: what the bases give, what is wrapped, what is refused."""

import json
from functools import partial

import numpy as np
import pytest

from softfold.arrays import one_hot
from softfold.crossfit.plain import cross_fit
from softfold.data.folds import plan_folds
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.job.comparing import fit_seeds
from softfold.trainers import (
    TRAINERS,
    BaseModel,
    BaseTrainer,
    Model,
    Trainer,
    create_trainer,
    load_model,
)
from softfold.trainers.protocol import given_targets

sklearn = pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402


def blobs(n=90, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    data = rng.normal(size=(n, 4)) + 3 * np.eye(3, 4)[labels]
    return LabelTable(
        item=np.array([f"i{i}" for i in range(n)], dtype=object),
        given=labels,
        vocab=("a", "b", "c"),
        valid=np.zeros(n, bool),
        data=data,
    )


def centroids(table, targets):
    """Nearest mean, as a function."""
    means = targets.T @ table.data / targets.sum(axis=0)[:, None]

    def predict(other):
        scores = -((other.data[:, None, :] - means) ** 2).sum(axis=2)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    return predict


class Shares(BaseTrainer):
    """Predicts the mean target."""

    def __init__(self, floor=0.1):
        self.floor = floor
        self._seeds = []

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        self._seeds.append(seed)
        return Mean(np.asarray(targets).mean(axis=0))


class Mean(BaseModel):
    def __init__(self, mean):
        self.mean = mean

    def predict(self, table):
        return np.tile(self.mean, (len(table), 1))


class PlainClassifier:
    """fit and predict_proba, and nothing of scikit-learn."""

    def fit(self, x, y):
        self.shares = np.bincount(y) / len(y)
        return self

    def predict_proba(self, x):
        return np.tile(self.shares, (len(x), 1))


class Network:
    """Called and holding weights, as a network of torch."""

    def __call__(self, x):
        return x

    def state_dict(self):
        return {}


def accuracy(oof, table):
    return (oof.probabilities.argmax(axis=1) == table.given).mean()


@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_of_the_table_is_a_whole_trainer(name):
    trainer = create_trainer(name)
    assert isinstance(trainer, Trainer) and trainer.name == name
    json.dumps(trainer.describe())
    assert create_trainer(trainer) is trainer


def test_a_trainer_needs_fit_and_a_model_predict_and_no_more():
    table, trainer = blobs(), Shares()
    assert isinstance(trainer, Trainer) and isinstance(Mean(None), Model)
    oof = cross_fit(table, trainer, n_folds=3)
    assert np.allclose(oof.probabilities, 1 / 3)
    assert trainer.name == "Shares" and trainer.describe() == {"floor": 0.1}
    assert not trainer.supports_noise and trainer.prepares is None
    assert trainer.features(table) is None and trainer.fitted_features(table) is None
    assert len(set(trainer._seeds)) == 3


class Sharper(Shares):
    """Other predictions by another class with the same settings."""

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        mean = np.asarray(targets).mean(axis=0) ** 2
        return Mean(mean / mean.sum())


class Renamed(Shares):
    name = "renamed"


class OfRenamed(Renamed):
    pass


def test_a_class_without_a_name_is_known_by_its_own_and_not_by_its_parents():
    assert [t.name for t in (Shares(), Sharper(), Renamed(), OfRenamed())] == [
        "Shares",
        "Sharper",
        "renamed",
        "renamed",
    ]


def test_finished_folds_of_a_trainer_are_not_taken_for_those_of_one_derived_from_it(tmp_path):
    table = blobs(30).take(np.r_[:30:3, 1:30:3, 2:9:3])  # the classes are not alike in number
    cross_fit(table, Shares(), n_folds=3, out=tmp_path)
    alone = cross_fit(table, Sharper(), n_folds=3)
    after = cross_fit(table, Sharper(), n_folds=3, out=tmp_path)
    np.testing.assert_array_equal(after.probabilities, alone.probabilities)


def test_folds_one_by_one_and_all_at_once_give_the_same():
    table, trainer = blobs(), create_trainer(centroids)
    plan, targets = plan_folds(table, 3), one_hot(table.given, 3)
    splits = list(plan.splits(0))
    together = list(trainer.fit_folds(table, splits, targets, seed=0))
    oof = cross_fit(table, centroids, plan)
    for (_, predict), probabilities in zip(splits, together, strict=True):
        assert np.allclose(oof.probabilities[predict], probabilities)


def test_a_model_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(InputError, match="Mean has no save, so the model was not written"):
        Mean(None).save(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="a trainer of your own, 'Shares'"):
        load_model(tmp_path / "m.safetensors", {"trainer": "Shares"})


@pytest.mark.parametrize(
    "given",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        RidgeClassifier(),
        centroids,
        lambda table, targets: centroids(table, targets),
        partial(centroids),
    ],
    ids=["classifier", "pipeline", "classes only", "function", "lambda", "partial"],
)
def test_classifiers_and_functions_are_trainers(given, tmp_path):
    table = blobs()
    assert isinstance(create_trainer(given), Trainer)
    assert accuracy(cross_fit(table, given, n_folds=3, out=tmp_path), table) > 0.9


def test_a_class_that_is_not_of_scikit_learn_is_copied_and_fitted():
    table, own = blobs(), PlainClassifier()
    oof = cross_fit(table, own, n_folds=3)
    assert np.allclose(oof.probabilities, 1 / 3) and not hasattr(own, "shares")


def test_the_noise_of_a_trainer_that_knows_none_is_refused_by_name():
    with pytest.raises(InputError, match="'centroids' cannot train through a noise model"):
        cross_fit(blobs(), centroids, n_folds=3, noise=np.eye(3))


class HalfTrainer:
    name = "half"

    def fit(self, table, targets, *, seed):
        return self


class ReturnsNothing(BaseTrainer):
    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        self._done = True


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (None, "a NoneType without fit: want the name of a trainer"),
        (3, "a int without fit"),
        (LogisticRegression, "is the class LogisticRegression: want an object"),
        (Shares, "is the class Shares: want an object, Shares(...)"),
        (Network(), "a Network without fit"),
        (StandardScaler(), "a StandardScaler that has fit and no"),
        (Ridge(), "gives no probabilities"),
        (HalfTrainer(), "a HalfTrainer that has fit and no describe: derive a trainer from"),
        (lambda table: None, "want a function (table, targets) -> predict"),
        (lambda table, targets: 1.0, "gave a float: want a function predict(table)"),
        (
            lambda table, targets: lambda other: np.ones((len(other), 2)) / 2,
            "gave shape (30, 2); want (30, 3)",
        ),
        (lambda table, targets: lambda other: np.ones((len(other), 3)), "sum"),
        (ReturnsNothing(), "'ReturnsNothing' gave a NoneType, which has no predict"),
        (BaseTrainer(), "the trainer 'trainer' has no fit"),
    ],
)
def test_what_is_no_trainer_is_refused_in_one_line(wrong, line):
    with pytest.raises(InputError) as error:
        cross_fit(blobs(), wrong, n_folds=3)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_fit_that_gives_no_model_is_refused_in_a_comparison_too():
    table = blobs()
    table = LabelTable(table.item, table.given, table.vocab, np.arange(90) >= 60, data=table.data)
    with pytest.raises(InputError, match="'ReturnsNothing' gave a NoneType"):
        fit_seeds(table, [None], ReturnsNothing(), seed=0)


def test_targets_of_many_classes_are_on_the_disk(monkeypatch):
    table = blobs(90)
    expected = given_targets(Shares(), table)
    assert np.array_equal(expected, one_hot(table.given, 3)) and type(expected) is np.ndarray
    monkeypatch.setattr("softfold.large_arrays.LARGE", 500)
    targets, seen = given_targets(Shares(), table), []
    assert isinstance(targets, np.memmap) and np.array_equal(targets, expected)

    class Looks(Shares):
        def fit(self, table, targets, **how):
            seen.append(isinstance(targets, np.memmap))
            return super().fit(table, targets, **how)

    folds = [(np.arange(60), np.arange(60, 90))]
    list(Looks().fit_folds(table, folds, targets, seed=0))
    assert seen == [True]
