"""Softmax regressions of all folds of a plan, and the strength that suits them without any truth.

Strengths of the L2 penalty are compared by the held-out loss of the targets (the given labels,
through T where there is one; soft targets as they are), each at its own best temperature: a strong
penalty flattens predictions, and would lose for that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from softfold.trainers.probe.softmax_regression import Design, Targets, solve
from softfold.trainers.protocol import Fold

_STRENGTHS = (1e-5, 1e3)
"""Between which strengths are searched."""

_FIRST_STRENGTH = 1.0
"""Where the search for a strength begins."""

_SEARCH_TOLERANCE = 1e-2
"""Of the solver while strengths are compared: coarse, since most of them are thrown away."""

_TOLERANCE = 3e-3
"""Of the solver for the strength that was chosen."""

_TEMPERATURES = (0.05, 5.0)
"""Between which temperatures are searched."""

_TEMPERATURE_ROWS = 50_000
"""Rows that a temperature is fitted to, and scored at a time: one number needs no more."""


@dataclass(frozen=True)
class Solved:
    """All folds at one strength. loss: mean over held-out rows, at the temperature that makes it
    least; logits (n, K) at that temperature and weights (d + 1, K) before it, by fold.
    """

    strength: float
    temperature: float
    loss: float
    logits: list[torch.Tensor]
    weights: torch.Tensor


class FoldSolver:
    """Softmax regressions of all folds of one plan, at any strength.

    Through a transition matrix the problem has several minima: it begins at the plain solution,
    whose classes are the right ones as long as most labels are.
    """

    def __init__(self, design: Design, targets: np.ndarray, folds: Sequence[Fold]) -> None:
        self.design, self.targets = design, targets
        self.held = [torch.from_numpy(predict) for _, predict in folds]
        self.row_weights = torch.zeros(len(design.z), len(folds))
        for f, (train, _) in enumerate(folds):
            self.row_weights[torch.from_numpy(train), f] = 1
        self._plain: Solved | None = None

    def plain(self, strength: float | None = None) -> Solved:
        """Trained on the targets as they are, at the strength of the least held-out loss."""
        goal = Targets(self.targets)
        if strength is not None:
            return self.at(goal, strength, None)
        if self._plain is None:
            self._plain = self._walk(goal, _FIRST_STRENGTH, None)
        return self._plain

    def through(self, noise: np.ndarray, strength: float | None = None) -> Solved:
        """Trained through the transition matrix `noise` (K, K)."""
        goal, start = Targets(self.targets, noise), self.plain(strength)
        if strength is not None:
            return self.at(goal, strength, start.weights)
        return self._walk(goal, start.strength, start.weights)

    def at(
        self,
        goal: Targets,
        strength: float,
        start: torch.Tensor | None,
        tolerance: float = _TOLERANCE,
    ) -> Solved:
        """All folds at one strength."""
        weights = solve(
            self.design, goal, self.row_weights, strength, start=start, tolerance=tolerance
        )
        logits = [self.design.z[rows] @ weights[f] for f, rows in enumerate(self.held)]
        temperature, loss = held_out_loss(goal, self.held, logits)
        return Solved(strength, temperature, loss, [z / temperature for z in logits], weights)

    def _walk(self, goal: Targets, strength: float, start: torch.Tensor | None) -> Solved:
        """Half a decade weaker as long as that helps, else stronger; then between the last."""
        best = self.at(goal, strength, start, _SEARCH_TOLERANCE)
        losses = {strength: best.loss}
        for factor in (10**-0.5, 10**0.5):
            moved = False
            while _STRENGTHS[0] <= best.strength * factor <= _STRENGTHS[1]:
                beside = self.at(goal, best.strength * factor, best.weights, _SEARCH_TOLERANCE)
                losses[beside.strength] = beside.loss
                if beside.loss >= best.loss:
                    break
                best, moved = beside, True
            if moved:
                break
        return self.at(goal, _lowest(losses), best.weights)


def _lowest(losses: dict[float, float]) -> float:
    """The strength of least loss, by a parabola in its logarithm between both neighbours."""
    known = sorted(losses)
    at = known.index(min(known, key=losses.__getitem__))
    if at in (0, len(known) - 1):
        return known[at]
    a, b, c = (losses[s] for s in known[at - 1 : at + 2])
    offset = 0.5 * (a - c) / max(a - 2 * b + c, 1e-12)
    return known[at] * float(10 ** (0.5 * np.clip(offset, -0.5, 0.5)))


def held_out_loss(
    targets: Targets, held: Sequence[torch.Tensor], logits: Sequence[torch.Tensor]
) -> tuple[float, float]:
    """The temperature of least loss on held-out rows, and that loss: minus the mean log
    likelihood of their (soft) targets.
    """
    rows, z = torch.cat(list(held)), torch.cat(list(logits))
    some = torch.linspace(0, len(rows) - 1, min(len(rows), _TEMPERATURE_ROWS)).long()
    sample, few = targets.take(rows[some]), z[some]

    def loss(part: Targets, scores: torch.Tensor, temperature: float) -> float:
        total = 0.0
        for start in range(0, len(scores), _TEMPERATURE_ROWS):
            here = slice(start, start + _TEMPERATURE_ROWS)
            logp = torch.log_softmax(scores[here] / temperature, dim=1)[:, None, :]
            total += float(part.loss(logp, here).sum(dtype=torch.float64))
        return total / max(1, len(scores))

    temperature = minimise(lambda t: loss(sample, few, t), *_TEMPERATURES)
    return temperature, loss(targets.take(rows), z, temperature)


def minimise(function: Callable[[float], float], low: float, high: float) -> float:
    """Golden section on a logarithmic scale, to 2%."""
    a, b, ratio = np.log(low), np.log(high), (np.sqrt(5) - 1) / 2
    x, y = b - ratio * (b - a), a + ratio * (b - a)
    fx, fy = function(float(np.exp(x))), function(float(np.exp(y)))
    while b - a > 0.02:
        if fx < fy:
            b, y, fy = y, x, fx
            x = b - ratio * (b - a)
            fx = function(float(np.exp(x)))
        else:
            a, x, fx = x, y, fy
            y = a + ratio * (b - a)
            fy = function(float(np.exp(y)))
    return float(np.exp((a + b) / 2))
