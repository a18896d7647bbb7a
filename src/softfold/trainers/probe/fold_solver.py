"""Softmax regressions of all folds of a plan, and the strength that suits them without any truth.

Strengths of the L2 penalty are compared by the held-out loss of the targets (the given labels,
through T where there is one; soft targets as they are), each at its own best temperature: a strong
penalty flattens predictions, and would lose for that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from softfold.large_arrays import scratch
from softfold.machine.runtime import full_float32
from softfold.trainers.probe.softmax_regression import Design, Targets, log_softmax, solve
from softfold.trainers.protocol import Fold

_STRENGTHS = (1e-5, 1e3)
"""Between which strengths are searched."""

_FIRST_STRENGTH = 1.0
"""Where the search for a strength begins."""

_SEARCH_TOLERANCE = 1e-2
"""Of the solver while strengths are compared: rough, since most of them are thrown away."""

_TOLERANCE = 3e-3
"""Of the solver for the strength that was chosen."""

_TEMPERATURES = (0.05, 5.0)
"""Between which temperatures are searched."""

_TEMPERATURE_ROWS = 50_000
"""Rows that a temperature is fitted to, and scored at a time: one number needs no more."""


_HELD_CELLS = 1 << 25
"""Held-out logits (rows x classes) that are in memory at a time: 128 MiB, and some copies."""

_SEARCH_ROWS = 100_000
"""Of more items, so many choose the strength."""

_LARGE, _SEARCH_FOLDS = 5000, 2
"""With so many items, so many folds choose the strength as well as all do, in half the time."""

Logits = Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]]
"""Gives held-out rows (n,) and their logits (n, K), a part after the other, as often as asked."""


@dataclass(frozen=True)
class Solved:
    """All folds at one strength. loss: mean over held-out rows, at the temperature that makes it
    least; weights (folds, d + 1, K) before the temperature.
    """

    strength: float
    temperature: float
    loss: float
    weights: torch.Tensor
    solver: FoldSolver

    def predictions(self) -> Iterator[np.ndarray]:
        """Probabilities float32 (n, K) of each fold's held-out rows, one fold after the other."""
        for f, rows in enumerate(self.solver.held):
            out, done = scratch((len(rows), self.weights.shape[2])), 0
            for part, z in self.solver.logits_of(f, self.weights):
                p = torch.softmax(z / self.temperature, dim=1).cpu().numpy()
                out[done : done + len(part)] = p
                done += len(part)
            yield out


