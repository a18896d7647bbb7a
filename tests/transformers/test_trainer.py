"""transformers with soft targets: one question of K answers, never K yes-or-no questions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("transformers")
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

import softfold
from softfold.errors import InputError
from softfold.torch import with_soft_targets
from softfold.transformers import SoftLabelTrainer, soft_cross_entropy

ANIMALS = "the cat|my dog|a horse|one cow|the old goat|her sheep|a young fox|the wolf"
TOOLS = "the saw|my hammer|a drill|one spade|the old axe|her rake|a new plane|the chisel"
FOODS = "the soup|my bread|a cake|one pie|the old cheese|her stew|a warm roll|the salad"
ENDS = "is here|was there|stays in the yard|came back|is what we saw|was left behind|lay outside"


class Sentences(Dataset):
    """Short sentences of three classes, as numbers of words: padded to eight."""

    def __init__(self, labels=None):
        subjects = [s.split("|") for s in (ANIMALS, TOOLS, FOODS)]
        pairs = [(f"{s} {e}", k) for k in range(3) for s in subjects[k] for e in ENDS.split("|")]
        words = sorted({w for text, _ in pairs for w in text.split()})
        number = {w: i + 1 for i, w in enumerate(words)}
        rows = [[number[w] for w in text.split()] for text, _ in pairs]
        self.n_words = len(words) + 1
        self.ids = torch.tensor([row + [0] * (8 - len(row)) for row in rows])
        self.truth = np.array([k for _, k in pairs])
        self.labels = self.truth if labels is None else labels

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        ids = self.ids[i]
        return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": int(self.labels[i])}


def make_model(data):
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=data.n_words,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=8,
            num_labels=3,
        )
    )


def arguments(folder, **more):
    quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "use_cpu": True}
    return TrainingArguments(str(folder), dataloader_pin_memory=False, **(quiet | more))


def test_sentences_with_soft_targets_are_one_question(tmp_path):
    data = Sentences()
    soft = np.full((len(data), 3), 0.1, np.float32)
    soft[np.arange(len(data)), data.truth] = 0.8
    trainer = SoftLabelTrainer(
        model=make_model(data),
        args=arguments(tmp_path, num_train_epochs=8, learning_rate=0.01),
        train_dataset=with_soft_targets(data, soft),
        eval_dataset=data,
    )
    trainer.train()
    assert trainer.model.config.problem_type == "single_label_classification"
    p = torch.tensor(trainer.predict(data).predictions).softmax(1).numpy()
    assert (p.argmax(1) == data.truth).mean() > 0.95
    assert 0.7 < p.max(axis=1).mean() < 0.9, "as sure as the targets are"
    # an evaluation with class indices is the plain cross-entropy
    right = -np.log(p[np.arange(len(p)), data.truth]).mean()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(right, rel=1e-3)


def test_what_transformers_does_by_itself_is_multi_label(tmp_path):
    """Why the trainer is needed; where this fails, docs/frameworks.md is to be changed."""
    data = Sentences()
    soft = with_soft_targets(data, np.full((len(data), 3), 1 / 3))
    args = arguments(tmp_path, max_steps=1)
    model = make_model(data)
    Trainer(model=model, args=args, train_dataset=soft).train()
    assert model.config.problem_type == "multi_label_classification"
    with pytest.raises(InputError, match="problem_type='multi_label_classification'"):
        SoftLabelTrainer(model=model, args=args, train_dataset=soft)
    # a model that had the right Trainer stops the wrong one
    model = make_model(data)
    SoftLabelTrainer(model=model, args=args, train_dataset=soft)
    with pytest.raises((ValueError, RuntimeError)):
        Trainer(model=model, args=args, train_dataset=soft).train()


def test_steps_of_several_batches_weigh_items_alike(tmp_path):
    data = Sentences()
    soft = with_soft_targets(data, np.random.default_rng(0).dirichlet([1, 1, 1], len(data)))
    weights = []
    for size, parts in ((16, 1), (4, 4)):
        model = make_model(data).eval()
        args = arguments(
            tmp_path,
            max_steps=3,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=parts,
            optim="sgd",
            learning_rate=0.1,
        )
        model.config.hidden_dropout_prob = 0.0
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        SoftLabelTrainer(model=model, args=args, train_dataset=soft).train()
        weights.append(model.classifier.weight.detach().clone())
    assert torch.allclose(*weights, atol=1e-5)
    assert not torch.allclose(weights[0], make_model(data).classifier.weight, atol=1e-3)


def test_the_loss_is_torchs_cross_entropy():
    logits, soft = torch.randn(6, 3), torch.rand(6, 3).softmax(1)
    for made in ({"logits": logits}, (logits,)):
        assert soft_cross_entropy(made, soft) == cross_entropy(logits, soft)
        assert torch.isclose(soft_cross_entropy(made, soft, 18), cross_entropy(logits, soft))
        index = soft.argmax(1)
        assert torch.isclose(soft_cross_entropy(made, index, 6), cross_entropy(logits, index))
    with pytest.raises(InputError, match="a batch without labels"):
        soft_cross_entropy((logits,), None)
    with pytest.raises(InputError, match=r"labels have shape \(6, 2\), logits \(6, 3\)"):
        soft_cross_entropy((logits,), soft[:, :2])


@pytest.mark.parametrize("padded", [False, True])
def test_a_dataset_of_hugging_face_trains_with_the_label_under_its_usual_name(padded, tmp_path):
    """Columns text and label, tokens beside, and the collator that the Trainer takes by itself."""
    datasets = pytest.importorskip("datasets")
    sentences = Sentences()
    names = ["animal", "tool", "food"]
    columns = {"text": [f"sentence {i}" for i in range(len(sentences))], "label": sentences.labels}
    columns |= {"input_ids": sentences.ids.tolist()}
    columns |= {"attention_mask": (sentences.ids > 0).long().tolist()}
    data = datasets.Dataset.from_dict(columns).cast_column(
        "label", datasets.ClassLabel(names=names)
    )
    table = softfold.read_table(data.select_columns(["text", "label"]))
    p = pd.DataFrame(np.eye(3)[sentences.labels] * 0.7 + 0.1, columns=names)
    soft = softfold.soften(table, p, "blend")
    collator = {}
    if padded:
        words = {"[PAD]": 0, "[UNK]": 1}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel(words, unk_token="[UNK]")), pad_token="[PAD]"
        )
        collator = {"data_collator": DataCollatorWithPadding(tokenizer)}
    trainer = SoftLabelTrainer(
        model=make_model(sentences),
        args=arguments(tmp_path, num_train_epochs=8, learning_rate=0.01),
        train_dataset=with_soft_targets(data, soft),
        eval_dataset=data,
        **collator,
    )
    trainer.train()
    found = trainer.predict(data).predictions
    assert (found.argmax(1) == sentences.truth).mean() > 0.95
    p = torch.tensor(found).softmax(1).numpy()
    assert 0.85 < p.max(axis=1).mean() < 0.97, "as sure as the targets are, which is 0.94"
