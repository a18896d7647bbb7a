"""The report: it says what the run found, holds no foreign markup, and stays small."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from example_runs import digits_run, synthetic_run

from softfold.decisions.log import LOG, DecisionLog
from softfold.errors import InputError
from softfold.report import write_report
from softfold.report.page import refuse_without_pictures
from softfold.review import export_labels

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp; $a^$"
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text; and whether tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return digits_run(tmp_path_factory.mktemp("digits") / "run")


@pytest.fixture(scope="module")
def page(digits):
    return Page(write_report(digits).read_text())


def values(page, name):
    return [value for _, key, value in page.attributes if key == name]


def assert_harmless(page):
    assert not {"script", "iframe", "object", "form", "base"} & set(page.tags)
    assert not [key for _, key, _ in page.attributes if key.startswith("on")]
    for tag, key, value in page.attributes:
        if key in ("src", "href", "xlink:href") and tag != "svg":
            assert value.startswith(("#", "data:image/webp;base64,")), (tag, key, value[:80])


def test_it_opens_with_the_verdict_and_its_interval(page):
    text = " ".join(page.text)
    assert re.search(r"Soft labels .*% with the given labels, .*% with soft ones", text)
    assert "95% interval" in text


def test_every_part_of_a_whole_run_is_there(page):
    wanted = {"comparison", "noise", "suspicious", "soft-labels", "curves", "learning", "time"}
    assert wanted | {"settings"} <= set(values(page, "id"))
    assert values(page, "src").__len__() >= 48
    assert page.tags.count("svg") >= 6


def test_it_is_one_file_without_scripts_or_addresses_of_elsewhere(page):
    assert_harmless(page)
    assert "default-src 'none'" in " ".join(v or "" for v in values(page, "content"))


def test_ids_are_unique_and_what_is_referred_to_exists(page):
    ids = values(page, "id")
    assert len(ids) == len(set(ids))
    for value in values(page, "href") + values(page, "aria-labelledby"):
        if not value.startswith("data:"):
            assert value.lstrip("#") in ids


def test_pictures_and_charts_have_words_for_who_does_not_see_them(page):
    alts = [value for tag, key, value in page.attributes if (tag, key) == ("img", "alt")]
    assert len(alts) == page.tags.count("img") and all(alts)
    assert page.attributes.count(("div", "role", "img")) == page.tags.count("svg")


def test_markup_in_labels_texts_file_names_and_settings_is_shown_as_text(tmp_path):
    vocab = tuple(sorted([EVIL, "</style><script>alert(2)</script>", "$x^{", "plain"]))
    run = synthetic_run(
        tmp_path / "run",
        120,
        4,
        vocab=vocab,
        kind="text",
        data={"text": [f"{EVIL} and more {i}" for i in range(120)]},
    )
    items = pd.read_parquet(run / "items.parquet")
    items["item"] = [f"{EVIL}/{i}.png" for i in range(120)]
    items.to_parquet(run / "items.parquet")
    config = json.loads((run / "config.json").read_text())
    config["name"], config["notes"] = EVIL, [EVIL]
    (run / "config.json").write_text(json.dumps(config))
    page = Page(write_report(run).read_text())
    assert_harmless(page)
    assert EVIL in " ".join(page.text)


def test_text_items_show_their_text_and_tables_their_columns(tmp_path):
    texts = [f"A sentence that only item {i} has." for i in range(60)]
    run = synthetic_run(tmp_path / "text", 60, 3, kind="text", data={"text": texts})
    assert "A sentence that only item" in write_report(run).read_text()
    run = synthetic_run(tmp_path / "table", 60, 3)
    assert "<dt>width</dt>" in write_report(run).read_text()


def test_a_thousand_classes_and_many_items_stay_small(tmp_path):
    run = synthetic_run(tmp_path / "run", 3000, 1000)
    report = write_report(run)
    assert report.stat().st_size < 1_000_000
    assert "of 1,000 classes in the worst pairs" in report.read_text()


@pytest.mark.parametrize(
    "gone",
    [
        ["metrics.json"],
        ["metrics.json", "holdout.safetensors", "history.parquet", "soft_labels.safetensors"],
        ["noise.json"],
        ["oof.safetensors", "soft_labels.safetensors", "noise.json", "metrics.json"],
    ],
)
def test_what_a_young_run_lacks_is_left_out(tmp_path, gone):
    run = synthetic_run(tmp_path / "run", 80, 3)
    for name in gone:
        (run / name).unlink(missing_ok=True)
    Page(write_report(run).read_text())


def test_items_that_are_gone_leave_a_line_instead_of_pictures(tmp_path):
    run = digits_run(tmp_path / "run")
    for picture in (tmp_path / "digits").iterdir():
        picture.unlink()
    with pytest.warns(UserWarning, match="1,797 of 1,797 pictures not found"):
        page = Page(write_report(run).read_text())
    assert "img" not in page.tags and "no picture" in page.text


def test_what_people_decided_is_in_the_report(tmp_path):
    run = synthetic_run(tmp_path / "run", 80, 3)
    log = DecisionLog(run / LOG)
    log.append(
        {
            "reviewer": "ann",
            "stroke": f"stroke {i}",
            "item": str(i),
            "action": "accept",
            "label": "class 0001",
            "given": "class 0000",
            "suspicion": 0.8,
        }
        for i in range(4)
    )
    log.close()
    assert "People have decided about 4 labels: 4 were wrong" in write_report(run).read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        write_report(tmp_path)


def test_the_figures_of_the_posts_protocol_stand_beside_what_they_leak(tmp_path):
    run = digits_run(tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    figures = {"best": [0.71], "last": [0.7], "roc_auc": [0.9]}
    metrics["post"] = {"baseline": figures, "soft": figures, "leak": "what leaks: the labels."}
    metrics["difference"]["over"] = "items"
    (run / "metrics.json").write_text(json.dumps(metrics))
    text = " ".join(Page(write_report(run).read_text()).text)
    assert "post's own protocol" in text and "71.0%" in text and "What leaks: the labels." in text
    assert "one seed says nothing about others" in text


def test_a_report_with_pictures_is_not_lost_when_their_folder_was_moved(tmp_path):
    run = digits_run(tmp_path / "first" / "run")
    (tmp_path / "first" / "digits").rename(tmp_path / "digits")
    lost = r"1,797 of 1,797 pictures not found; the first is .*0000\.png: say with --images DIR"
    refuse_without_pictures(run)  # there is no report yet
    with pytest.warns(UserWarning, match=lost):
        assert 'src="data:image' not in write_report(run).read_text()
    with pytest.raises(InputError, match=f"{lost}.*stays as it is"):
        refuse_without_pictures(run)
    refuse_without_pictures(run, tmp_path)
    assert 'src="data:image' in write_report(run, images=tmp_path).read_text()
    with pytest.warns(UserWarning, match=lost):
        export_labels(run, tmp_path / "out", "fiftyone")
    export_labels(run, tmp_path / "out", "fiftyone", images=tmp_path)
    files = json.loads((tmp_path / "out" / "data.json").read_text())
    assert files["00000000"] == str(tmp_path / "digits" / "0000.png")
