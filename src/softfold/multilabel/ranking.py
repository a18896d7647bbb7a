"""Which labels of which classes are probably wrong, most suspicious first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from softfold.align.multilabel import align_multi_label
from softfold.errors import check_top
from softfold.multilabel.noise import MultiLabelNoise, models_of, problems
from softfold.noise.scoring import score


def rank_issues(
    labels: Any,
    probabilities: Any = None,
    top: int | None = None,
    *,
    noise: MultiLabelNoise | None = None,
    vocab: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """Items and classes by how probably the label is wrong: given and not there, or missing.

    Args:
        labels: 0 and 1 (N, K), a data frame of them, or a MultiLabelTable (its training part).
        probabilities: out-of-fold predictions (N, K); or an OutOfFold or a data frame
            (`softfold.align.multilabel` has the rules).
        top: how many to return (all N K by default).
        noise: what `softfold.multilabel.estimate_noise` gave, matched by the names of classes;
            estimated by itself.
        vocab: K class names, in the order of an array's columns.

    Returns:
        A data frame with columns index (row of the item), item where there are keys, class (a name,
        or a number without names), given (1: the item was given the class), suggested (the other
        one of 0 and 1) and suspicion (0..1, how likely the label is wrong). Equal suspicions have
        the order of their places in the ranking of their class.

    >>> given = np.repeat([[0, 1], [1, 1], [0, 0], [1, 0]], 250, axis=0)
    >>> p = np.where(given == 1, 0.98, 0.02)
    >>> given[7, 1] = 0
    >>> rank_issues(given, p, top=1, vocab=["sea", "sky"])[["index", "class", "given", "suggested"]]
       index class  given  suggested
    0      7   sky      0          1
    """
    check_top(top)
    both = align_multi_label(labels, probabilities, vocab)
    models = models_of(noise, both)
    rows, suspicions = [], []
    for (y, p), model in zip(problems(both.labels, both.probabilities), models, strict=True):
        found = score(y, p, model)
        rows.append(found.ranking[:top])
        suspicions.append(found.falling[:top])
    suspicion, index = np.concatenate(suspicions), np.concatenate(rows)
    classes = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    place = np.concatenate([np.arange(len(part)) for part in rows])
    order = np.lexsort((place, -suspicion))[:top]
    index, classes = index[order], classes[order]
    given = both.labels[index, classes]
    named = classes if both.vocab is None else np.asarray(both.vocab, dtype=object)[classes]
    columns = {"index": index, "class": named, "given": given, "suggested": 1 - given}
    ranked = pd.DataFrame(columns | {"suspicion": suspicion[order]}, copy=False)
    if both.item is not None:
        ranked.insert(1, "item", both.item[index])
    return ranked
