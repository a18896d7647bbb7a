"""The review server, by real requests: decisions, filters, export, and what it refuses."""

import http.client
import itertools
import json
import random
import threading
import time

import numpy as np
import pandas as pd
import pytest
from example_runs import digits_run, synthetic_run
from serving import POST, Nursery, Server

from softfold.data.reading import read_table
from softfold.decisions.applying import read_decisions
from softfold.decisions.log import LOG, DecisionLog
from softfold.errors import InputError
from softfold.review import export_labels, serve
from softfold.review.desk import Desk, Filter
from softfold.runs.folder import Run

EVIL = "<img src=x onerror=alert(1)>\"'"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return digits_run(tmp_path_factory.mktemp("review") / "run")


@pytest.fixture(scope="module")
def server(run):
    with Server(run) as server:
        yield server


def stroke(name, action, rows=(), **more):
    return {"stroke": f"stroke-{name}", "action": action, "rows": list(rows), **more}


# -- the server -------------------------------------------------------------------------------


def test_the_page_and_its_parts_come_from_the_package(server):
    status, headers, page = server.ask("/")
    assert status == 200 and b"//" not in page.replace(b"http://www.w3.org", b"")
    for name in ("app.js", "grid.js", "review.css", "theme.css", "icon.svg", "nothing.svg"):
        assert server.ask(f"/static/{name}")[0] == 200
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "set-cookie" not in headers


def test_thumbnails_are_pictures_that_the_browser_may_keep(server):
    status, headers, content = server.ask("/thumbnail/0")
    assert (status, headers["content-type"]) == (200, "image/webp")
    assert content[:4] == b"RIFF" and "immutable" in headers["cache-control"]
    assert server.ask("/thumbnail/999999")[1]["content-type"] == "image/svg+xml"


def test_a_decision_is_answered_with_what_now_holds(server):
    answer = server.json("/api/strokes", {"me": "zoe", "strokes": [stroke("a", "keep", [11])]})
    assert answer["opinions"]["11"]["mine"][0] == "keep"
    item = server.json("/api/items?me=zoe&rows=11")[0]
    assert item["opinion"]["state"] == "confirmed"
    answer = server.json("/api/strokes", {"me": "zoe", "strokes": [stroke("b", "undo")]})
    assert answer["opinions"]["11"]["mine"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/..%2f..%2fetc%2fpasswd",
        "/../decisions.sqlite",
        "/decisions.sqlite",
        "/static/%2e%2e/desk.py",
        "/thumbnail/..%2f..%2fconfig.json",
        "/thumbnail/-1",
        "/picture/0.png",
        "//etc/passwd",
        "/static//etc/passwd",
        "/.sesskey",
    ],
)
def test_no_path_leads_to_a_file(server, path):
    status, _, content = server.ask(path)
    assert status in (404, 403) and len(content) < 100


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil", "", "10.0.0.1"],
)
def test_a_foreign_host_name_is_refused(server, host):
    for path, body in (("/", None), ("/api/run", None), ("/api/strokes", {"me": "a"})):
        headers = {**POST, "Host": host} if body else {"Host": host}
        assert server.ask(path, body, headers)[0] in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        {**POST, "Origin": "http://evil.example"},
        {**POST, "Origin": "null"},
        {**POST, "Origin": "http://["},
        {**POST, "Origin": "http://127.0.0.1:1"},
        {**POST, "Sec-Fetch-Site": "cross-site"},
        {**POST, "Sec-Fetch-Site": "same-site"},
        {"Content-Type": "application/json"},
        {"X-Softfold": "1", "Content-Type": "text/plain"},
        {"X-Softfold": "1", "Content-Type": "application/x-www-form-urlencoded"},
        {},
    ],
)
def test_a_post_from_another_site_is_refused(server, run, headers):
    before = len(server.json("/api/changes?me=x&after=0")["opinions"])
    body = {"me": "mallory", "strokes": [stroke("forged", "exclude", [1])]}
    assert server.ask("/api/strokes", body, headers)[0] in (403, 415)
    assert len(server.json("/api/changes?me=x&after=0")["opinions"]) == before


