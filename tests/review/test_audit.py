"""The audit in a real browser: by keyboard, without hints, and nothing lost."""

import json
import re

import numpy as np
import pytest
from browsing import forget_the_server_was_away, has_text, needs_browser, saved
from example_runs import digits_run, synthetic_run
from serving import Nursery, Server

from softfold.decisions.audit import audit_state, checked, draw, drawn
from softfold.errors import InputError
from softfold.review import export_labels
from softfold.review.desk import Desk, Filter
from softfold.runs.folder import Run

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
HINTS = ("suggested", "suspicion", "top", "p_given", "p_suggested")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return digits_run(tmp_path_factory.mktemp("audit") / "run")


@pytest.fixture(scope="module")
def nursery(digits):
    nursery = Nursery(digits)
    yield nursery
    nursery.close()


@pytest.fixture
def server(digits, nursery):
    for file in digits.glob("decisions.sqlite*"):
        file.unlink()
    draw(digits, Run.open(digits).train["item"].to_numpy(object), 30)
    yield nursery.start()
    nursery.kill()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(synthetic_run(tmp_path / "run", 300, 4, rate=0.3))
    desk.draw(40)
    return desk


def test_an_audit_that_nobody_drew_is_drawn_and_said_so(tmp_path):
    run = synthetic_run(tmp_path / "run", 300, 4, rate=0.3)
    with Server(run, audit=True) as server:
        assert server.said.startswith("auditing 100 random items of ")
        said = server.process.stdout.readline()
        assert "these were drawn now" in said and said.endswith("-n 200 draws more\n")
        assert len(drawn(run)) == 100
    with Server(run, audit=True) as server:
        server.kill()
        assert "random items" in server.said


def stroke(name, action, rows=(), **more):
    return {"stroke": f"stroke-{name}", "action": action, "rows": list(rows), **more}


def rows_of(server):
    return [row for row, _ in server.json("/api/audit")["rows"]]


def key_for(run, row):
    """What somebody who knows the truth presses."""
    given, truth = run.train["given"][row], run.train["truth"][row]
    return " " if given == truth else "1234567890"[run.vocab.index(truth)]


# -- in the browser -----------------------------------------------------------------------------


@needs_browser
def test_thirty_items_by_keyboard_end_in_a_rate_that_holds_the_truth(server, open_page, digits):
    run, rows = Run.open(digits), rows_of(server)
    page = open_page(f"{server.url}?audit=1")
    for row in rows:
        page.wait_for_selector(f"#stage img[src*='/picture/{row}?'][alt]:not([alt=''])")
        page.keyboard.press(key_for(run, row))
    has_text(page, "#finding", "still wrong")
    has_text(page, "#words", "by 30 items drawn at random and checked")
    found, truth = checked(digits, run.train["item"].to_numpy(object), run.vocab)
    assert sorted(found) == sorted(rows) and (truth == run.codes("truth")[found]).all()
    state = server.json("/api/audit")["state"]
    assert state["low"] <= (run.codes("truth") != run.codes("given")).mean() <= state["high"]
    said = [float(x) for x in re.findall(r"([\d.]+)%", page.inner_text("#finding"))]
    assert said == pytest.approx([100 * state[k] for k in ("rate", "low", "high")], abs=0.06)
    # the review page says the same
    page.click("header .link")
    has_text(page, "#numbers", "by the audit")


@needs_browser
def test_no_hint_is_on_the_page_or_on_the_way_to_it_before_a_decision(server, open_page, digits):
    run, rows = Run.open(digits), rows_of(server)
    sent = []

    def keep(response):
        if "/api/items" in response.url:
            sent.extend(response.json())

    page = open_page("about:blank", "html")
    page.on("response", keep)
    page.goto(f"{server.url}?audit=1")
    for number, row in enumerate(rows[:4]):
        page.wait_for_selector(f"#stage img[src*='/picture/{row}?'][alt]:not([alt=''])")
        whole = page.content()
        assert "suggested" not in whole and "uspicion" not in whole
        assert page.locator("#classes button").all_text_contents() == [
            f"{name}{key}" for name, key in zip(run.vocab, "1234567890")
        ]
        assert page.inner_text("#given") == run.train["given"][row]
        page.keyboard.press("u" if number == 0 else "n")
    has_text(page, "#count", "4 of 30 checked")
    saved(page)
    assert sent and not any(hint in item for item in sent for hint in HINTS)
    # once decided it may be seen
    page.keyboard.press("ArrowLeft")
    has_text(page, "#yours", "yours: none of these · suggested: ")
    page.keyboard.press("z")
    has_text(page, "#count", "3 of 30 checked")
    has_text(page, "#yours", re.compile("^$"))
    assert "uspicion" not in page.content()


@needs_browser
def test_a_class_of_many_is_found_by_typing_and_listed_without_a_hint(open_page, tmp_path):
    run = synthetic_run(tmp_path / "run", 400, 30)
    with Server(run, audit=True) as server:
        assert "auditing 100 random items of" in server.said and server.url.endswith("/?audit=1")
        page = open_page(server.url)
        has_text(page, "#given", "class")
        page.keyboard.press("c")
        page.wait_for_selector("#options li")
        shown = page.locator("#options li").all_text_contents()
        assert shown == list(Run.open(run).vocab[: len(shown)])
        page.keyboard.type("0017")
        page.keyboard.press("Enter")
        saved(page)
        assert checked(run, [drawn(run)[0]], Run.open(run).vocab)[1].tolist() == [17]
        page.context.close()


