"""L2-regularised softmax regression, many problems solved together: all folds in one pass.

minimise over W, b:  mean_i w_i loss(softmax(x_i W + b), target_i) + strength / 2 |W|^2

Features are rotated once into their principal axes. There, Boehning's (1992) bound on the
Hessian, (X'X / n) / 2, is diagonal, so that scaling by it takes most of the problem's condition
number away and L-BFGS needs some tens of passes. All problems of a pass (folds) share one matrix
product with the features; rows a problem must not see have weight zero. A problem is solved where
its features are (`Design.on`): on a GPU, all that is computed of them stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from softfold.arrays import likeliest
from softfold.large_arrays import scratch, taken
from softfold.machine.runtime import full_float32, gpu_cells, precision, solving_device
from softfold.nearby import first_axes

_BLOCK_ROWS = 4096
"""Of features on a processor; a GPU takes more (`gpu_cells`)."""

_BLOCK_CELLS = 1 << 22
"""Logits (rows x problems x classes) held at a time: 16 MiB, and a few copies of them."""

_MEMORY = 8
"""Pairs that L-BFGS remembers."""

_SLACK, _ROUNDED_SLACK = 1e-7, 1e-4
"""Of the line search: shares of the loss that rounding moves, of float32 and bfloat16 products."""

_EXACT = 1e-3
"""A smaller tolerance needs products in float32."""

_SPARED = 0.2
"""Share of the variance that may lie along axes that are left out."""


@dataclass(frozen=True)
class Design:
    """Features as the solver wants them: `z` (n, d + 1) float32, standardised, rotated into
    principal axes, the last column 1; `variance` (d + 1,) of its columns. `mean`, `scale` (d,)
    and `rotation` (d, d) bring new features there. `z` may be on a GPU, the others are not.
    """

    z: torch.Tensor
    variance: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor
    rotation: torch.Tensor

    @classmethod
    def of(cls, *parts: np.ndarray, axes: int | None = None) -> Design:
        """Standardise and rotate features (n, d), in one part or in several side by side.

        No labels are used.

        Args:
            parts: float (n, d) in all.
            axes: keep no more than about so many principal axes, the first; all where None. Then z
                is (n, axes + 1) and rotation (d, axes).
        """
        n, d = len(parts[0]), sum(part.shape[1] for part in parts)

        def block_of(rows: slice, dtype: type) -> np.ndarray:
            if len(parts) == 1:
                return np.asarray(parts[0][rows], dtype=dtype)
            return np.concatenate([part[rows] for part in parts], axis=1, dtype=dtype)

        total, square = np.zeros(d), np.zeros(d)
        for start in range(0, n, _BLOCK_ROWS):
            block = block_of(slice(start, start + _BLOCK_ROWS), np.float64)
            total += block.sum(axis=0)
            square += (block**2).sum(axis=0)
        mean = total / n
        spread = np.sqrt(np.maximum(square / n - mean**2, 0))
        scale = np.where(spread > 1e-6 * max(1e-30, spread.max()), spread, np.inf)
        gram = torch.zeros(d, d)
        z = torch.from_numpy(scratch((n, d + 1)))
        for start in range(0, n, _BLOCK_ROWS):
            rows = slice(start, min(n, start + _BLOCK_ROWS))
            block = ((block_of(rows, np.float64) - mean) / scale).astype(np.float32)
            z[rows, :d] = torch.from_numpy(block)
            gram += z[rows, :d].T @ z[rows, :d]
        # NumPy's: torch's (MKL) does not always converge where there are fewer rows than features.
        gram /= n
        if axes is not None and axes < d:
            values, vectors = first_axes(gram.numpy(), axes)
        else:
            values, vectors = np.linalg.eigh(gram.numpy().astype(float))
        variance, rotation = torch.from_numpy(values), torch.from_numpy(vectors).float()
        for start in range(0, n, _BLOCK_ROWS):
            rows = slice(start, min(n, start + _BLOCK_ROWS))
            z[rows, : rotation.shape[1]] = z[rows, :d] @ rotation
        z = z[:, : rotation.shape[1] + 1].contiguous() if rotation.shape[1] < d else z
        z[:, -1] = 1
        return cls(
            z=z,
            variance=torch.cat([variance.clamp(min=0).float(), torch.ones(1)]),
            mean=torch.from_numpy(mean).float(),
            scale=torch.from_numpy(scale).float(),
            rotation=rotation,
        )

    @cached_property
    def factors(self) -> torch.Tensor:
        """`z` as products take it: bfloat16 (n, d + 1) on a processor that has it.

        Such products take a third of the time. What rounds is far less than what labels leave open.
        """
        if self.z.device.type != "cpu" or precision("cpu") != torch.bfloat16:
            return self.z
        out = torch.from_numpy(scratch(self.z.shape, np.int16)).view(torch.bfloat16)
        for start in range(0, len(out), _BLOCK_ROWS):
            out[start : start + _BLOCK_ROWS] = self.z[start : start + _BLOCK_ROWS]
        return out

    def on(self, device: str | None) -> Design:
        """The same with `z` on this GPU, where it is one and has room (`solving_device`)."""
        return replace(self, z=self.z.to(solving_device(self.z.nbytes, device)))

    def take(self, rows: np.ndarray) -> Design:
        """The same axes, with these rows of `z` alone."""
        if self.z.device.type != "cpu":
            return replace(self, z=self.z[torch.from_numpy(rows).to(self.z.device)])
        return replace(self, z=torch.from_numpy(taken(self.z.numpy(), rows)))

    def first_axis(self, strength: float) -> int:
        """The first axis (they are sorted by variance) that a rough solution needs.

        Along an axis the loss curves by half the variance at most, the penalty by `strength`. Axes
        along which the penalty outweighs the data, and which hold `_SPARED` of all variance at
        most, take most of the time and say little of which strength is best.
        """
        variance = self.variance[:-1]
        outweighed = int((0.5 * variance < strength).sum())
        spared = int((variance.cumsum(0) < _SPARED * variance.sum()).sum())
        return min(outweighed, spared)

    def original(self, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (d + 1, K) of the rotated features as W (d, K), b (K,) of the features."""
        weights = weights.cpu()
        w = (self.rotation @ weights[:-1]) / self.scale[:, None]
        return w, weights[-1] - self.mean @ w


