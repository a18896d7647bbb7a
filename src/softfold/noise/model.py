"""A noise model: the explanations of how given labels came about, weighed, and what follows."""

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
from softfold.noise.block import Block, given_cells, powers, top
from softfold.noise.matrices import MANY_CLASSES, by_columns, even_entries, unmix
from softfold.noise.sample import FLOOR

LEAST_WEIGHT = 0.01
"""An explanation with less changes no soft label that matters, and is not computed."""

LEAST_SHARE = np.float32(1e-12)
ARRAYS = ("transition", "shift")
"""Fields of an explanation that JSON has as lists."""

HEAT = 2.0
"""How fast the chance to be of no class grows with the heat of an item, in log-odds."""


@dataclass(frozen=True)
class Explanation:
    """One way in which given labels may have come about.

    Attributes:
        name: "clean", "surest", "by_class", "even" or "no_class" (docs/method.md).
        transition: float64 (K, K), T[truth, given], rows sum to 1.
        temperature: p(k | x) is proportional to prediction**(1 / temperature).
        unmix: predictions are of the given label: taken back through T they are p(k | x).
        offset: of "no_class" alone: log-odds of an item of heat 0 to be of no class.
        shift: float (K,), added to log predictions first; None: nothing
            (`softfold.noise.temperature.base_shift`).
        weight: how much it is believed, 0..1; those of a noise model sum to 1.
        rate: share of given labels that are wrong by it, 0..1.
    """

    name: str
    transition: np.ndarray
    temperature: float
    unmix: bool = False
    offset: float | None = None
    weight: float = 1.0
    rate: float = float("nan")
    shift: np.ndarray | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them, without a shift where there is none."""
        arrays = {n: getattr(self, n) for n in ARRAYS if getattr(self, n) is not None}
        rest = {n: value for n, value in asdict(self).items() if n not in ARRAYS}
        return rest | {n: np.round(np.asarray(a, float), 7).tolist() for n, a in arrays.items()}

    @cached_property
    def even(self) -> tuple[float, float] | None:
        """What T has on its diagonal and beside it, where that is one number each."""
        return even_entries(self.transition)

    def has_transition_of(self, other: Explanation) -> bool:
        """Whether both are of one kind and have one T."""
        alike = self.transition is other.transition
        same = alike or np.array_equal(self.transition, other.transition)
        return same and (self.offset is None) == (other.offset is None)

    def columns(self, block: Block) -> np.ndarray:
        """T[:, y] of each label y, at least LEAST_SHARE: float32 (n, K), laid out as `by_columns`.

        Not to be written to: explanations of one T share it.
        """
        name = id(self.transition)
        if name not in block.columns:
            block.columns[name] = self.transition, self._by_labels(block.labels)
        return block.columns[name][1]

    def _by_labels(self, labels: np.ndarray) -> np.ndarray:
        # Labels are in range; "raise" would make a copy to check that.
        if len(self.transition) < MANY_CLASSES:
            return np.take(self._floored.T, labels, axis=1, mode="clip").T
        return np.take(self._floored, labels, axis=0, mode="clip")

    @cached_property
    def _floored(self) -> np.ndarray:
        """The transpose of T, float32 (K, K), laid out as `by_columns`."""
        floored = by_columns(self.transition.astype(np.float32).T)
        return np.maximum(floored, LEAST_SHARE, out=floored)

    def likeness(self, logs: np.ndarray) -> np.ndarray:
        """p(k | x) up to a factor a row: float32 (n, K), from log of predictions (n, K)."""
        return self._likeness(top(self._shifted(logs)))

    def _shifted(self, logs: np.ndarray) -> np.ndarray:
        """`log_floored` with the shift, a new array, from logs without it."""
        return logs.copy("K") if self.shift is None else log_floored(np.exp(logs), self.shift)

    def _likeness(self, logs: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """`likeness` from logs that are shifted, the largest of each row 0."""
        if self.unmix:
            logs = top(log_floored(unmix(np.exp(logs), self.transition)))
        return powers(logs, self.temperature, out)

    def read(self, labels: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it says of items: q(k) float32 (n, K), and log-odds that the given label is wrong.

        labels: int (n,); logs: of predictions, float32 (n, K), at least log of FLOOR.
        """
        return self.read_block(Block(labels, self._shifted(logs)))

    def read_block(self, block: Block, weight: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """`read`, of logs that are shifted; q is multiplied by `weight`."""
        q, odds = read_alike([self], block, np.array([weight]))
        return q, odds[0]

    def weigh(
        self, block: Block, likenesses: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`read_alike` of m explanations of this T, from what each takes p(k | x) for.

        likenesses: float32 (m, n, K), up to a factor a row; overwritten.
        """
        own = np.stack([block.given(z) for z in likenesses])
        for z in likenesses:
            block.put_given(z, 0)
        # The sum over the others keeps its digits where 1 - q(given) would lose them.
        if self.even is None:
            columns = self.columns(block)
            own *= block.given(columns)
            others = np.einsum("mik,ik->mi", likenesses, columns)
        else:
            right, wrong = np.maximum(self.even, LEAST_SHARE)
            own *= np.float32(right / wrong)
            others = np.einsum("mik->mi", likenesses)
        share = weights.astype(np.float32)[:, None] / np.maximum(own + others, np.float32(1e-30))
        q = np.einsum("mik,mi->ik", likenesses, share)
        if self.even is None:
            q *= columns
        block.put_given(q, np.einsum("mi,mi->i", own, share))
        tiny = np.float32(1e-37)
        return q, np.log(np.maximum(others, tiny)) - np.log(np.maximum(own, tiny))

    def odds_of_no_class(self, block: Block) -> np.ndarray:
        """Log-odds of items to be of no class, of "no_class" alone: float32 (n,)."""
        logs = block.logs * np.float32(1 / self.temperature)
        return np.float32(self.offset) + np.float32(HEAT) * heat(block.labels, logs)

    def _read_no_class(self, block: Block, weight: float) -> tuple[np.ndarray, np.ndarray]:
        """An item of no class has no label to be sure of: its share is spread evenly."""
        odds, k = self.odds_of_no_class(block), len(self.transition)
        wrong = 1 / (1 + np.exp(np.minimum(-odds, 80)))  # above, float32 overflows to the same
        q = np.empty_like(block.logs)
        q[:] = (np.float32(weight / k) * wrong)[:, None]
        block.put_given(q, np.float32(weight) * (1 - wrong + wrong / k))
        return q, odds


def read_alike(
    explanations: Sequence[Explanation], block: Block, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What m explanations of one T say of items.

    The sum of their q(k), each times its weight (m,): float32 (n, K). And log-odds that the given
    label is wrong by each: float32 (m, n).
    """
    first = explanations[0]
    if first.offset is not None:
        q, odds = first._read_no_class(block, weights[0])
        return q, odds[None]
    likenesses = block.empty(len(explanations))
    for explanation, z in zip(explanations, likenesses, strict=True):
        explanation._likeness(block.logs, out=z)
    return first.weigh(block, likenesses, weights)


def heat(labels: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """How unlike its given label, and unlike any class, the model finds an item: float32 (n,).

    log(1 - s_y + entropy of s) - log s_y, with s proportional to the square root of predictions,
    which lets small ones speak. logs: of predictions, float32 (n, K) laid out as `by_columns`, the
    largest of each row near 0.
    """
    z = logs * np.float32(0.5)
    own = z.ravel(order="K")[given_cells(labels, z.shape[1])]
    s = np.exp(z)
    total = np.einsum("ij->i", s)
    entropy = np.log(total) - np.einsum("ij,ij->i", s, z) / total
    own = np.maximum(np.exp(own) / total, LEAST_SHARE)
    return np.log(np.maximum(1 - own + entropy, LEAST_SHARE)) - np.log(own)


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


def log_floored(probabilities: np.ndarray, shift: np.ndarray | None = None) -> np.ndarray:
    """log of predictions (n, K) as float32, at least that of FLOOR, laid out as `by_columns`.

    shift: float (K,), of predictions times exp(shift), rows summing to 1.
    """
    # np.clip is thrice as fast as np.maximum.
    p = np.clip(by_columns(np.asarray(probabilities, np.float32)), FLOOR, np.inf)
    if shift is not None:
        p *= np.exp(shift, dtype=np.float32)
        p *= (1 / np.einsum("ij->i", p))[:, None]
        np.clip(p, FLOOR, np.inf, out=p)
    return np.log(p, out=p)


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