@needs_browser
def test_a_killed_server_lost_nothing_and_the_audit_goes_on(server, open_page, nursery, digits):
    run, rows = Run.open(digits), rows_of(server)
    page = open_page(f"{server.url}?audit=1")
    for number, row in enumerate(rows[:12]):
        page.wait_for_selector(f"#stage img[src*='/picture/{row}?'][alt]:not([alt=''])")
        if number == 9:
            saved(page)
            nursery.kill()
        page.keyboard.press("n" if number % 2 else " ")
        if number == 9:
            break
    page.wait_for_selector("#problem:not([hidden])")
    nursery.start(server.port)
    saved(page)
    has_text(page, "#count", "10 of 30 checked")
    found, truth = checked(digits, run.train["item"].to_numpy(object), run.vocab)
    assert sorted(found) == sorted(rows[:10]) and (truth < 0).sum() == 5
    page.reload()
    has_text(page, "#count", "10 of 30 checked")
    assert f"/picture/{rows[10]}?" in page.locator("#stage img").get_attribute("src")
    forget_the_server_was_away(open_page.errors)


@needs_browser
def test_more_are_drawn_from_the_page(server, open_page, digits):
    page = open_page(f"{server.url}?audit=1")
    before = drawn(digits)
    for row in rows_of(server):
        page.wait_for_selector(f"#stage img[src*='/picture/{row}?'][alt]:not([alt=''])")
        page.keyboard.press("k")
    has_text(page, "#words", "by 30 items drawn at random and checked: 0 wrong")
    page.click("#more")
    has_text(page, "#count", re.compile(r"^30 of (?!30 )\d+ checked$"))
    assert drawn(digits)[:30] == before and len(drawn(digits)) > 30


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_in_any_size_or_colour(server, open_page, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    page = open_page(f"{server.url}?audit=1", **options)
    has_text(page, "#given", re.compile("^[a-z]+$"))
    sticks_out = """[...document.querySelectorAll("button, #given, #count, img")].filter((e) =>
        e.offsetParent && (e.getBoundingClientRect().right > innerWidth + 1 ||
        e.getBoundingClientRect().left < -1)).length"""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(sticks_out) == 0


# -- the desk and the server --------------------------------------------------------------------


def test_the_audit_takes_no_suggestion_and_no_item_that_was_not_drawn(desk):
    inside, outside = desk.drawn[0], next(r for r in range(300) if r not in desk.drawn)
    for bad in (
        stroke("1", "accept", [inside], audit=True),
        stroke("2", "keep", [inside, outside], audit=True),
    ):
        with pytest.raises(InputError):
            desk.strike("ann", [bad])
    assert desk.log.since() == []


def test_undo_in_the_audit_takes_back_what_was_decided_there(desk):
    first, second = desk.drawn[:2]
    desk.strike("ann", [stroke("1", "keep", [first], audit=True), stroke("2", "keep", [second])])
    assert desk.strike("ann", [stroke("3", "undo", audit=True)]) == [first]
    assert dict(desk.audit())[first] == "open" and desk.progress("ann")["right"] == 1


def test_what_another_or_oneself_decided_elsewhere_is_no_hint(desk):
    row = desk.drawn[0]
    desk.strike("ann", [stroke("1", "accept", [row])])
    desk.strike("bob", [stroke("2", "none", [row])])
    for me in ("ann", "bob", "eve"):
        told = desk.describe_blind(row, me)
        assert not set(HINTS) & set(told)
        assert told["opinion"] == {"state": "open", "mine": None, "others": 0, "sides": []}
    desk.strike("ann", [stroke("3", "keep", [row], audit=True)])
    assert set(HINTS) <= set(desk.describe_blind(row, "ann"))
    assert not set(HINTS) & set(desk.describe_blind(row, "eve"))


def test_the_number_still_wrong_is_what_the_audit_says(desk):
    truth = desk.run.codes("truth")
    assert desk.progress("ann")["still_between"] is None
    strokes = [
        stroke(f"{r}", "class", [r], label=int(truth[r]), audit=True) for r in desk.drawn[:30]
    ]
    desk.strike("ann", strokes)
    now = desk.progress("ann")
    low, high = now["still_between"]
    left = int((truth != desk.given).sum()) - now["wrong"]
    assert low <= left <= high and low <= now["still"] <= high
    assert now["precision"] is None
    about = (desk.item, desk.run.vocab, desk.given, desk.suspicion)
    assert audit_state(desk.run.path, *about) == desk.audit_state()


def test_none_of_these_is_a_state_to_filter_by_and_to_export(desk, tmp_path):
    rows = desk.listing(Filter(), "ann")[0][:3]
    desk.strike("ann", [stroke("1", "none", rows[:1]), stroke("2", "exclude", rows[1:2])])
    desk.strike("ann", [stroke("3", "keep", rows[2:3])])
    assert desk.listing(Filter(state="none_of_these"), "ann")[0] == rows[:1]
    assert desk.opinion(rows[0], "ann")["mine"] == ["none", -1]
    progress = desk.progress("ann")
    assert (progress["none_of_these"], progress["excluded"], progress["wrong"]) == (1, 1, 1)
    import pandas as pd

    out = export_labels(desk.run.path, tmp_path / "decisions.parquet", "decisions")
    frame = pd.read_parquet(out).set_index("item")
    assert frame["none_of_these"].to_dict() == {desk.item[r]: r == rows[0] for r in rows}
    folder = export_labels(desk.run.path, tmp_path / "cleanlab", "cleanlab")
    assert len(np.load(folder / "labels.npy")) == 298
    studio = json.loads(
        export_labels(desk.run.path, tmp_path / "tasks.json", "labelstudio").read_text()
    )
    assert [t["data"]["item"] for t in studio if t["meta"].get("none_of_these")] == [
        desk.item[rows[0]]
    ]
