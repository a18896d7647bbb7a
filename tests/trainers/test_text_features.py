"""Texts as features of a sentence-transformers model: a small one, made here, of real parts."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.errors import InputError

pytest.importorskip("sklearn")
from softfold.trainers.estimator import Estimator

WORDS = {0: ["cat", "purrs", "kitten"], 1: ["dog", "barks", "puppy"]}


def texts(n=40):
    rng = np.random.default_rng(0)
    given = np.arange(n) % 2
    data = [" ".join(rng.choice(WORDS[k], 3)) + f" {i}" for i, k in enumerate(given)]
    keys = np.array([str(i) for i in range(n)], dtype=object)
    frame = pd.DataFrame({"text": data})
    return LabelTable(keys, given, ("cats", "dogs"), np.zeros(n, bool), data=frame, name="pets")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a model: a random vector a word, their mean a text."""
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", *WORDS[0], *WORDS[1]]
    tokens = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    folder = tmp_path_factory.mktemp("model")
    SentenceTransformer(modules=[StaticEmbedding(tokens, embedding_weights=vectors)]).save(
        str(folder)
    )
    return folder


def test_a_model_in_a_folder_gives_features_that_are_computed_once(model, monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    table = texts()
    trainer = Estimator(arch=str(model))
    steps = []
    line = trainer.prepare(table, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(40, 40)] and "logistic regression" in line
    made = trainer.fit(table, one_hot(table.given, 2), seed=0)
    p = made.predict(table)
    assert (p.argmax(axis=1) == table.given).mean() > 0.9
    assert trainer.describe() == {"arch": str(model), "params": {}}
    again = Estimator(**trainer.describe())
    again.prepare(table, progress=lambda *_: pytest.fail("the cache has them"))
    turned = table.take(np.arange(40)[::-1])
    np.testing.assert_allclose(made.predict(turned), p[::-1], atol=1e-6)
    odd = LabelTable(table.item, table.given, table.vocab, table.valid, data=np.eye(40))
    with pytest.raises(InputError, match="by its dotted name"):
        trainer.prepare(odd)
    lost = Estimator(arch=str(tmp_path / "no such model"))
    with pytest.raises(InputError, match="give a local folder, or leave --arch out"):
        lost.prepare(table)


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    found = importlib.util.find_spec

    def none_of_it(name, *rest):
        return None if name == "sentence_transformers" else found(name, *rest)

    monkeypatch.setattr("softfold.trainers.text_features.find_spec", none_of_it)
    with pytest.raises(InputError, match=r"pip install 'softfold\[text\]'"):
        Estimator(arch="all-MiniLM-L6-v2")
