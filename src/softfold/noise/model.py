"""A noise model: explanations of how given labels came about, weighed, and what follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from softfold import markup
from softfold.align import match_columns
from softfold.errors import InputError
from softfold.noise.block import Block
from softfold.noise.explanation import ARRAYS, Explanation, log_floored, read_alike

LEAST_WEIGHT = 0.01
"""An explanation with less changes no soft label that matters, and is not computed."""


@dataclass(frozen=True)
class NoiseModel:
    """How given labels come from true classes: several explanations, weighed.

    Attributes:
        explanations: what may have happened, likeliest first; weights sum to 1.
        rate: share of given labels that are wrong, 0..1; nan where predictions tell nothing.
        rate_interval: the rates that the data leave open, with 95% confidence.
        information: share of the entropy of given labels that predictions explain.
        transition: float64 (K, K), T[truth, given], rows sum to 1.
        prior: float64 (K,), share of each true class.
        joint: float64 (K, K), expected items by truth and given label.
        log_likelihood: mean over items of log p(given | x), in nats.
        audited: items checked at random that the rate rests on; 0: it is an estimate.
        tilt: added to each item's log-odds that its given label is wrong, so that suspicions add up
            to what an audit found (`softfold.noise.audit.tilt_into`).
        vocab: K class names in the order of `transition`; None where only numbers were known.
    """

    explanations: tuple[Explanation, ...]
    rate: float
    rate_interval: tuple[float, float]
    transition: np.ndarray
    prior: np.ndarray
    joint: np.ndarray
    log_likelihood: float = float("nan")
    information: float = float("nan")
    audited: int = 0
    tilt: float = 0.0
    vocab: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"NoiseModel({self._about})"

    @property
    def _about(self) -> str:
        low, high = self.rate_interval
        k, best = len(self.prior), self.best
        known = "no rate can be given"
        if self.rate == self.rate:
            how = f"{self.audited:,} checked" if self.audited else "best guess"
            known = f"{low:.1%} to {high:.1%} of labels wrong, {how} {self.rate:.1%}"
        return f"{k:,} classes, {known}; {best.weight:.0%} explained as {best.name!r}"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self, vocab: Sequence[str] | None = None) -> str:
        """The rate and a heat map of T for a notebook; `vocab` are the K class names to show."""
        vocab = self.vocab if vocab is None else vocab
        names = [str(k) for k in range(len(self.prior))] if vocab is None else list(vocab)
        about = markup.text(f"noise model: {self._about}")
        return f"<div>{about}</div>{markup.heat_map(self.transition, names)}"

    def in_order(self, vocab: Sequence[str] | None) -> NoiseModel:
        """The same model with its classes in the order of these names; itself without names.

        Raises:
            InputError: a class that only one of them has.
        """
        if self.vocab is None or vocab is None:
            return self
        order = match_columns(self.vocab, vocab, "noise model", "predictions")
        if order is None:
            return self
        square = np.ix_(order, order)
        explanations = [
            replace(
                e,
                transition=e.transition[square],
                shift=None if e.shift is None else e.shift[order],
            )
            for e in self.explanations
        ]
        return replace(
            self,
            explanations=tuple(explanations),
            transition=self.transition[square],
            prior=self.prior[order],
            joint=self.joint[square],
            vocab=tuple(vocab),
        )

    @property
    def best(self) -> Explanation:
        """The explanation that is believed most."""
        return max(self.explanations, key=lambda e: e.weight)

    @property
    def clean(self) -> bool:
        """Whether "all given labels are right" is believed more than any other explanation."""
        return self.best.name == "clean"

    @property
    def temperature(self) -> float:
        """That of the explanation that is believed most."""
        return self.best.temperature

    def weight(self, *names: str) -> float:
        """How much the explanations of these names are believed together."""
        return float(sum(e.weight for e in self.explanations if e.name in names))

    @property
    def shift(self) -> np.ndarray | None:
        """What all explanations of these predictions add to their logarithms: float (K,)."""
        return self.best.shift

    @property
    def counted(self) -> tuple[Explanation, ...]:
        """The explanations that soft labels are made of."""
        return tuple(e for e in self.explanations if e.weight >= LEAST_WEIGHT)

    @property
    def shares(self) -> np.ndarray:
        """Weights of `counted`, which sum to 1: float64 (m,)."""
        weights = np.array([e.weight for e in self.counted])
        return weights / weights.sum()

    @cached_property
    def alike(self) -> list[list[int]]:
        """Which of `counted` have one T: `read_alike` reads them together.

        By its values: a model that was read from a file has an array for each.
        """
        found: list[list[int]] = []
        for i, explanation in enumerate(self.counted):
            for members in found:
                if explanation.has_transition_of(self.counted[members[0]]):
                    members.append(i)
                    break
            else:
                found.append([i])
        return found

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them; a rate or names that are not known are absent."""
        fields = asdict(self) | {
            "transition": np.round(self.transition, 7).tolist(),
            "prior": np.round(self.prior, 7).tolist(),
            "joint": np.round(self.joint, 3).tolist(),
            "rate_interval": list(self.rate_interval),
            "explanations": [e.to_json() for e in self.explanations],
            "temperature": self.temperature,
            "clean": self.clean,
        }
        if self.vocab is None:
            del fields["vocab"]
        return {k: v for k, v in fields.items() if not (isinstance(v, float) and np.isnan(v))}

    @classmethod
    def from_json(cls, fields: dict[str, Any] | str) -> NoiseModel:
        """What `to_json` gave, as a dict or as text."""
        made: dict[str, Any] = dict(json.loads(fields) if isinstance(fields, str) else fields)
        for derived in ("temperature", "clean"):
            made.pop(derived, None)
        for name in ("transition", "prior", "joint"):
            made[name] = np.asarray(made[name], float)
        made["explanations"] = tuple(
            Explanation(**(e | {n: np.asarray(e[n], float) for n in ARRAYS if n in e}))
            for e in made["explanations"]
        )
        if "vocab" in made:
            made["vocab"] = tuple(made["vocab"])
        low, high = made["rate_interval"]
        return cls(**({"rate": float("nan")} | made | {"rate_interval": (low, high)}))


