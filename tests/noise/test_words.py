"""What is said of the noise rate, in the words that people read."""

from dataclasses import replace

import pytest
from made_noise import pair

from softfold.noise.model import as_noise_model
from softfold.noise.words import points_after, rate_fields, rate_lines

NOISE = replace(
    as_noise_model(pair(3, 0.08), 3), rate=0.08, rate_interval=(0.04, 0.13), information=0.6
)
UNKNOWN = replace(NOISE, rate=float("nan"), rate_interval=(0.0, 1.0), information=0.0)
AUDITED = replace(NOISE, rate_interval=(0.05, 0.12), audited=100)


def test_what_is_not_known_is_absent():
    assert set(rate_fields(NOISE)) == {
        "rate_estimate",
        "rate_low",
        "rate_high",
        "audited",
        "information",
    }
    assert "rate_estimate" not in rate_fields(UNKNOWN)
    assert "information" not in rate_fields(replace(NOISE, information=float("nan")))


@pytest.mark.parametrize(
    ("noise", "run", "lines"),
    [
        (
            NOISE,
            None,
            ["between 4.0% and 13.0% of labels are wrong (best guess 8.0%)"],
        ),
        (
            NOISE,
            "runs/a",
            [
                "between 4.0% and 13.0% of labels are wrong (best guess 8.0%)",
                "to know it to plus or minus 3 points, check 100 drawn at random: "
                "softfold audit runs/a",
            ],
        ),
        (
            AUDITED,
            "runs/a",
            [
                "8.0% of labels are wrong (95% interval 5.0% to 12.0%; 100 checked at random)",
                "to know it to plus or minus 2 points, check 100 more drawn at random: "
                "softfold audit runs/a",
            ],
        ),
        (
            replace(NOISE, rate_interval=(0.065, 0.1)),
            "runs/a",
            ["between 6.5% and 10.0% of labels are wrong (best guess 8.0%)"],
        ),
        (
            replace(NOISE, information=0.04),
            None,
            [
                "between 4.0% and 13.0% of labels are wrong (best guess 8.0%)",
                "predictions explain only 4% of the labels: trust this little",
            ],
        ),
        (
            UNKNOWN,
            "runs/a",
            [
                "predictions say no more about the labels than class frequencies do: "
                "no rate of wrong labels can be given"
            ],
        ),
    ],
    ids=["alone", "of a run", "audited", "narrow", "little told", "unknown"],
)
def test_the_lines_say_what_is_known_and_what_would_narrow_it(noise, run, lines):
    assert rate_lines(rate_fields(noise), run) == lines


def test_more_checks_narrow_it_and_never_to_less_than_a_point():
    widths = [points_after(0.3, checks) for checks in (50, 100, 400, 100_000)]
    assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1] == 1
    assert points_after(0.0, 100) == points_after(1.0, 100) > 0
