"""The review page and the report in a real browser, on a real server with real images."""

import json
import re
import sqlite3

import pandas as pd
import pytest
from browsing import forget_the_server_was_away, has_text, needs_browser, saved
from example_runs import digits_run, synthetic_run
from serving import Nursery, Server

from softfold.report import write_report
from softfold.runs.folder import Run

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
pytestmark = needs_browser
EVIL = "<img src=x onerror=\"document.title='broken in'\">'&amp;"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return digits_run(tmp_path_factory.mktemp("browser") / "run")


@pytest.fixture(scope="module")
def nursery(digits):
    nursery = Nursery(digits)
    yield nursery
    nursery.close()


@pytest.fixture
def server(digits, nursery):
    for file in digits.glob("decisions.sqlite*"):
        file.unlink()
    yield nursery.start()
    nursery.kill()


def numbers(page):
    """What the line of numbers says, as a dict by word."""
    parts = page.locator("#numbers > span").all_text_contents()
    return {t.split(" ", 1)[1].split(" (")[0]: t.split(" ")[0] for t in map(str.strip, parts)}


def count(page):
    return int(page.inner_text("#count").split()[0].replace(",", ""))


def test_fifty_items_by_keyboard_only_then_undo_reload_and_export(server, open_page, tmp_path):
    page = open_page(server.url)
    for key in "aakaxaauaa" * 5:
        page.keyboard.press(key)
    saved(page)
    progress = server.json("/api/run")["progress"]
    assert (progress["reviewed"], progress["excluded"], progress["unsure"]) == (50, 5, 5)
    assert (progress["wrong"], progress["right"]) == (35, 5)
    assert numbers(page)["reviewed"] == "50"
    page.keyboard.press("z")
    has_text(page, "#numbers", "49 reviewed")
    assert page.locator(".card.focus").get_attribute("data-index") == "49"
    page.reload()
    page.wait_for_selector(".badge")
    assert numbers(page)["reviewed"] == "49"
    page.select_option("#state", "excluded")
    has_text(page, "#count", re.compile("^5 items$"))
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "corrected.csv")
    table = pd.read_csv(tmp_path / "corrected.csv")
    assert len(table) == 1797 - 5 and (table["state"] == "confirmed").sum() == 39


def test_one_at_a_time_shows_the_item_large_and_takes_the_same_keys(server, open_page):
    page = open_page(server.url)
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#classes tr")).to_have_count(5)
    page.locator("#stage img").evaluate("image => image.decode()")
    assert page.locator("#stage img").evaluate("image => image.naturalWidth") > 300
    has_text(page, "#key", " 1 of 1,397")
    page.keyboard.press("a")
    has_text(page, "#key", " 2 of 1,397")
    page.keyboard.press("2")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#mine .badge.class")
    saved(page)
    assert server.json("/api/run")["progress"]["reviewed"] == 2
    page.keyboard.press("Escape")
    assert page.locator("#grid").is_visible()


def test_a_class_is_found_by_typing(server, open_page):
    page = open_page(server.url)
    page.wait_for_selector(".card .given")
    page.keyboard.press("c")
    page.keyboard.type("ni")
    assert page.locator("#options li").all_text_contents() == ["nine"]
    page.keyboard.press("Enter")
    saved(page)
    assert page.locator("[data-index='0'] .badge").inner_text() == "→ nine"
    page.keyboard.press("c")
    page.keyboard.press("Escape")
    assert server.json("/api/run")["progress"]["reviewed"] == 1


def test_filters_narrow_the_list_and_stay_after_a_reload(server, open_page, digits):
    page = open_page(server.url)
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.id") == "state"
    page.select_option("#given", label="one")
    page.fill("#least", "50")
    page.keyboard.press("Tab")
    run = Run.open(digits)
    wanted = ((run.train["given"] == "one") & (run.suspicion >= 0.5)).sum()
    has_text(page, "#count", re.compile(f"^{wanted} items$"))
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert count(page) == wanted
    page.wait_for_selector(".card .given")
    assert set(page.locator(".card .given").all_text_contents()) == {"one"}
    page.keyboard.press("a")
    saved(page)
    page.select_option("#state", "mine")
    has_text(page, "#count", re.compile(f"^{wanted - 1} items$"))


def test_a_cluster_goes_in_one_stroke_and_comes_back_in_one(server, open_page):
    page = open_page(server.url)
    page.check("#similar")
    page.wait_for_selector(".card .size")
    size = int(page.locator(".card .size").first.inner_text().split()[0])
    index = page.locator(".card:has(.size)").first.get_attribute("data-index")
    page.click(f"[data-index='{index}']")
    page.keyboard.press("Shift+A")
    saved(page)
    assert server.json("/api/run")["progress"]["reviewed"] == size > 1
    page.keyboard.press("z")
    has_text(page, "#numbers", re.compile("^0 reviewed"))
    page.click(f"[data-index='{index}']")
    page.keyboard.press("g")
    assert page.inner_text("#chosen") == f"{size} selected"
    page.keyboard.press("x")
    saved(page)
    assert server.json("/api/run")["progress"]["excluded"] == size


