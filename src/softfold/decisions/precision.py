"""How many of the suspicious labels that people looked at were wrong.

Items of the audit are apart (`softfold.decisions.audit`): they are drawn at random and say how many
of all labels are wrong; these here are mostly the most suspicious and say what suspicion is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.decisions.applying import logged, read_decisions
from softfold.decisions.log import LOG


@dataclass(frozen=True)
class Precision:
    """How many of the labels that people looked at were wrong.

    wrong, right: items confirmed with another label or of no class, with the given one
    promised:     the sum of their suspicions: how many were expected to be wrong; None where the
                  decisions do not have the suspicion of each
    low, high:    95% interval of the share (Wilson 1927)
    """

    wrong: int
    right: int
    promised: float | None

    @property
    def share(self) -> float:
        return self.wrong / max(1, self.wrong + self.right)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval.

        >>> low, high = Precision(8, 2, 9.0).interval
        >>> round(low, 2), round(high, 2)
        (0.49, 0.94)
        """
        n, z = self.wrong + self.right, 1.96
        if n == 0:
            return 0.0, 1.0
        p = self.share
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


def measured_precision(decisions: str | Path | pd.DataFrame) -> Precision | None:
    """The precision of the suspicion among the items that people decided, None without any.

    Excluded, unsure and conflicting items and those of the audit count neither way.
    """
    frame = read_decisions(decisions)
    if "given" not in frame:
        return None
    settled = frame["state"].isin(["confirmed", "none_of_these"])
    frame = frame[settled & ~frame["audited"] & frame["given"].notna()]
    if frame.empty:
        return None
    wrong = int((frame["none_of_these"] | (frame["label"] != frame["given"])).sum())
    suspicion = pd.to_numeric(frame.get("suspicion", pd.Series(np.nan, frame.index)))
    promised = None if suspicion.isna().any() else float(suspicion.sum())
    return Precision(wrong, len(frame) - wrong, promised)


def precision_sentence(run: str | Path) -> str | None:
    """The measured precision of a run's suspicion in words, None before anyone decided."""
    if not (Path(run) / LOG).is_file():
        return None
    found = measured_precision(logged(Path(run) / LOG))
    if found is None:
        return None
    low, high = found.interval
    expected = ""
    if found.promised is not None:
        expected = f"; by their suspicions {found.promised:,.0f} were expected"
    return (
        f"People have decided about {found.wrong + found.right:,} labels: {found.wrong:,} were "
        f"wrong, {100 * found.share:.1f}% (95% interval {100 * low:.1f}% to {100 * high:.1f}%)"
        f"{expected}."
    )
