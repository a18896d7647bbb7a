"""Given against soft labels: what is compared, what is trained, and what is taken from disk."""

from dataclasses import replace

import numpy as np
import pytest
from several_labels import digits
from small_tables import soft_of, table_of

from softfold.errors import InputError
from softfold.job.comparing import compare, fit_seeds
from softfold.soft_labels import SoftLabels
from softfold.trainers.estimator import Estimator

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def test_models_of_other_soft_labels_are_not_taken_for_finished(tmp_path):
    table = table_of()
    trainer = Estimator(arch="sklearn.linear_model.LogisticRegression")
    one = fit_seeds(table, [soft_of(table, 0.9)], trainer, seed=0, out=tmp_path)[0]
    same = fit_seeds(table, [soft_of(table, 0.9)], trainer, seed=0, out=tmp_path)[0]
    assert one.is_new and not same.is_new
    assert (one.holdout == same.holdout).all()
    other = fit_seeds(table, [soft_of(table, 0.5)], trainer, seed=0, out=tmp_path)[0]
    assert other.is_new and (one.holdout != other.holdout).any()
    forest = Estimator(arch="sklearn.ensemble.RandomForestClassifier", params={"n_estimators": 5})
    assert fit_seeds(table, [soft_of(table, 0.5)], forest, seed=0, out=tmp_path)[0].is_new


def test_compare_matches_soft_labels_by_key_and_class():
    table = table_of()
    soft = soft_of(table, 0.8)
    trainer = Estimator(arch="sklearn.linear_model.LogisticRegression")
    plain = compare(table, soft, trainer, seeds=2)
    order = np.random.default_rng(0).permutation(len(soft))
    shuffled = SoftLabels(
        soft.item[order], soft.targets[order][:, [2, 0, 1]], ("c", "a", "b"), "test"
    )
    assert np.allclose(compare(table, shuffled, trainer, seeds=2).soft, plain.soft, atol=1e-5)
    with pytest.raises(InputError, match="without a soft label; the first is 'i"):
        short = SoftLabels(soft.item[1:], soft.targets[1:], soft.vocab, "test")
        compare(table, short, trainer, seeds=1)
    with pytest.raises(InputError, match="no hold-out to measure on"):
        compare(table.train, soft, trainer)


class Counting(Estimator):
    """Counts its fits."""

    fits = 0

    def fit(self, *args, **more):
        Counting.fits += 1
        return super().fit(*args, **more)


def test_each_model_is_trained_once(monkeypatch):
    monkeypatch.setattr(Counting, "fits", 0)
    told = []
    table = table_of()
    made = compare(
        table,
        soft_of(table, 0.8),
        Counting(arch=LOGISTIC),
        seeds=3,
        progress=lambda *p: told.append(p),
    )
    assert Counting.fits == 6 and told == [(i, 6) for i in range(1, 7)]
    assert made.baseline.shape == made.soft.shape == (3, int(table.valid.sum()), 3)


def test_a_finished_fit_is_taken_only_with_its_own_model(tmp_path):
    """After `softfold train` with other settings, the kept model is not that of the old fit."""
    table, fits, model = table_of(), tmp_path / "fits", tmp_path / "model.safetensors"
    soft = soft_of(table, 0.9)

    class Saving(Estimator):
        def fit(self, *args, **more):
            made = super().fit(*args, **more)
            made.save = lambda path: path.write_text(str(self.params))
            return made

    def once(strength):
        trainer = Saving(arch=LOGISTIC, params={"C": strength})
        fit_seeds(table, [soft], trainer, seed=0, out=fits, model_file=model)[0]
        return model.read_text()

    assert once(1.0) != once(0.1)
    assert once(1.0) == "{'C': 1.0}"


def test_several_labels_are_compared_by_precision_and_f1():
    table = digits()
    right = table.train.truth.astype(np.float32)
    made = compare(table, np.clip(right, 0.05, 0.95), Estimator(arch=LOGISTIC), seeds=2)
    metrics = made.metrics
    assert made.labels.shape == (300, 4) and metrics["accuracy_against"] == "truth"
    for measure in ("mean_average_precision", "micro_f1"):
        gain = np.mean(metrics["soft"][measure]) - np.mean(metrics["baseline"][measure])
        assert metrics["difference"][measure]["mean"] == pytest.approx(gain) and gain > 0.02
    assert "mean AP" in str(made) and "micro F1" in str(made)
    unknown = made.labels.copy()
    unknown[:50, 0] = -1
    known = {"baseline": made.baseline[:, 50:], "soft": made.soft[:, 50:]}
    without = replace(made, labels=made.labels[50:], **known)
    assert replace(made, labels=unknown).metrics == without.metrics, "items of no known truth"