def test_two_browsers_see_conflicts_and_measure_agreement(server, open_page):
    ann, bob = open_page(server.url), open_page(server.url)
    bob.fill("#me", "bob")
    bob.keyboard.press("Tab")
    ann.wait_for_selector(".card .given")
    for key in "aaa":
        ann.keyboard.press(key)
    saved(ann)
    bob.wait_for_selector(".badge.seen")
    assert "→" not in " ".join(bob.locator(".badge").all_text_contents())
    bob.click("[data-index='0']")
    for key in "aak":
        bob.keyboard.press(key)
    saved(bob)
    bob.wait_for_selector(".badge.conflict")
    ann.wait_for_selector(".badge.conflict")
    has_text(ann, "#numbers", "agreement on 3")
    bob.select_option("#state", "conflict")
    has_text(bob, "#count", re.compile("^1 item$"))
    bob.keyboard.press("Escape")
    bob.keyboard.press("v")
    bob.wait_for_selector("#sides p")
    assert bob.locator("#sides p").all_text_contents()[0].startswith("ann: ")


def test_decisions_wait_for_a_server_that_went_away(server, open_page, nursery):
    page = open_page(server.url)
    page.wait_for_selector(".card .given")
    nursery.kill()
    for key in "aak":
        page.keyboard.press(key)
    page.wait_for_selector("#problem:not([hidden])")
    nursery.start(server.port)
    has_text(page, "#numbers", re.compile("^3 reviewed"))
    assert server.json("/api/run")["progress"]["reviewed"] == 3
    forget_the_server_was_away(open_page.errors)


def test_ten_thousand_items_keep_only_those_in_sight(open_page, tmp_path):
    run = synthetic_run(tmp_path / "run", 10_000, 5)
    with Server(run) as server:
        page = open_page(server.url)
        assert count(page) == 10_000
        page.keyboard.press("End")
        page.wait_for_selector("[data-index='9999'] .given")
        assert page.locator(".card").count() < 120
        for _ in range(20):
            page.keyboard.press("PageUp")
        page.wait_for_selector(".card.focus .given")
        assert page.locator(".card").count() < 120
        page.context.close()


def test_markup_in_data_stays_text_on_page_and_report(open_page, tmp_path):
    vocab = tuple(sorted([EVIL, "</script><script>alert(1)</script>", "plain"]))
    texts = [f"{EVIL} number {i} of many" for i in range(60)]
    run = synthetic_run(tmp_path / "run", 60, 3, vocab=vocab, kind="text", data={"text": texts})
    config = json.loads((run / "config.json").read_text())
    config["name"] = EVIL
    (run / "config.json").write_text(json.dumps(config))
    with Server(run) as server:
        page = open_page(server.url)
        page.wait_for_selector(".card .given")
        assert EVIL in page.locator(".card .said").first.inner_text()
        for key in ("a", "v", "c"):
            page.keyboard.press(key)
        page.wait_for_selector("#options li")
        assert page.locator("img").count() == 0 and page.title() == f"Review: {EVIL}"
        page.keyboard.press("Escape")
        page.fill("#me", EVIL[:40])
        page.keyboard.press("Tab")
        playwright.expect(page.locator("#reviewer option")).to_have_count(2)
        assert page.locator("img").count() == 0
        page.context.close()
    report = open_page(write_report(run).as_uri(), "main")
    assert report.locator("img, script").count() == 0
    assert report.title() == f"{EVIL}: softfold report"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_in_any_size_or_colour(server, open_page, digits, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    fits = "document.documentElement.scrollWidth <= innerWidth"
    page = open_page(server.url, **options)
    page.wait_for_selector(".card .given")
    assert page.evaluate(fits)
    page.click("#view")
    page.wait_for_selector("#classes tr")
    assert page.evaluate(fits)
    report = open_page(write_report(digits).as_uri(), "main", **options)
    assert report.evaluate(fits)
    ground = report.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = int(re.findall(r"\d+", ground)[0]) < 128
    assert dark == (scheme == "dark")


def test_a_log_that_another_process_holds_costs_no_decision(server, open_page, digits):
    page = open_page(server.url)
    log = sqlite3.connect(digits / "decisions.sqlite", isolation_level=None)
    log.execute("BEGIN EXCLUSIVE")
    page.keyboard.press("k")
    has_text(page, "#problem", "Decisions are kept here and sent again")
    assert log.execute("SELECT count(*) FROM decisions").fetchone() == (0,)
    log.execute("ROLLBACK")
    saved(page)
    assert log.execute("SELECT count(*) FROM decisions").fetchone() == (1,)
    log.close()
    page_errors = [e for e in open_page.errors if "503" in e]
    for error in page_errors:
        open_page.errors.remove(error)


def test_the_badge_of_a_decision_covers_no_words(open_page, tmp_path):
    columns = {"petal": [float(i) for i in range(60)], "sepal": [0.5] * 60}
    with Server(synthetic_run(tmp_path / "run", 60, 3, kind="table", data=columns)) as server:
        page = open_page(server.url)
        page.wait_for_selector(".card .given")
        page.keyboard.press("a")
        page.wait_for_selector(".card .badge")
        below, top = page.evaluate(
            """() => {
              const card = document.querySelector(".card:has(.badge)");
              const words = document.createRange();
              words.selectNodeContents(card.querySelector(".said dt"));
              const badge = card.querySelector(".badge").getBoundingClientRect();
              return [badge.bottom, words.getBoundingClientRect().top];
            }"""
        )
        assert below <= top
        page.context.close()
