"""The report: it says what the run found, holds no foreign markup, and stays small."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from example_runs import digits_run, synthetic_run

from softfold.data.reading import read_table
from softfold.decisions.log import LOG, DecisionLog
from softfold.errors import InputError
from softfold.files import memory_map
from softfold.report import predicted_issues, run_issues, theme, write_report
from softfold.runs.folder import Run

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


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK])
def test_text_colours_have_contrast_on_both_grounds(colours):
    for ground in ("bg", "card"):
        for ink in ("ink", "muted", "given", "soft", "good", "bad"):
            assert theme.contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


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
    page = Page(write_report(run).read_text())
    assert "img" not in page.tags and "no picture" in page.text


def test_worse_is_said_as_plainly_as_better(tmp_path):
    run = digits_run(tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["difference"] = {"mean": -0.02, "low": -0.03, "high": -0.01, "p_value": 0.001}
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "Soft labels cost 2.00 points" in write_report(run).read_text()
    metrics["difference"] = {"mean": 0.001, "low": -0.01, "high": 0.012, "p_value": 0.8}
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "made no measurable difference" in write_report(run).read_text()


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


def test_a_memory_map_is_what_safetensors_reads(digits):
    from safetensors.numpy import load_file

    tensors = load_file(str(digits / "oof.safetensors"))
    mapped = memory_map(digits / "oof.safetensors", "probabilities")
    assert np.array_equal(tensors["probabilities"], mapped)


def test_the_list_of_issues_knows_pairs_thresholds_and_where_to_stop(digits, tmp_path):
    listing = run_issues(digits)
    assert listing.frame["suspicion"].is_monotonic_decreasing
    part = listing.select(given="one", threshold=0.5, top=3)
    assert set(part.frame["given"]) == {"one"} and len(part.frame) == 3
    assert "expected to be wrong" in part.text()
    for name in ("issues.csv", "issues.parquet"):
        part.write(tmp_path / name)
    assert pd.read_csv(tmp_path / "issues.csv")["item"].tolist() == part.frame["item"].tolist()
    with pytest.raises(InputError, match="no item has it"):
        listing.select(given="eleven")


def test_issues_from_someones_predictions_are_those_of_the_run(digits, tmp_path):
    run = Run.open(digits)
    table = read_table(digits.parent / "labels.csv").train
    p = np.round(np.asarray(run.probabilities, dtype=np.float64), 6)
    np.save(tmp_path / "p.npy", p)
    frame = pd.DataFrame(p[:, ::-1], columns=list(run.vocab)[::-1])
    frame.insert(0, "item", table.item)
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "p.csv", index=False)
    frame.sample(frac=1, random_state=1).to_parquet(tmp_path / "p.parquet")
    tops = [
        predicted_issues(table, tmp_path / name).frame["item"][:50].tolist()
        for name in ("p.npy", "p.csv", "p.parquet")
    ]
    assert tops[0] == tops[1] == tops[2]
    assert len(set(tops[0]) & set(run_issues(digits).frame["item"][:50])) > 40


def test_predictions_that_do_not_fit_are_refused(digits, tmp_path):
    table = read_table(digits.parent / "labels.csv").train
    np.save(tmp_path / "p.npy", np.full((5, 10), 0.1))
    with pytest.raises(InputError, match="do not fit"):
        predicted_issues(table, tmp_path / "p.npy")
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(InputError, match="not a NumPy array of numbers"):
        predicted_issues(table, tmp_path / "o.npy")


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
