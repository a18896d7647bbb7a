"""A noise model: how given labels come from true classes, and what follows for an item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from softfold.errors import InputError
from softfold.noise.evidence import FLOOR, unmix

SAFE_TEMPERATURE = 0.5
"""From here on FLOOR**(1 / temperature) times the least of T is a normal float32."""


@dataclass(frozen=True)
class NoiseModel:
    """How given labels come from true classes.

    transition:     float64 (K, K), T[truth, given], rows sum to 1
    prior:          float64 (K,), share of each true class
    rate:           share of given labels that are wrong, 0..1
    rate_interval:  its 95% interval by bootstrap over items; the predictions are taken as they
                    are, so it knows nothing of their bias
    temperature:    p(k | x) is proportional to prediction**(1 / temperature)
    unmix:          predictions are of the given label: unmixed through T first, they are p(k | x)
    clean:          nothing shows noise: T explains the given labels no better than (almost) none
    joint:          float64 (K, K), expected items by truth and given label
    log_likelihood: mean over items of log p(given | x)
    """

    transition: np.ndarray
    prior: np.ndarray
    rate: float
    rate_interval: tuple[float, float]
    temperature: float
    clean: bool
    joint: np.ndarray
    log_likelihood: float
    unmix: bool = False

    @cached_property
    def columns(self) -> np.ndarray:
        """float32 (K, K), row y: T[:, y]."""
        return np.ascontiguousarray(np.maximum(self.transition, 1e-12).T, np.float32)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them."""
        return {
            "transition": np.round(self.transition, 7).tolist(),
            "prior": np.round(self.prior, 7).tolist(),
            "rate": self.rate,
            "rate_interval": list(self.rate_interval),
            "temperature": self.temperature,
            "clean": self.clean,
            "joint": np.round(self.joint, 3).tolist(),
            "log_likelihood": self.log_likelihood,
            "unmix": self.unmix,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any] | str) -> NoiseModel:
        """What `to_json` gave, as a dict or as text."""
        if isinstance(fields, str):
            fields = json.loads(fields)
        return cls(
            transition=np.asarray(fields["transition"], float),
            prior=np.asarray(fields["prior"], float),
            rate=float(fields["rate"]),
            rate_interval=(float(fields["rate_interval"][0]), float(fields["rate_interval"][1])),
            temperature=float(fields["temperature"]),
            clean=bool(fields["clean"]),
            joint=np.asarray(fields["joint"], float),
            log_likelihood=float(fields["log_likelihood"]),
            unmix=bool(fields.get("unmix", False)),
        )


def as_noise_model(transition: np.ndarray, n_classes: int, prior: Any = None) -> NoiseModel:
    """A NoiseModel with a known transition matrix (K, K), rows truth, columns given."""
    transition = np.asarray(transition, dtype=float)
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
    return NoiseModel(transition, prior, rate, (rate, rate), 1.0, False, joint, float("nan"))


def posterior(labels: np.ndarray, probabilities: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """q(k) proportional to p(k | x) T[k, given]: float32 (n, K), for a block of rows."""
    q = weigh(labels, probabilities, noise)
    q /= np.maximum(np.einsum("ij->i", q), np.float32(1e-30))[:, None]
    return q


def weigh(labels: np.ndarray, probabilities: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """`posterior` up to a factor of each row."""
    # np.clip is thrice as fast as np.maximum.
    q = np.clip(np.asarray(probabilities, np.float32), FLOOR, np.inf)
    if noise.unmix:
        q = np.maximum(unmix(q, noise.transition), FLOOR)
    np.log2(q, out=q)
    q *= np.float32(1 / noise.temperature)
    if noise.temperature < SAFE_TEMPERATURE:
        q -= q.max(axis=1, keepdims=True)
    np.exp2(q, out=q)
    q *= noise.columns[labels]
    return q
