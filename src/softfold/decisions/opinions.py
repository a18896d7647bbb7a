"""What reviewers hold about items, read from the log, and how far they agree."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from softfold.decisions.log import Decision


@dataclass
class Opinions:
    """What the reviewers hold about one item: their decisions that are not undone, by reviewer."""

    by_reviewer: dict[str, list[Decision]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        held = self.by_reviewer.setdefault(decision.reviewer, [])
        if decision.action != "undo":
            held.append(decision)
            return
        held[:] = [d for d in held if d.id != decision.undoes]
        if not held:
            del self.by_reviewer[decision.reviewer]

    def current(self) -> dict[str, Decision]:
        """Each reviewer's last word."""
        return {reviewer: held[-1] for reviewer, held in self.by_reviewer.items()}

    def outcome(self) -> tuple[str, str | None]:
        """(state, label): open, unsure, conflict, excluded, none_of_these, or confirmed and what.

        More than half of those who decided (the unsure do not count) must agree; a tie is a
        conflict until somebody changes their mind or a third person decides. "None of these" and
        "exclude" both leave the item out; the more frequent word names the state.
        """
        votes: dict[str | None, int] = {}
        current = self.current()
        for decision in current.values():
            if decision.action != "unsure":
                votes[decision.label] = votes.get(decision.label, 0) + 1
        if not votes:
            return ("unsure", None) if current else ("open", None)
        label, count = max(votes.items(), key=lambda pair: pair[1])
        if 2 * count <= sum(votes.values()):
            return "conflict", None
        if label is not None:
            return "confirmed", label
        nowhere = sum(decision.action == "none" for decision in current.values())
        return ("none_of_these" if 2 * nowhere > count else "excluded"), None

    @property
    def audited(self) -> bool:
        """Whether a reviewer decided without suggestion or suspicion, as the audit asks."""
        return any(decision.action != "unsure" for decision in self._blind())

    @property
    def in_audit(self) -> str:
        """How an item that was drawn stands: open, checked, unsure, conflict or excluded.

        What was decided elsewhere leaves it open, since the reviewer saw the suggestion there.
        """
        if not self.audited:
            return "unsure" if self._blind() else "open"
        state, _ = self.outcome()
        return "checked" if state in ("confirmed", "none_of_these") else state

    def _blind(self) -> list[Decision]:
        return [d for held in self.by_reviewer.values() for d in held if d.audit]


def standing(
    drawn: Iterable[str], opinions: Mapping[str, Opinions], decided: Container[str]
) -> list[str]:
    """How each item that was drawn stands, in their order; see `Opinions.in_audit`.

    Args:
        drawn: the items in their random order.
        opinions: what reviewers hold about items.
        decided: items whose label was decided before the run was made. Nobody is asked again: they
            are checked as soon as all drawn before them were looked at, and `later` until then, so
            that as many of them count as of the others.
    """
    states, reached = [], True
    for item in drawn:
        state = opinions[item].in_audit if item in opinions else "open"
        if state == "open" and item in decided:
            state = "checked" if reached else "later"
        reached = reached and state != "open"
        states.append(state)
    return states


def replay(log: Iterable[Decision]) -> dict[str, Opinions]:
    """The opinions about every item that the log names."""
    opinions: dict[str, Opinions] = {}
    for decision in log:
        opinions.setdefault(decision.item, Opinions()).add(decision)
    return opinions


def agreement(opinions: Iterable[Opinions]) -> tuple[int, float, float] | None:
    """How far reviewers agree on the items that at least two of them decided.

    Returns:
        (items, share of pairs that agree, Cohen's kappa over all pairs), None without such items.
    """
    first, second = [], []
    items = 0
    for held in opinions:
        words = [_word(d) for _, d in sorted(held.current().items()) if d.action != "unsure"]
        items += len(words) > 1
        for a, b in _pairs(words):
            first.append(a)
            second.append(b)
    if not items:
        return None
    observed = float(np.mean([a == b for a, b in zip(first, second)]))
    chance = sum(first.count(w) * second.count(w) for w in {*first, *second}) / len(first) ** 2
    kappa = 1.0 if chance >= 1 else (observed - chance) / (1 - chance)
    return items, observed, kappa


def _word(decision: Decision) -> str:
    return f"label {decision.label}" if decision.label is not None else decision.action


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    for i, a in enumerate(words):
        for b in words[i + 1 :]:
            yield a, b
