"""What others do about wrong labels, on the same features and the same out-of-fold predictions.

Each method says what the final softmax regression is trained on: targets, weights of items, a
transition matrix, or a loss. `train` fits it, the strength of its penalty chosen by one rule for
all: the out-of-fold likelihood of what it is trained on. The nearest neighbours train nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from softfold.arrays import one_hot
from softfold.noise.classwise import confident_joint
from softfold.noise.sample import Sample
from softfold.softening import soften
from softfold.trainers.probe.fold_solver import FoldSolver
from softfold.trainers.probe.softmax_regression import Design, Targets, solve

INNER_FOLDS = 3
FILTERS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning")


@dataclass
class Problem:
    """One row of the benchmark: training features ready for the solver, given labels (N,), plain
    out-of-fold predictions (N, K), hold-out features in the solver's axes, inner folds.
    """

    design: Design
    given: np.ndarray
    plain: np.ndarray
    holdout: torch.Tensor
    folds: list[tuple[np.ndarray, np.ndarray]]

    @property
    def n_classes(self) -> int:
        return self.plain.shape[1]

    @classmethod
    def of(cls, x: np.ndarray, given: np.ndarray, plain: np.ndarray, new: np.ndarray, seed: int):
        design = Design.of(x)
        standard = (torch.from_numpy(new) - design.mean) / design.scale
        holdout = torch.cat([standard @ design.rotation, torch.ones(len(new), 1)], dim=1)
        rng = np.random.default_rng([seed, 17])
        order = rng.permutation(len(given))
        order = order[np.argsort(given[order], kind="stable")]
        part = np.empty(len(given), int)
        part[order] = np.arange(len(given)) % INNER_FOLDS
        folds = [(np.flatnonzero(part != f), np.flatnonzero(part == f)) for f in range(INNER_FOLDS)]
        return cls(design, given, plain, holdout, folds)


@dataclass
class Recipe:
    """What a final model is trained on."""

    targets: np.ndarray
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None
    goal: Callable[[np.ndarray], Targets] | None = None


class GeneralisedCrossEntropy(Targets):
    """(1 - p_y^q) / q (Zhang and Sabuncu 2018); held-out rows are judged by likelihood."""

    q = 0.7

    def loss_and_residual(self, logits, rows):
        p = torch.softmax(logits, dim=2)
        index = self._index(p, rows)
        own = p.gather(2, index)
        power = own.clamp_min(1e-12) ** self.q
        residual = p * power
        residual.scatter_add_(2, index, -power)
        return ((1 - power) / self.q).squeeze(2), residual


class EarlyLearning(Targets):
    """Cross-entropy + weight * log(1 - <p, t>) (Liu et al. 2020), t what the model said early."""

    weight = 3.0
    early: torch.Tensor

    def loss_and_residual(self, logits, rows):
        loss, residual = super().loss_and_residual(logits, rows)
        p = torch.softmax(logits, dim=2)
        early = self.early[rows][:, None, :]
        agree = (p * early).sum(dim=2, keepdim=True)
        left = (1 - agree).clamp_min(1e-4)
        loss = loss + self.weight * left.squeeze(2).log()
        return loss, residual - self.weight * p * (early - agree) / left


class Trainer:
    """Final models of one problem, each beginning at the plain one."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.base = self._solver(one_hot(problem.given, problem.n_classes), None).plain()
        self._early: torch.Tensor | None = None

    def _solver(self, targets: np.ndarray, weights: np.ndarray | None) -> FoldSolver:
        folds = self.problem.folds
        if weights is not None:
            kept = weights > 0
            folds = [(train, predict[kept[predict]]) for train, predict in folds]
        solver = FoldSolver(self.problem.design, targets, folds)
        if weights is not None:
            solver.row_weights *= torch.from_numpy(weights.astype(np.float32))[:, None]
        return solver

    def train(self, recipe: Recipe) -> np.ndarray:
        """Hold-out predictions (M, K) of the recipe's model."""
        solver = self._solver(recipe.targets, recipe.weights)
        make = recipe.goal or (lambda targets: Targets(targets, recipe.noise))
        goal = make(recipe.targets)
        best = solver.at(goal, *solver._walk(goal, self.base.strength, self.base.weights))
        n = len(recipe.targets)
        weights = np.ones(n) if recipe.weights is None else recipe.weights
        final = solve(
            self.problem.design,
            goal,
            torch.from_numpy(weights.astype(np.float32))[:, None],
            best.strength,
            start=best.weights.mean(dim=0, keepdim=True),
        )[0]
        return torch.softmax(self.problem.holdout @ final / best.temperature, dim=1).numpy()

    def hindsight(self, truth: np.ndarray) -> float:
        """Accuracy of plain training at the strength that the hold-out itself likes best."""
        goal = Targets(one_hot(self.problem.given, self.problem.n_classes))
        everything, start, best = torch.ones(len(self.problem.given), 1), None, 0.0
        for strength in (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01):
            start = solve(
                self.problem.design, goal, everything, strength, start=start, tolerance=1e-2
            )
            right = (self.problem.holdout @ start[0]).argmax(1).numpy() == truth
            best = max(best, float(right.mean()))
        return best

    def early_learning(self) -> Recipe:
        """What the plain model says after a few passes is kept as the early belief."""
        given = one_hot(self.problem.given, self.problem.n_classes)
        if self._early is None:
            n = len(given)
            weights = solve(
                self.problem.design,
                Targets(given),
                torch.ones(n, 1),
                self.base.strength,
                max_iterations=5,
            )[0]
            self._early = torch.softmax(self.problem.design.z @ weights, dim=1)

        def goal(targets: np.ndarray) -> Targets:
            made = EarlyLearning(targets)
            made.early = self._early
            return made

        return Recipe(given, goal=goal)