def test_another_site_can_neither_read_nor_embed(server):
    for path in ("/api/run", "/thumbnail/0", "/export.csv", "/static/app.js"):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert server.ask(path, None, headers)[0] == 403
    follow = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.ask("/", None, follow)[0] == 200
    assert "access-control-allow-origin" not in server.ask("/", None, {"Origin": "http://e"})[1]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_change_nothing(server, method):
    assert server.ask("/api/strokes", None, {}, method=method)[0] in (403, 405, 411)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"me": "a"}',
        b'{"me": "a", "strokes": [1]}',
        b'{"me": "", "strokes": []}',
        b'{"me": "a\\u0000b", "strokes": []}',
        b'{"me": ["a"], "strokes": []}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_nonsense_is_answered_not_crashed_on(server, body):
    status, _, content = server.ask("/api/strokes", body, POST, method="POST")
    assert status == 400 and b"Traceback" not in content


def test_a_body_without_end_is_refused(server):
    headers = {**POST, "Transfer-Encoding": "chunked"}
    assert server.ask("/api/strokes", None, headers, method="POST")[0] == 411
    assert server.ask("/api/strokes", b"x" * (1 << 20) + b"xx", POST)[0] == 413


@pytest.mark.parametrize(
    "query", ["rows=1.5&me=a", "rows=-1&me=a", "rows=²&me=a", "rows=99999999&me=a", "rows=1"]
)
def test_bad_queries_get_one_line(server, query):
    status, _, content = server.ask(f"/api/items?{query.replace('²', '%C2%B2')}")
    assert status == 400 and "error" in json.loads(content)


def test_markup_in_names_comes_as_data_only(tmp_path):
    vocab = tuple(sorted([EVIL, "</script>", "plain"]))
    run = synthetic_run(
        tmp_path / "run",
        60,
        3,
        vocab=vocab,
        kind="text",
        data={"text": [f"{EVIL} {i} words here" for i in range(60)]},
    )
    config = json.loads((run / "config.json").read_text())
    config["name"] = EVIL
    (run / "config.json").write_text(json.dumps(config))
    with Server(run) as server:
        _, _, page = server.ask("/")
        assert b"<img" not in page and b"&lt;img" in page
        _, headers, content = server.ask("/api/items?me=a&rows=0")
        assert headers["content-type"] == "application/json"
        assert EVIL in json.loads(content)[0]["text"]


# -- beyond this machine ------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_an_open_address_without_a_token_is_refused(run, host):
    with pytest.raises(InputError, match="a token is needed"):
        serve(run, host=host, port=0)


def test_with_a_token_nothing_is_answered_without_it(run):
    with Server(run, host="0.0.0.0", token="auto") as server:
        token = server.url.split("token=")[1]
        for path in ("/", "/api/run", "/thumbnail/0", "/static/app.js", "/?token=wrong"):
            assert server.ask(path)[0] == 401
        wrong = {**POST, "Cookie": "softfold_token=wrong"}
        assert server.ask("/api/strokes", {"me": "a", "strokes": []}, wrong)[0] == 401
        status, headers, _ = server.ask(f"/?token={token}")
        assert status == 303 and headers["location"] == "/"
        assert "HttpOnly" in headers["set-cookie"] and "SameSite" in headers["set-cookie"]
        cookie = {"Cookie": headers["set-cookie"].split(";")[0]}
        assert server.ask("/api/run", None, cookie)[0] == 200
        rebound = {**cookie, "Host": "rebound.example"}
        assert server.ask("/api/run", None, rebound)[0] == 421
        by_address = {**cookie, "Host": f"10.1.2.3:{server.port}"}
        assert server.ask("/api/run", None, by_address)[0] == 200


def test_serving_writes_nothing_but_the_log(tmp_path, monkeypatch):
    run = synthetic_run(tmp_path / "run", 60, 3)
    before = {p.name for p in run.iterdir()}
    monkeypatch.chdir(tmp_path)
    here = {p.name for p in tmp_path.iterdir()}
    with Server(run) as server:
        server.ask("/")
    assert {p.name for p in tmp_path.iterdir()} == here
    assert {p.name.split("-")[0] for p in run.iterdir()} - before == {LOG}


# -- a killed server ----------------------------------------------------------------------------