def matched_noise(noise: Any, n_classes: int, vocab: Sequence[str] | None) -> NoiseModel:
    """What was given as `noise`, a model or a transition matrix, for predictions of classes."""
    if isinstance(noise, NoiseModel):
        return noise.in_order(vocab)
    return as_noise_model(noise, n_classes)


def as_noise_model(transition: np.ndarray, n_classes: int, prior: Any = None) -> NoiseModel:
    """A NoiseModel with a known transition matrix (K, K), rows truth, columns given."""
    try:
        transition = np.asarray(transition, dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            f"noise: expected a NoiseModel or a transition matrix ({n_classes}, {n_classes})"
        ) from None
    if transition.shape != (n_classes, n_classes):
        raise InputError(
            f"noise: expected a transition matrix ({n_classes}, {n_classes}), got shape "
            f"{transition.shape}"
        )
    wrong = ~(np.abs(transition.sum(axis=1) - 1) < 1e-3) | ~(transition >= 0).all(axis=1)
    if wrong.any():
        raise InputError(
            f"noise: {wrong.sum()} rows of the transition matrix are no probabilities (rows are "
            f"the truth and sum to 1); the first is row {int(np.argmax(wrong))}"
        )
    prior = np.full(n_classes, 1 / n_classes) if prior is None else np.asarray(prior, float)
    joint = prior[:, None] * transition
    rate = float(1 - np.trace(joint))
    known = Explanation("by_class", transition, 1.0, rate=rate)
    return NoiseModel((known,), rate, (rate, rate), transition, prior, joint)


def posterior(labels: np.ndarray, probabilities: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """q(k | x, given), the mean over explanations: float32 (n, K), for a block of rows."""
    block = Block(labels, log_floored(probabilities, noise.shift))
    explanations, shares = noise.counted, noise.shares
    out = np.zeros_like(block.logs)
    for members in noise.alike:
        out += read_alike([explanations[i] for i in members], block, shares[members])[0]
    return tilted(block, out, noise.tilt) if noise.tilt else out


def tilted(block: Block, q: np.ndarray, tilt: float) -> np.ndarray:
    """q(k) of items (n, K), overwritten, with so much added to the log-odds of a wrong label."""
    own = block.given(q) * np.float32(np.exp(-tilt))
    block.put_given(q, 0)
    others = np.einsum("ij->i", q)
    block.put_given(q, own)
    q /= np.maximum(own + others, np.float32(1e-30))[:, None]
    return q
