"""How the labels of each class go wrong: a noise model of two classes for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from softfold import markup
from softfold.align import find
from softfold.align.keys import match_columns
from softfold.align.multilabel import AlignedMulti, align_multi_label
from softfold.errors import InputError, count_of
from softfold.noise.estimation import estimate_checked
from softfold.noise.model import NoiseModel


@dataclass(frozen=True)
class MultiLabelNoise:
    """A noise model a class, of "does not have it" (0) and "has it" (1).

    Attributes:
        vocab: the K class names; numbers where they have none.
        models: K NoiseModels with transitions (2, 2), T[truth, given].
    """

    vocab: tuple[str, ...]
    models: tuple[NoiseModel, ...]

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, name: str | int) -> NoiseModel:
        """The noise model of a class, by name or position."""
        if not isinstance(name, str):
            return self.models[name]
        (k,) = find(self.vocab, [name])
        if k < 0:
            raise InputError(f"no class {name!r}: there are {', '.join(self.vocab[:8])}")
        return self.models[k]

    def __repr__(self) -> str:
        return f"MultiLabelNoise({self._about})"

    @property
    def _about(self) -> str:
        known = int((~np.isnan(self.rates)).sum())
        if not known:
            return f"{len(self):,} classes, no rate can be given"
        low, high = self.rate_interval
        silent = len(self) - known
        without = f", {count_of(silent, 'class', 'classes')} without a rate" if silent else ""
        return (
            f"{len(self):,} classes, {low:.1%} to {high:.1%} of their labels wrong, best guess "
            f"{self.rate:.1%}{without}"
        )

    def _repr_html_(self) -> str:
        return self.html()

    def html(self, vocab: Sequence[str] | None = None) -> str:
        """A row a class for a notebook, most wrong labels first; `vocab` are names to show."""
        shown = dict(zip(self.vocab, self.vocab if vocab is None else vocab, strict=True))
        frame = self.frame().sort_values("rate", ascending=False, kind="stable", na_position="last")
        rows = [
            [
                shown[row["class"]],
                "not known" if np.isnan(row["rate"]) else f"{row['rate']:.1%}",
                f"{row['low']:.1%} to {row['high']:.1%}",
                f"{row['missing']:.1%}",
                f"{row['extra']:.1%}",
            ]
            for _, row in frame.head(markup.MOST_ROWS).iterrows()
        ]
        head = ["class", "labels wrong", "open to", "missing where it is", "given where it is not"]
        return markup.table(f"noise model: {self._about}", head, rows)

    @property
    def rates(self) -> np.ndarray:
        """float64 (K,), share of the items whose label of the class is wrong; nan: not known."""
        return np.array([model.rate for model in self.models])

    @property
    def rate(self) -> float:
        """Share of the labels of the classes with a rate that are wrong; nan where none has one."""
        known = self.rates[~np.isnan(self.rates)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def rate_interval(self) -> tuple[float, float]:
        """The mean of the ends of these classes' intervals: holds where theirs do."""
        ends = [model.rate_interval for model in self.models if not np.isnan(model.rate)]
        low, high = np.mean(ends, axis=0) if ends else (0.0, 1.0)
        return float(low), float(high)

    @property
    def transition(self) -> np.ndarray:
        """float64 (K, 2, 2), T[truth, given] of each class."""
        return np.array([model.transition for model in self.models])

    def frame(self) -> pd.DataFrame:
        """A row a class: class, rate, low, high, missing (share of the items that have the class
        and were not given it), extra (share of the others that were).
        """
        t, ends = self.transition, np.array([model.rate_interval for model in self.models])
        columns = {"class": self.vocab, "rate": self.rates, "low": ends[:, 0], "high": ends[:, 1]}
        return pd.DataFrame(columns | {"missing": t[:, 1, 0], "extra": t[:, 0, 1]})

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them."""
        return {"vocab": list(self.vocab), "models": [model.to_json() for model in self.models]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> MultiLabelNoise:
        """What `to_json` gave."""
        return cls(tuple(fields["vocab"]), tuple(map(NoiseModel.from_json, fields["models"])))


def estimate_noise(
    labels: Any,
    probabilities: Any = None,
    *,
    vocab: Iterable[Any] | None = None,
    seed: int = 0,
) -> MultiLabelNoise:
    """How given labels come from true ones, class by class: `softfold.estimate_noise` of each.

    Every class has a model of its own; none is drawn to those of the others. A class that few
    items have says little of its noise: then its explanations keep about equal weights, its soft
    labels stay near the given ones, and its interval is wide. A model that classes share would say
    more than is known: an even share of wrongly given labels that is right for a frequent class
    outweighs the few items that have a rare one (docs/multilabel.md, with figures).

    Args:
        labels: 0 and 1 (N, K), a data frame of them, or a MultiLabelTable (its training part).
        probabilities: out-of-fold predictions of classes that do not exclude each other, (N, K);
            or an OutOfFold or a data frame (`softfold.align.multilabel` has the rules).
        vocab: K class names, in the order of an array's columns.
        seed: as in `softfold.estimate_noise`.

    Raises:
        InputError: labels and probabilities that do not belong together.

    >>> given = np.repeat([[0, 1], [1, 1], [0, 0], [1, 0]], 250, axis=0)
    >>> p = np.where(given == 1, 0.98, 0.02)
    >>> given[:100, 1] = 0
    >>> estimate_noise(given, p, vocab=["sea", "sky"]).rates.round(1)
    array([0. , 0.1])
    """
    both = align_multi_label(labels, probabilities, vocab)
    models = [
        estimate_checked(y, p, seed=seed) for y, p in problems(both.labels, both.probabilities)
    ]
    return MultiLabelNoise(numbered(both.vocab, len(models)), tuple(models))


def problems(labels: np.ndarray, probabilities: np.ndarray):
    """For each class labels int64 (N,) and probabilities float32 (N, 2), column 1 of having it."""
    for k in range(labels.shape[1]):
        has = np.asarray(probabilities[:, k], np.float32)
        yield labels[:, k], np.stack([1 - has, has], axis=1)


def numbered(vocab: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    """The names, or the numbers of classes without names, as text."""
    return tuple(map(str, range(n_classes))) if vocab is None else tuple(vocab)


def models_of(noise: Any, both: AlignedMulti) -> Sequence[NoiseModel]:
    """The noise models given, by the names of classes (K,), or estimated where None was."""
    k = both.labels.shape[1]
    if noise is None:
        return [estimate_checked(y, p) for y, p in problems(both.labels, both.probabilities)]
    if not isinstance(noise, MultiLabelNoise) or len(noise) != k:
        what = f"{len(noise)} classes" if isinstance(noise, MultiLabelNoise) else type(noise)
        raise InputError(
            f"noise: expected the MultiLabelNoise of {k} classes that "
            f"softfold.multilabel.estimate_noise gives, got {what}"
        )
    if both.vocab is None or noise.vocab == numbered(None, k):
        return noise.models
    columns = match_columns(noise.vocab, both.vocab, "noise", "labels")
    return noise.models if columns is None else [noise.models[i] for i in columns]
