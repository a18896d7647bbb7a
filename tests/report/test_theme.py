"""The colours that the report and the review page share."""

import re

import pytest

from softfold.report import theme


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK])
def test_text_colours_have_contrast_on_both_grounds(colours):
    for ground in ("bg", "card"):
        for ink in ("ink", "muted", "given", "soft", "good", "bad"):
            assert theme.contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_both_themes_have_the_same_colours_and_paper_is_light():
    assert theme.LIGHT.keys() == theme.DARK.keys()
    css = theme.variables()
    root, dark, paper = re.findall(r":root\{(.*?)\}", css)
    for name, value in theme.LIGHT.items():
        assert f"--{name}:{value};" in root and f"--{name}:{value};" in paper
        assert f"--{name}:{theme.DARK[name]};" in dark
    assert css.index("prefers-color-scheme: dark") < css.index("@media print")


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [("#ffffff", "#ffffff", 1), ("#000000", "#ffffff", 21), ("#777777", "#ffffff", 4.48)],
)
def test_contrast_is_that_of_wcag_whatever_comes_first(first, second, ratio):
    assert theme.contrast(first, second) == pytest.approx(ratio, abs=0.01)
    assert theme.contrast(second, first) == theme.contrast(first, second)