class FoldSolver:
    """Softmax regressions of all folds of one plan, at any strength.

    Through a transition matrix the problem has several minima: it begins at the plain solution,
    whose classes are the right ones as long as most labels are.

    Of many items some folds choose the strength, of more than `_SEARCH_ROWS` so many evenly spread
    items, and all are solved from where these end. The penalty as a whole, items times strength, is
    the same for both.

    targets: (n, K), or labels int (n,) of K = `n_classes`. All is sent to where `design.z` is.
    """

    def __init__(
        self,
        design: Design,
        targets: np.ndarray,
        folds: Sequence[Fold],
        n_classes: int | None = None,
    ) -> None:
        self.design, self.targets, self.folds, self.n_classes = design, targets, folds, n_classes
        device = design.z.device
        self.held = [torch.from_numpy(predict).to(device) for _, predict in folds]
        row_weights = torch.zeros(len(design.z), len(folds))
        for f, (train, _) in enumerate(folds):
            row_weights[torch.from_numpy(train), f] = 1
        self.row_weights = row_weights.to(device)
        self._plain: Solved | None = None
        self._few: FoldSolver | None = None

    def plain(self, strength: float | None = None) -> Solved:
        """Trained on the targets as they are, at the strength of the least held-out loss."""
        goal = self._goal()
        if strength is not None:
            return self.at(goal, strength, None)
        if self._plain is None:
            self._plain = self._searched(None, _FIRST_STRENGTH, None)
        return self._plain

    def through(self, noise: np.ndarray, strength: float | None = None) -> Solved:
        """Trained through the transition matrix `noise` (K, K)."""
        start = self.plain(strength)
        if strength is not None:
            return self.at(self._goal(noise), strength, start.weights)
        return self._searched(noise, start.strength, start.weights)

    def _goal(self, noise: np.ndarray | None = None) -> Targets:
        return Targets(self.targets, noise, self.n_classes).on(self.design.z.device)

    def _searched(
        self, noise: np.ndarray | None, strength: float, start: torch.Tensor | None
    ) -> Solved:
        """At the strength of the least held-out loss."""
        goal, n = self._goal(noise), len(self.design.z)
        if n < _LARGE:
            return self.at(goal, *self._walk(goal, strength, start))
        if self._few is None:
            rows = np.linspace(0, n - 1, min(n, _SEARCH_ROWS)).astype(np.int64)
            self._few = self._of(rows, self.folds[:_SEARCH_FOLDS])
        few, more = self._few, n / len(self._few.design.z)
        start = None if start is None else start[: len(few.folds)]
        found, weights = few._walk(few._goal(noise), strength * more, start)
        mean = weights.mean(dim=0, keepdim=True)
        return self.at(goal, found / more, mean.repeat(len(self.folds), 1, 1))

    def _of(self, rows: np.ndarray, folds: Sequence[Fold]) -> FoldSolver:
        """Some of the folds, of these rows alone."""
        if len(rows) == len(self.design.z):
            return FoldSolver(self.design, self.targets, folds, self.n_classes)
        place = np.full(len(self.design.z), -1)
        place[rows] = np.arange(len(rows))
        moved = [(place[train], place[predict]) for train, predict in folds]
        moved = [(train[train >= 0], predict[predict >= 0]) for train, predict in moved]
        return FoldSolver(self.design.take(rows), self.targets[rows], moved, self.n_classes)

    def at(
        self,
        goal: Targets,
        strength: float,
        start: torch.Tensor | None,
        *,
        rough: bool = False,
    ) -> Solved:
        """All folds at one strength. A `rough` solution is for comparing strengths."""
        problem = (self.design, goal, self.row_weights, strength)
        tolerance = _SEARCH_TOLERANCE if rough else _TOLERANCE
        weights = solve(*problem, start=start, tolerance=tolerance, rough=True)
        if not rough:
            weights = solve(*problem, start=weights, tolerance=tolerance)
        n = sum(map(len, self.held))

        def logits() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for f in range(len(self.held)):
                yield from self.logits_of(f, weights)

        if n * weights.shape[2] <= _HELD_CELLS:
            rows, z = zip(*logits())
            whole = [(torch.cat(rows), torch.cat(z))]
            temperature, loss = held_out_loss(goal, n, lambda: whole)
        else:
            temperature, loss = held_out_loss(goal, n, logits)
        return Solved(strength, temperature, loss, weights, self)

    def logits_of(
        self, fold: int, weights: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Held-out rows (n,) of a fold and their logits (n, K), in parts."""
        first = int(weights[fold].any(dim=1).int().argmax())  # a rough solution's first axis
        columns, w = self.design.z[:, first:], weights[fold, first:]
        for rows in self.held[fold].split(max(1, _HELD_CELLS // weights.shape[2])):
            with full_float32(columns.device):
                logits = columns[rows] @ w
            yield rows, logits

    def _walk(
        self, goal: Targets, strength: float, start: torch.Tensor | None
    ) -> tuple[float, torch.Tensor]:
        """The strength of the least held-out loss, and weights near it to begin with.

        Half a decade weaker as long as that helps, else stronger; then between the last.
        """
        best = self.at(goal, strength, start, rough=True)
        losses = {strength: best.loss}
        for factor in (10**-0.5, 10**0.5):
            moved = False
            while _STRENGTHS[0] <= best.strength * factor <= _STRENGTHS[1]:
                beside = self.at(goal, best.strength * factor, best.weights, rough=True)
                losses[beside.strength] = beside.loss
                if beside.loss >= best.loss:
                    break
                best, moved = beside, True
            if moved:
                break
        return _lowest(losses), best.weights


def _lowest(losses: dict[float, float]) -> float:
    """The strength of least loss, by a parabola in its logarithm between both neighbours."""
    known = sorted(losses)
    at = known.index(min(known, key=losses.__getitem__))
    if at in (0, len(known) - 1):
        return known[at]
    a, b, c = (losses[s] for s in known[at - 1 : at + 2])
    offset = 0.5 * (a - c) / max(a - 2 * b + c, 1e-12)
    return known[at] * float(10 ** (0.5 * np.clip(offset, -0.5, 0.5)))


def held_out_loss(targets: Targets, n: int, logits: Logits) -> tuple[float, float]:
    """The temperature of least loss on n held-out rows, and that loss: minus the mean log
    likelihood of their (soft) targets.
    """
    some = torch.linspace(0, n - 1, min(n, _TEMPERATURE_ROWS)).long()
    begun, chosen, few = 0, [], []
    for rows, z in logits():
        here = (some[(some >= begun) & (some < begun + len(rows))] - begun).to(z.device)
        chosen.append(rows[here])
        few.append(z[here])
        begun += len(rows)
    sample, scores = targets.take(torch.cat(chosen)), torch.cat(few)
    count = max(1, len(scores))
    temperature = minimise(lambda t: _loss(sample, scores, t) / count, *_TEMPERATURES)
    total = 0.0
    for rows, z in logits():
        total += _loss(targets.take(rows), z, temperature)
    return temperature, total / max(1, n)


def _loss(targets: Targets, logits: torch.Tensor, temperature: float) -> float:
    """The sum of the loss over rows."""
    total = 0.0
    for start in range(0, len(logits), _TEMPERATURE_ROWS):
        here = slice(start, start + _TEMPERATURE_ROWS)
        logp = log_softmax(logits[here] / temperature)[:, None, :]
        with full_float32(logp.device):
            total += float(targets.loss(logp, here).sum(dtype=torch.float64))
    return total


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