def recipes(problem: Problem) -> dict[str, Callable[[], Recipe]]:
    """The peers that train a softmax regression, by name."""
    given, p, k = problem.given, problem.plain, problem.n_classes
    hard = one_hot(given, k)
    made: dict[str, Callable[[], Recipe]] = {
        "plain": lambda: Recipe(hard),
        "label smoothing 0.1": lambda: Recipe(0.9 * hard + np.float32(0.1 / k)),
        "post (0.7, hard)": lambda: Recipe(soften(given, p, "blend", hard=True)),
        "blend 0.7": lambda: Recipe(soften(given, p, "blend")),
        "forward correction": lambda: Recipe(hard, noise=published_transition(given, p)),
        "GCE 0.7": lambda: Recipe(hard, goal=GeneralisedCrossEntropy),
    }
    for name in FILTERS:
        made[f"cleanlab {name}"] = lambda name=name: Recipe(hard, weights=kept(given, p, name))
    made["cleanlab CleanLearning"] = lambda: Recipe(hard, weights=clean_learning(given, p))
    return made


def published_transition(given: np.ndarray, p: np.ndarray) -> np.ndarray:
    """T from the confident joint of plain out-of-fold predictions."""
    joint = confident_joint(Sample.of(given, p, np.arange(len(given)))) + 1e-3
    return joint / joint.sum(axis=1, keepdims=True)


def kept(given: np.ndarray, p: np.ndarray, filter_by: str) -> np.ndarray:
    """1 for items that cleanlab's filter keeps, 0 for those it prunes."""
    from cleanlab.filter import find_label_issues

    return (~find_label_issues(given, p, filter_by=filter_by, n_jobs=1)).astype(float)


def clean_learning(given: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Weights that CleanLearning gives: pruned, then classes weighted by 1 / P(given = truth)."""
    from cleanlab.count import compute_confident_joint, estimate_latent

    joint = compute_confident_joint(given, p)
    _, noise_matrix, _ = estimate_latent(joint, given)
    weights = 1 / np.maximum(np.diag(noise_matrix), 1e-3)
    return kept(given, p, "prune_by_noise_rate") * weights[given]


def cleanlab_scores(given: np.ndarray, p: np.ndarray) -> dict[str, np.ndarray]:
    """cleanlab's label-error scores, higher for likelier errors."""
    from cleanlab.rank import get_label_quality_scores

    methods = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    scores = {m: -get_label_quality_scores(given, p, method=m) for m in methods}
    adjusted = ("self_confidence", "normalized_margin")
    for m in adjusted:
        scores[f"{m}, adjusted"] = -get_label_quality_scores(
            given, p, method=m, adjust_pred_probs=True
        )
    return scores


def nearest_neighbours(
    x: np.ndarray, given: np.ndarray, new: np.ndarray, n_classes: int
) -> np.ndarray:
    """Weighted adaptive nearest neighbours, after Di Salvo et al. 2024: votes (M, K).

    An item's k is the smallest of 11..51 at which its neighbours' majority is its given label
    (51 if none), its reliability 1 / k; a new item takes the k of its nearest neighbour.
    """
    from sklearn.neighbors import NearestNeighbors

    low, high = 11, 51
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    new = new / np.linalg.norm(new, axis=1, keepdims=True)
    index = NearestNeighbors(n_neighbors=high + 1, algorithm="brute").fit(x)
    near = index.kneighbors(x, return_distance=False)[:, 1:]
    votes = one_hot(given[near].ravel(), n_classes).reshape(len(x), high, n_classes).cumsum(axis=1)
    agrees = votes.argmax(axis=2)[:, low - 1 :] == given[:, None]
    size = np.where(agrees.any(axis=1), low + agrees.argmax(axis=1), high)
    near = index.kneighbors(new, n_neighbors=high, return_distance=False)
    own = size[near[:, 0]]
    weights = (np.arange(high)[None] < own[:, None]) / size[near]
    out = np.zeros((len(new), n_classes))
    np.add.at(out, (np.arange(len(new))[:, None], given[near]), weights)
    return out / out.sum(axis=1, keepdims=True)