def test_every_acknowledged_decision_survives_50_times_kill_9(tmp_path):
    run = synthetic_run(tmp_path / "run", 400, 4)
    nursery, rng, acknowledged = Nursery(run), random.Random(0), []

    def post(server, kill, first):
        for number in itertools.count():
            name, row = f"{kill:03d}-{number}", rng.randrange(400)
            try:
                server.json("/api/strokes", {"me": "ann", "strokes": [stroke(name, "keep", [row])]})
            except (OSError, http.client.HTTPException):
                return
            acknowledged.append((f"stroke-{name}", row))
            first.set()

    for kill in range(50):
        first = threading.Event()
        client = threading.Thread(target=post, args=(nursery.start(), kill, first))
        client.start()
        if kill % 5:
            first.wait(5)
        time.sleep(rng.uniform(0, 0.15))
        nursery.kill()
        client.join()
    nursery.close()
    log = DecisionLog(run / LOG)
    kept = {(d.stroke, int(d.item)) for d in log.since()}
    log.close()
    assert len(acknowledged) > 50 and set(acknowledged) <= kept


# -- back into training -------------------------------------------------------------------------


@pytest.fixture
def reviewed(tmp_path):
    run = digits_run(tmp_path / "run")
    desk = Desk(run)
    rows = desk.listing(Filter(), "ann")[0]
    desk.strike("ann", [stroke("1", "accept", rows[:5]), stroke("2", "exclude", rows[5:7])])
    desk.strike("ann", [stroke("3", "unsure", rows[7:8])])
    return run, [desk.item[r] for r in rows[:8]]


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_the_corrected_table_is_a_label_table_again(reviewed, tmp_path, name):
    run, items = reviewed
    out = export_labels(run, tmp_path / name)
    table = read_table(out, images=tmp_path)
    before = Run.open(run)
    assert len(table) == len(before.items) - 2 and table.valid.sum() == 400
    assert not set(items[5:7]) & set(table.item)
    suggested = dict(zip(before.train["item"], before.train["suggested"]))
    for item in items[:5]:
        assert table.vocab[table.given[table.rows_of([item])[0]]] == suggested[item]
    assert len(read_decisions(out)) == 6


def test_other_tools_forms_hold_the_same_labels(reviewed, tmp_path):
    run, items = reviewed
    frame = pd.read_csv(export_labels(run, tmp_path / "all.csv"))
    train = frame[~frame["is_valid"]]
    cleanlab = export_labels(run, tmp_path / "cleanlab", "cleanlab")
    names = json.loads((cleanlab / "class_names.json").read_text())
    labels = np.load(cleanlab / "labels.npy")
    assert [names[code] for code in labels] == train["label"].tolist()
    assert np.load(cleanlab / "pred_probs.npy").shape == (len(labels), 10)
    fiftyone = export_labels(run, tmp_path / "fiftyone", "fiftyone")
    classes = json.loads((fiftyone / "labels.json").read_text())
    paths = json.loads((fiftyone / "data.json").read_text())
    assert classes["labels"].keys() == paths.keys() and len(paths) == len(frame)
    found = {
        v["attributes"]["path"]: classes["classes"][v["label"]] for v in classes["labels"].values()
    }
    assert found == dict(zip(frame["path"], frame["label"]))
    tasks = json.loads(export_labels(run, tmp_path / "tasks.json", "labelstudio").read_text())
    done = [t for t in tasks if t.get("annotations") and t["annotations"][0]["result"]]
    assert {t["data"]["item"] for t in done} == set(items[:5])


def test_cleanlab_reads_what_is_exported_for_it(reviewed, tmp_path):
    filters = pytest.importorskip("cleanlab.filter", reason="needs cleanlab (extra bench)")
    run, _ = reviewed
    folder = export_labels(run, tmp_path / "cleanlab", "cleanlab")
    labels, probabilities = np.load(folder / "labels.npy"), np.load(folder / "pred_probs.npy")
    assert filters.find_label_issues(labels, probabilities, n_jobs=1).sum() > 50


def test_an_unknown_form_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="no format 'xlsx'"):
        export_labels(run, tmp_path / "labels.xlsx")
