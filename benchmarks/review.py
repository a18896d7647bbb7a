"""The review page's pace: keys through the real page, server time with 100,000 items, 50 kills.

Writes benchmarks/results/review.{json,md} and prints the table.

    python benchmarks/review.py
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import platform
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from example_runs import digits_run, synthetic_run
from serving import POST, Nursery, Server

from softfold.decisions.log import LOG, DecisionLog

RESULTS = Path(__file__).parent / "results"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
CHROMIUM = os.environ.get("SOFTFOLD_CHROMIUM", "/usr/bin/chromium")


def through_the_page(folder: Path, strokes: int = 300) -> dict[str, Any]:
    """Keys pressed one after the other in a browser, until all are acknowledged."""
    from playwright.sync_api import expect, sync_playwright

    run = digits_run(folder / "digits")
    with Server(run) as server, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_selector(".card .given")
        started = time.perf_counter()
        for key in "aak" * (strokes // 3):
            page.keyboard.press(key)
        pressed = time.perf_counter() - started
        expect(page.locator("#numbers")).to_contain_text(f"{strokes} reviewed", timeout=60_000)
        expect(page.locator("#saved")).to_have_text("saved")
        acknowledged = time.perf_counter() - started
        browser.close()
    return {
        "decisions": strokes,
        "per_second_pressed": strokes / pressed,
        "per_second_acknowledged": strokes / acknowledged,
    }


SCROLL = """async () => {
  const grid = document.getElementById("grid");
  const times = [];
  let before = performance.now();
  for (let step = 0; step < 240; step++) {
    grid.scrollTop += 90;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times;
}"""


def scrolling(folder: Path, n: int = 10_000) -> dict[str, Any]:
    """Time between frames while the grid of `n` items scrolls 90 pixels a frame."""
    from playwright.sync_api import sync_playwright

    run = synthetic_run(folder / "scroll", n, 10)
    with Server(run) as server, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_selector(".card .given")
        times = np.array(page.evaluate(SCROLL))
        cards = page.locator(".card").count()
        browser.close()
    return {
        "items": n,
        "cards_in_page": cards,
        **{f"p{q}_ms": float(np.percentile(times, q)) for q in (50, 95)},
    }


def server_time(folder: Path, n: int = 100_000, decisions: int = 1000) -> dict[str, Any]:
    """Each decision from sending it to having its answer, on one kept-open connection."""
    run = synthetic_run(folder / "large", n, 10)
    rng = random.Random(0)
    with Server(run) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        times = []
        for number in range(decisions + 20):
            stroke = {
                "stroke": f"decision-{number}",
                "action": "accept",
                "rows": [rng.randrange(n)],
            }
            body = json.dumps({"me": "ann", "strokes": [stroke]})
            started = time.perf_counter()
            connection.request("POST", "/api/strokes", body, POST)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            times.append(time.perf_counter() - started)
        lists = []
        for _ in range(10):
            started = time.perf_counter()
            connection.request("GET", "/api/list?me=ann&state=open")
            connection.getresponse().read()
            lists.append(time.perf_counter() - started)
    milliseconds = 1000 * np.array(times[20:])
    return {
        "items": n,
        "decisions": decisions,
        **{f"p{q}_ms": float(np.percentile(milliseconds, q)) for q in (50, 95, 99)},
        "list_ms": float(1000 * np.median(lists)),
    }


def kills(folder: Path, times: int = 50) -> dict[str, Any]:
    """kill -9 at random moments while a client posts; acknowledged decisions that are gone."""
    run = synthetic_run(folder / "killed", 2000, 4)
    nursery, rng, acknowledged = Nursery(run), random.Random(1), []

    def post(server: Server, kill: int, first: threading.Event) -> None:
        for number in itertools.count():
            name, row = f"kill-{kill:03d}-{number}", rng.randrange(2000)
            stroke = {"stroke": name, "action": "keep", "rows": [row]}
            try:
                server.json("/api/strokes", {"me": "ann", "strokes": [stroke]})
            except (OSError, http.client.HTTPException):
                return
            acknowledged.append((name, row))
            first.set()

    for kill in range(times):
        first = threading.Event()
        client = threading.Thread(target=post, args=(nursery.start(), kill, first))
        client.start()
        if kill % 5:
            first.wait(10)
        time.sleep(rng.uniform(0, 0.3))
        nursery.kill()
        client.join()
    nursery.close()
    log = DecisionLog(run / LOG)
    kept = {(d.stroke, int(d.item)) for d in log.since()}
    log.close()
    return {
        "kills": times,
        "acknowledged": len(acknowledged),
        "lost": len(set(acknowledged) - kept),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
            f"load {os.getloadavg()[0]:.1f}",
            "page": through_the_page(folder),
            "scrolling": scrolling(folder),
            "server": server_time(folder),
            "kills": kills(folder),
        }
    page, server, killed = result["page"], result["server"], result["kills"]
    scroll = result["scrolling"]
    frames = f"{scroll['p50_ms']:.0f} and {scroll['p95_ms']:.0f} ms"
    text = f"""# The review page's pace

`python benchmarks/review.py` on {result["machine"]}.

| what | measured |
| --- | ---: |
| decisions a second, keys through the real page | {page["per_second_pressed"]:.0f} |
| the same until the server has acknowledged all | {page["per_second_acknowledged"]:.0f} |
| a frame while {scroll["items"]:,} items scroll, median and 95th percentile | {frames} |
| a decision with {server["items"]:,} items, median | {server["p50_ms"]:.1f} ms |
| 95th percentile | {server["p95_ms"]:.1f} ms |
| 99th percentile | {server["p99_ms"]:.1f} ms |
| a filtered list of them | {server["list_ms"]:.0f} ms |
| kill -9 while a client posts | {killed["kills"]} times |
| decisions acknowledged before a kill | {killed["acknowledged"]:,} |
| of them lost | {killed["lost"]} |
"""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "review.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "review.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