class Targets:
    """What each row should be, from targets (n, K) or labels int (n,) of K = `n_classes`.

    One-hot targets are kept as labels.

    `values` holds labels int64 (n,) where `hard` is True, else targets float32 (n, K).

    `transition` (K, K), rows truth, columns given: the loss is then that of the given label
    through it, -log sum_k T[k, y] p_k (forward correction, Patrini et al. 2017).
    """

    def __init__(
        self,
        targets: np.ndarray,
        transition: np.ndarray | None = None,
        n_classes: int | None = None,
    ) -> None:
        targets = np.asarray(targets)
        self.n_classes = n_classes or targets.shape[1]
        hard = hard_labels(targets)
        self.hard = targets.ndim == 1 or bool((targets[np.arange(len(targets)), hard] == 1).all())
        self.values = torch.from_numpy(
            hard.astype(np.int64) if self.hard else targets.astype(np.float32, copy=False)
        )
        self.transition = (
            None
            if transition is None
            else torch.as_tensor(np.asarray(transition), dtype=torch.float32)
        )

    def on(self, device: torch.device) -> Targets:
        """The same on this device."""
        part = copy(self)
        part.values = self.values.to(device)
        if self.transition is not None:
            part.transition = self.transition.to(device)
        return part

    def take(self, rows: torch.Tensor) -> Targets:
        """The targets of these rows."""
        part = copy(self)
        part.values = self.values[rows]
        return part

    def loss(self, logp: torch.Tensor, rows: slice) -> torch.Tensor:
        """Loss (n, P) of log probabilities (n, P, K)."""
        if self.transition is None:
            if self.hard:
                return -logp.gather(2, self._index(logp, rows)).squeeze(2)
            return -torch.einsum("npk,nk->np", logp, self.values[rows])
        if self.hard:
            column = self.transition.T[self.values[rows]]
            return -torch.einsum("npk,nk->np", logp.exp(), column).clamp_min(1e-30).log()
        given = (logp.exp() @ self.transition).clamp_min(1e-30)
        return -torch.einsum("npk,nk->np", given.log(), self.values[rows])

    def loss_and_residual(
        self, logits: torch.Tensor, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss (n, P) and its gradient by the logits (n, P, K), from logits (n, P, K), which are
        used up.
        """
        logp = log_softmax(logits)
        p = logp.exp()
        if self.transition is None:
            loss = self.loss(logp, rows)
            if self.hard:
                index = self._index(logp, rows)
                p.scatter_add_(2, index, p.new_full(index.shape, -1.0))
                return loss, p
            return loss, p - self.values[rows][:, None, :]
        if self.hard:
            joint = p * self.transition.T[self.values[rows]][:, None, :]
            total = joint.sum(dim=2).clamp_min(1e-30)
            return -total.log(), p - joint / total[..., None]
        given = (p @ self.transition).clamp_min(1e-30)
        soft = self.values[rows][:, None, :]
        loss = -(soft * given.log()).sum(dim=2)
        return loss, p - p * ((soft / given) @ self.transition.T)

    def _index(self, logp: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.values[rows][:, None, None].expand(-1, logp.shape[1], 1)


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Log probabilities (..., K) of logits (..., K), which are used up.

    Along few classes torch's own takes several times as long.
    """
    logits -= logits.amax(dim=-1, keepdim=True)
    logits -= logits.exp().sum(dim=-1, keepdim=True).log_()
    return logits


def hard_labels(targets: np.ndarray) -> np.ndarray:
    """The likeliest class int (n,) of targets (n, K); labels (n,) as they are."""
    return targets if targets.ndim == 1 else likeliest(targets)


def solve(
    design: Design,
    targets: Targets,
    row_weights: torch.Tensor,
    strength: float,
    *,
    start: torch.Tensor | None = None,
    tolerance: float = 3e-3,
    max_iterations: int = 200,
    rough: bool = False,
) -> torch.Tensor:
    """Weights (P, d + 1, K) of P problems, on the device of `design.z`.

    row_weights: (n, P); problem j minimises the mean weighted by column j (0: unseen).
    strength:    of the L2 penalty on all but the intercept.
    start:       weights to begin with, from a neighbouring strength.
    tolerance:   stops when the gradient, scaled by the Hessian's bound, is this small beside
                 its value at zero weights. From `_EXACT` on, products are those of
                 `Design.factors`.
    rough:       on the axes from `Design.first_axis` on alone; the other weights are zero.
    """
    first = design.first_axis(strength) if rough else 0
    factors = design.z if tolerance < _EXACT else design.factors
    columns, variance = factors[:, first:], design.variance[first:]
    n, d1 = columns.shape
    slack = _SLACK if columns.dtype == torch.float32 else _ROUNDED_SLACK
    device, k, problems = columns.device, targets.n_classes, row_weights.shape[1]
    targets, row_weights = targets.on(device), row_weights.to(device)
    share = row_weights / row_weights.sum(dim=0, keepdim=True)
    penalty = torch.full((d1,), float(strength))
    penalty[-1] = 0
    scale = (0.5 * variance + penalty).clamp_min(1e-8).rsqrt()
    penalty, scale = penalty.to(device)[None, :, None], scale.to(device)[None, :, None]
    step_rows = max(64, _block_rows(device, problems * k))

    def value(u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        w = u * scale
        flat = w.permute(1, 0, 2).reshape(d1, problems * k).to(columns.dtype)
        total = columns.new_zeros(problems, dtype=torch.float64)
        gradient = columns.new_zeros(d1, problems * k, dtype=torch.float32)
        for begin in range(0, n, step_rows):
            rows = slice(begin, min(n, begin + step_rows))
            with full_float32(device):  # rounding would stop the line search
                logits = (columns[rows] @ flat).float().view(-1, problems, k)
                loss, residual = targets.loss_and_residual(logits, rows)
                residual *= share[rows][:, :, None]
                residual = residual.view(-1, problems * k).to(columns.dtype)
                gradient += columns[rows].T @ residual
            total += (loss * share[rows]).sum(dim=0, dtype=torch.float64)
        gradient = gradient.view(d1, problems, k).permute(1, 0, 2)
        weighted = w * penalty
        total += 0.5 * (w * weighted).sum(dim=(1, 2), dtype=torch.float64)
        return total, (gradient + weighted) * scale

    shape = (problems, d1, k)
    nothing = columns.new_zeros(shape, dtype=torch.float32)
    u = nothing if start is None else start[:, first:] / scale
    loss, gradient = value(u)
    if start is None:
        zero_norm = gradient.flatten(1).norm(dim=1)
    else:
        zero_norm = value(nothing)[1].flatten(1).norm(dim=1)
    goal = tolerance * zero_norm
    pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for _ in range(max_iterations):
        active = gradient.flatten(1).norm(dim=1) > goal
        if not active.any():
            break
        direction = -_two_loop(gradient, pairs)
        slope = (direction * gradient).sum(dim=(1, 2))
        uphill = slope >= 0
        direction = torch.where(uphill[:, None, None], -gradient, direction)
        slope = torch.where(uphill, -(gradient**2).sum(dim=(1, 2)), slope).double()
        step = active.float()
        for _ in range(12):
            new_u = u + step[:, None, None] * direction
            new_loss, new_gradient = value(new_u)
            bad = active & (new_loss > loss + 1e-4 * step * slope + slack * loss.abs())
            if not bad.any():
                break
            step = torch.where(bad, step * 0.4, step)
        else:
            step = torch.where(bad, torch.zeros_like(step), step)
            if not step.any():
                break
            new_u = u + step[:, None, None] * direction
            new_loss, new_gradient = value(new_u)
        s, y = new_u - u, new_gradient - gradient
        sy = (s * y).sum(dim=(1, 2))
        pairs = [*pairs[-(_MEMORY - 1) :], (s, y, sy)]
        u, loss, gradient = new_u, new_loss, new_gradient
    return torch.nn.functional.pad(u * scale, (0, 0, first, 0))


def _block_rows(device: torch.device, width: int) -> int:
    """Rows whose logits (rows, width) are held at a time."""
    if device.type == "cpu":
        return min(_BLOCK_ROWS, _BLOCK_CELLS // width)
    return gpu_cells(device) // width


def _two_loop(
    gradient: torch.Tensor, pairs: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """Inverse Hessian times gradient for each problem (Nocedal and Wright, algorithm 7.4)."""
    q = gradient.clone()
    alphas = []
    for s, y, sy in reversed(pairs):
        usable = sy > 1e-12
        alpha = torch.where(usable, (s * q).sum(dim=(1, 2)) / sy.clamp_min(1e-30), 0.0)
        q -= alpha[:, None, None] * y
        alphas.append(alpha)
    if pairs:
        s, y, sy = pairs[-1]
        yy = (y * y).sum(dim=(1, 2))
        ratio = torch.where(sy > 1e-12, sy / yy.clamp_min(1e-30), 1.0)
        q *= ratio[:, None, None]
    for (s, y, sy), alpha in zip(pairs, reversed(alphas)):
        beta = torch.where(sy > 1e-12, (y * q).sum(dim=(1, 2)) / sy.clamp_min(1e-30), 0.0)
        q += (torch.where(sy > 1e-12, alpha, 0.0) - beta)[:, None, None] * s
    return q
