"""What a second model's predictions tell of the noise rate beside the first's.

Two models contradict a label together because the label is wrong, or because both err alike. Counts
of who agrees with whom cannot tell these apart: a third party that is always in league with one of
two is nobody's witness. How the models foresaw the label can (`Sample.foreseen` has the idea):

- A model's own errors show themselves where the other model agrees with the label. To labels that
  such an error contradicts the model gave much probability.
- To wrong labels it gave little more than to those that are right.
- Labels that both contradict are between, and the place between is the share of wrong ones.

No model can tell of wrong labels that both have learned by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softfold.noise.sample import MIDDLE, MIDDLE_ITEMS, Sample
from softfold.noise.weighing import EXPECTED

AUC_ERROR = 0.29
"""Standard deviation of a place among others that is drawn evenly from 0 to 1."""


@dataclass(frozen=True)
class Heard:
    """What two models say of the labels of the same items.

    Attributes:
        independent: share of wrong labels, 0..1, if label, first and second model err apart.
        share: 0..1, how much of that is wrong labels and not both models' errors.
        rate: share of wrong labels, `independent * share`.
        error: standard error of `rate`.
    """

    independent: float
    share: float
    rate: float
    error: float


def hear(first: Sample, second: Sample) -> Heard | None:
    """What two models' predictions of the same items, in the same order, say of their labels.

    None where they say nothing: a model that agrees with nobody above chance, models that never
    put each other right, or whose errors look like wrong labels.
    """
    independent, spread = _independent(first, second)
    seen, errors, pairs = _contradictions(first, second)
    wrong = EXPECTED["surest"][0]
    if not (np.isfinite(independent) and pairs[1] and errors > wrong):
        return None
    # Where a contradiction lies between wrong labels and the models' errors.
    whole = errors - wrong
    share = float(np.clip((errors - seen) / whole, 0.0, 1.0))
    doubt = AUC_ERROR / np.sqrt(np.asarray(pairs) + MIDDLE_ITEMS)
    error = float(np.hypot(doubt[0], doubt[1] * (1 - share)) / whole)
    rate = share * independent
    return Heard(independent, share, rate, float(np.hypot(share * spread, independent * error)))


def _independent(first: Sample, second: Sample) -> tuple[float, float]:
    """Share of wrong labels from how often label, first and second agree, and its error.

    Three that err apart agree in pairs, above chance, by products of what each is worth (Dawid and
    Skene 1979 with one number each; Platanios et al. 2014): what the label is worth is the square
    root of its agreement with the one times that with the other over theirs with each other.
    """
    n, k = len(first), first.n_classes
    said = (first.labels, first.predicted, second.predicted)
    shares = [np.bincount(s, minlength=k) / n for s in said]
    kappa, relative = np.empty(3), np.empty(3)
    for i, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        agreed, chance = float((said[a] == said[b]).mean()), float(shares[a] @ shares[b])
        room = max(1 - chance, 1e-9)
        kappa[i] = (agreed - chance) / room
        relative[i] = np.sqrt(agreed * (1 - agreed) / n) / room / max(kappa[i], 1e-9)
    if (kappa <= 0).any():
        return float("nan"), float("nan")
    room = 1 - float(shares[0] @ shares[0])
    worth = float(np.sqrt(kappa[0] * kappa[1] / kappa[2]))
    spread = room * worth * float(np.sqrt((relative**2).sum())) / 2
    return room * (1 - min(1.0, worth)), spread


def _contradictions(first: Sample, second: Sample) -> tuple[float, float, tuple[float, float]]:
    """How far contradictions are foreseen, that both share and that are the models' own errors.

    The share of pairs in which a contradicted label l was given more by a model that predicted k
    than it gave l to an item with the right label k: an AUC, over all k and l and both models.
    First of labels that both contradict with k, then of those where the other model says l. Both
    are drawn to `MIDDLE` where there are few. Also how many contradictions each is the mean of.
    """
    won, count = np.zeros(2), np.zeros(2)
    for ours, theirs in ((first, second), (second, first)):
        best, other, given = ours.predicted, theirs.predicted, ours.labels
        kind = np.where(other == best, 0, np.where(other == given, 1, 2))
        order = np.argsort(best, kind="stable")
        ends = np.cumsum(np.bincount(best, minlength=ours.n_classes))
        for k, end in enumerate(ends):
            rows = order[ends[k - 1] if k else 0 : end]
            right = (given[rows] == k) & (kind[rows] == 0)
            base, rest = rows[right], rows[given[rows] != k]
            rest = rest[kind[rest] < 2]
            for label in np.unique(given[rest]) if len(base) else ():
                placed = np.sort(ours.p[base, label])
                asked = rest[given[rest] == label]
                values = ours.p[asked, label]
                below = np.searchsorted(placed, values, "left")
                place = (below + np.searchsorted(placed, values, "right")) / (2 * len(base))
                won += np.bincount(kind[asked], weights=place, minlength=2)
                count += np.bincount(kind[asked], minlength=2)
    seen, errors = (won + MIDDLE * MIDDLE_ITEMS) / (count + MIDDLE_ITEMS)
    return float(seen), float(errors), (float(count[0]), float(count[1]))
