"""What is known of the noise rate, in the same words wherever people read it."""

from __future__ import annotations

from softfold.files import shell_word
from softfold.noise.model import NoiseModel

NARROW = 0.04
"""An interval of the rate that is no wider needs no audit."""

LITTLE = 0.1
"""Predictions that explain no more of the labels' entropy say little, and are said to."""

CHECKS = 100
"""Items that an audit begins with."""

LEFT = 0.4
"""How much of the variance suspicion leaves: 100 checks are worth some 250 without predictions."""


def rate_fields(noise: NoiseModel) -> dict[str, float | int]:
    """What metrics.json says of the rate; what is not known is absent."""
    fields: dict[str, float | int] = {}
    if noise.rate == noise.rate:
        fields["rate_estimate"] = float(noise.rate)
    fields["rate_low"], fields["rate_high"] = map(float, noise.rate_interval)
    fields["audited"] = int(noise.audited)
    if noise.information == noise.information:
        fields["information"] = float(noise.information)
    return fields


def rate_lines(fields: dict[str, float | int], run: str | None = None) -> list[str]:
    """One or two lines on the rate: what it is or lies between, and what would narrow it.

    fields: as `rate_fields` gives them; run: the run folder that an audit is to be made of.

    >>> for line in rate_lines({"rate_estimate": 0.08, "rate_low": 0.04, "rate_high": 0.13}, "r"):
    ...     print(line)
    between 4.0% and 13.0% of labels are wrong (best guess 8.0%)
    to know it to plus or minus 3 points, check 100 drawn at random: softfold audit r
    """
    low, high = fields["rate_low"], fields["rate_high"]
    if "rate_estimate" not in fields:
        return [
            "predictions say no more about the labels than class frequencies do: "
            "no rate of wrong labels can be given"
        ]
    rate = fields["rate_estimate"]
    if fields.get("audited"):
        lines = [
            f"{rate:.1%} of labels are wrong (95% interval {low:.1%} to {high:.1%}; "
            f"{fields['audited']:,} checked at random)"
        ]
    else:
        lines = [f"between {low:.1%} and {high:.1%} of labels are wrong (best guess {rate:.1%})"]
    told = fields.get("information", 1.0)
    if told < LITTLE:
        lines.append(f"predictions explain only {told:.0%} of the labels: trust this little")
    if high - low > NARROW and run is not None:
        points = points_after(rate, int(fields.get("audited", 0)) + CHECKS)
        more = " more" if fields.get("audited") else ""
        lines.append(
            f"to know it to plus or minus {points} points, check {CHECKS}{more} drawn at random: "
            f"softfold audit {shell_word(run)}"
        )
    return lines


def points_after(rate: float, checks: int) -> int:
    """Half the width of the interval after so many checks, in points, suspicion helping a little.

    Two standard errors of a plain share, less what suspicion usually explains of it.
    """
    variance = max(rate * (1 - rate), 0.01) * LEFT
    return max(1, round(200 * (variance / checks) ** 0.5))
