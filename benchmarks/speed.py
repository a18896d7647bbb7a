"""Speed: one table, each row with both sides in one run, medians and spread.

    python benchmarks/speed.py --data ../data/imagewoof2-160           all rows
    python benchmarks/speed.py --data ... --rows a,c --images 600      some, smaller

Every side runs in a process of its own, in turn with the other. The table goes to the terminal and
to results/speed.md, with all measurements, versions and seeds in results/speed.json. Rows that were
not asked for stay as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def apart(function: str, **arguments: Any) -> dict[str, Any]:
    """The result of a function of speed_sides.py, run in a process of its own."""
    code = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
        "import speed_sides; a = json.loads(sys.argv[3]); "
        "a = {k: Path(v) if k in ('data', 'folder', 'out') else v for k, v in a.items()}; "
        "print(json.dumps(getattr(speed_sides, sys.argv[2])(**a)))"
    )
    # both sides wait asleep: on a shared machine spinning threads would only slow the peer down
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(HERE), function, json.dumps(arguments)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{function}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def row(what: str, ours: list[float], theirs: list[float], unit: str, note: str = "", **more: Any):
    """One line of the table; `ratio` is how many times as much the other side takes (or gives)."""
    ours_mid, theirs_mid = statistics.median(ours), statistics.median(theirs)
    ratio = theirs_mid / ours_mid if unit == "s" else ours_mid / theirs_mid
    return {
        "what": what,
        "softfold": ours,
        "other": theirs,
        "unit": unit,
        "ratio": ratio,
        "note": note,
        **more,
    }


def whole_job(use: argparse.Namespace) -> list[dict[str, Any]]:
    shared = {"data": str(use.data), "n": use.images, "size": use.size}
    runs: dict[str, list[dict[str, float]]] = {"probe": [], "folds": [], "post": []}
    for seed in range(use.seeds):
        runs["probe"].append(apart("job_softfold", seed=seed, **shared))
        runs["post"].append(apart("job_post", seed=seed, **shared))
        runs["folds"].append(apart("job_softfold", seed=seed, finetune_folds=True, **shared))
    seconds = {k: [run["seconds"] for run in v] for k, v in runs.items()}
    right = {k: round(100 * statistics.mean(r["accuracy"] for r in v), 1) for k, v in runs.items()}
    cpu = {k: statistics.median(run["cpu"] for run in v) for k, v in runs.items()}
    only_probe = [run["crossfit"] + run["probe_final"] for run in runs["probe"]]
    scale = f"{use.images} items (the last model on half), {use.size} px, fine_tune(2), lite0"

    def note(kind: str) -> str:
        return (
            f"clean accuracy {right[kind]} against {right['post']}, {use.seeds} seeds; processor "
            f"seconds, imports included, {cpu[kind]:.0f} against {cpu['post']:.0f}"
        )

    return [
        row(
            f"whole job, probe out of fold, fine-tuned final model; {scale}",
            seconds["probe"],
            seconds["post"],
            "s",
            note("probe"),
            runs=runs,
        ),
        row(
            "whole job, both folds fine-tuned as the post does",
            seconds["folds"],
            seconds["post"],
            "s",
            note("folds"),
        ),
        row("whole job, final model a probe too", only_probe, seconds["post"], "s"),
    ]


def crossfit_share(use: argparse.Namespace) -> list[dict[str, Any]]:
    found = apart(
        "crossfit_and_training",
        data=str(use.data),
        size=use.final_size,
        probe_size=use.final_size,
        n_timed=use.timed,
    )
    note = (
        f"share {found['first'] / found['eleven']:.1%}; the training is an epoch of {use.timed} "
        "items, times 9,025 and 11"
    )
    scale = f"9,025 items, {use.final_size} px"
    return [
        row(
            f"cross-fit, five folds, against 11 epochs of fine-tuning; {scale}",
            [found["first"]],
            [found["eleven"]],
            "s",
            note,
        ),
        row("cross-fit, second run, against the first", [found["second"]], [found["first"]], "s"),
    ]


def delivery(use: argparse.Namespace) -> list[dict[str, Any]]:
    step = apart("delivery_step")
    plain = statistics.median(step["step"])
    added = statistics.median(step["with"]) - statistics.median(step["without"])
    spread = max(step["without"]) - min(step["without"])
    large = apart("delivery_large")
    slower = statistics.median(large["post"]) / statistics.median(large["items"])
    return [
        row(
            "resnet18 step (128 px, batch 16) with the callback, against without",
            [plain + added],
            [plain],
            "s",
            f"it adds {added * 1e6:.0f} µs a batch, {added / plain:.2%} of the step (spread of the "
            f"measurement {spread * 1e6:.0f} µs)",
            measured=step,
        ),
        row(
            "a batch's targets at N = 1,281,167, K = 1,000, against the post's callback",
            large["batch"],
            large["post"],
            "s",
            f"batches of 64 gathered at once; {slower:.0f} times faster item by item",
        ),
    ]


def ranking(use: argparse.Namespace) -> list[dict[str, Any]]:
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory(dir=use.scratch) as folder:
        for n, k in ((50_000, 10), (1_000_000, 10), (50_000, 1000), (1_000_000, 100)):
            n = int(n * use.analysis_scale)
            got: dict[str, list[dict[str, float]]] = {}
            sides = ("softfold", "cleanlab", "batched")
            for repeat in range(use.repeats):
                for side in sides:
                    if side == "cleanlab" and repeat and got[side][0]["seconds"] > 120:
                        continue
                    got.setdefault(side, []).append(
                        apart(
                            "ranking",
                            side=side,
                            n=n,
                            k=k,
                            folder=folder,
                            out=f"{folder}/{side}.npy",
                            mapped=False,
                        )
                    )
            picked = {side: np.load(f"{folder}/{side}.npy") for side in sides}
            wrong = np.load(f"{folder}/wrong{n}x{k}.npy")
            seconds = {side: [r["seconds"] for r in got[side]] for side in sides}
            for side, name in (("cleanlab", "find_label_issues"), ("batched", "batched form")):
                found, rank = picked[side], picked["softfold"]
                top = rank[: len(found)]
                both = len(np.intersect1d(found, top)) / len(found)
                memory = got["softfold"][0]["above_mb"], got[side][0]["above_mb"]
                note = (
                    f"overlap of the first {len(found):,}: {both:.3f}; precision "
                    f"{wrong[top].mean():.3f} and {wrong[found].mean():.3f}; rank correlation "
                    f"{rank_correlation(rank, found):.3f}; MB above the input {memory[0]:.0f} "
                    f"and {memory[1]:.0f}"
                )
                what = f"rank_issues {n:,} x {k:,} against cleanlab's {name}"
                rows.append(row(what, seconds["softfold"], seconds[side], "s", note))
            Path(f"{folder}/p{n}x{k}.npy").unlink()
        if use.largest:
            n, k = 1_000_000, 1000
            ask = {"n": n, "k": k, "folder": folder, "out": f"{folder}/x.npy", "mapped": True}
            mine = apart("ranking", side="softfold", **ask)
            other = apart("ranking", side="batched", **ask)
            rows.append(
                row(
                    f"rank_issues {n:,} x {k:,}, memory-mapped, against the batched form",
                    [mine["seconds"]],
                    [other["seconds"]],
                    "s",
                    f"MB above the input {mine['above_mb']:.0f} and {other['above_mb']:.0f}",
                )
            )
    return rows


def rank_correlation(ours: Any, theirs: Any) -> float:
    """Spearman's, over the items that the other side ranks."""
    import numpy as np

    place = np.empty(len(ours))
    place[ours] = np.arange(len(ours))
    order = place[theirs].argsort().argsort()
    return float(np.corrcoef(order, np.arange(len(theirs)))[0, 1])


def loaders(use: argparse.Namespace) -> list[dict[str, Any]]:
    shared = {"data": str(use.data), "n": use.loaded, "size": use.size}
    got = {"softfold": [], "fastai": []}
    for _ in range(use.repeats):
        for side, rates in got.items():
            rates.append(apart(f"loader_{side}", **shared))
    scale = f"{use.loaded} images at {use.size} px, random crops and flips"
    return [
        row(
            f"loader, {kind} epoch; {scale}",
            [r[kind] for r in got["softfold"]],
            [r[kind] for r in got["fastai"]],
            "images/s",
        )
        for kind in ("cold", "warm")
    ]


def startup(use: argparse.Namespace) -> list[dict[str, Any]]:
    binary = str(Path(sys.executable).parent / "softfold")
    commands = {
        "import softfold": ([sys.executable, "-c", "import softfold"], "import fastai.vision.all"),
        "softfold --help": ([binary, "--help"], "import fastai.vision.all"),
    }
    rows = []
    for name, (command, other) in commands.items():
        mine = [timed(command) for _ in range(max(5, use.repeats))]
        theirs = [timed([sys.executable, "-W", "ignore", "-c", other]) for _ in range(2)]
        rows.append(row(f"{name}, whole process", mine[1:], theirs[1:], "s", f"against {other}"))
    return rows


def growth(use: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(dir=use.scratch) as folder:
        for name, cases in (
            ("N", [(25_000 * 2**i, 100) for i in range(4)]),
            ("K", [(25_000, 100 * 2**i) for i in range(4)]),
        ):
            found = [apart("analysis", n=n, k=k, folder=folder) for n, k in cases]
            for step in found[0]:
                seconds = [f[step] for f in found]
                times = ", ".join(f"{s:.2f}" for s in seconds)
                rows.append(
                    row(
                        f"{step}, {name} x 8 (from 25,000 x 100)",
                        seconds[:1],
                        seconds[-1:],
                        "s",
                        f"seconds {times}; x8 costs x{seconds[-1] / seconds[0]:.1f}",
                    )
                )
    return rows


def timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def main_job(use: argparse.Namespace) -> list[dict[str, Any]]:
    """Cold and warm, and the forward pass that a cold one cannot do without."""
    shared = {"data": str(use.data), "n": use.job_images}
    with tempfile.TemporaryDirectory(dir=use.scratch) as folder:
        bare = apart("bare_forward", **shared)
        cold = apart("job_main", folder=folder, **shared)
        warm = apart("job_main", folder=folder, **shared)
    scale = f"{use.job_images:,} training images, 224 px, probe, five folds, three seeds"
    note = (
        "processor seconds {:.0f} against {:.0f} of the bare pass ({}, {}, files decoded before); "
        "peak {:,.0f} MB"
    )
    rows = []
    for kind, found in (("cold", cold), ("warm", warm)):
        text = note.format(found["cpu"], bare["cpu"], bare["dtype"], bare["how"], found["peak_mb"])
        what = f"main job, {kind}, against a bare forward pass; {scale}"
        rows.append(row(what, [found["seconds"]], [bare["seconds"]], "s", text, by_step=found))
    return rows


def forward_pass(use: argparse.Namespace) -> list[dict[str, Any]]:
    """Processor seconds, both networks in turn in one process."""
    found = apart("forward_fused", batches=use.batches)
    note = f"{found['dtype']}, one thread, 16 images of 224 px a batch; largest difference of a "
    note += f"feature {found['apart']:.1e} of the largest"
    what = "an image through EfficientNet-Lite0, convolutions fused, against BatchNorm folded alone"
    return [row(what, found["fused"], found["folded"], "s", note)]


def decoding(use: argparse.Namespace) -> list[dict[str, Any]]:
    found = apart("decode_rates", data=str(use.data), n=use.loaded)
    note = "one thread, bytes in memory; the other side is Pillow's decoding alone, nothing resized"
    what = f"JPEGs decoded at {{}} px, {use.loaded:,} of Imagewoof-160"
    rows = [("160", found["160"], "alone"), ("224", found["224"], "alone")]
    return [row(what.format(size), r, found[k], "images/s", note) for size, r, k in rows]


def solver(use: argparse.Namespace) -> list[dict[str, Any]]:
    found = apart("solver_beside", n=use.solved)
    note = "one strength, given to both; largest difference of a probability "
    note += f"{found['apart']:.1e}; processor seconds {found['cpu'][0]:.1f} and "
    note += f"{found['cpu'][1]:.1f}"
    what = f"softmax regressions of five folds, {use.solved:,} x 1,280, against scikit-learn's"
    return [row(f"{what} LogisticRegression", found["ours"], found["theirs"], "s", note)]


def busy(use: argparse.Namespace) -> list[dict[str, Any]]:
    """Convolutions beside a process that keeps all cores busy, torch imported first."""
    neighbours = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        ours = apart("busy_step", helped=True, seconds=use.busy_seconds)
        theirs = apart("busy_step", helped=False, seconds=use.busy_seconds)
    finally:
        for each in neighbours:
            each.kill()
    quiet = apart("busy_step", helped=True, seconds=use.busy_seconds)
    note = f"quiet, {statistics.median(quiet['steps']) * 1e3:.0f} ms; the other side spins, as "
    note += "torch does by itself"
    what = "eight convolutions, torch imported before softfold, another program on every core"
    return [row(what, ours["steps"], theirs["steps"], "s", note)]


ROWS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "a": whole_job,
    "b": crossfit_share,
    "c": delivery,
    "d": ranking,
    "e": loaders,
    "f": startup,
    "g": growth,
    "h": main_job,
    "i": forward_pass,
    "j": decoding,
    "k": solver,
    "l": busy,
}


def spread(values: list[float], unit: str) -> str:
    """Median, and the range where there is more than one."""
    if unit != "s":
        mid, low, high = (f"{f(values):,.0f}" for f in (statistics.median, min, max))
    else:
        scale, name = (1, "s") if statistics.median(values) >= 0.1 else (1e3, "ms")
        if name == "ms" and statistics.median(values) < 1e-3:
            scale, name = 1e6, "µs"
        parts = [f(values) * scale for f in (statistics.median, min, max)]
        mid, low, high = (f"{p:.3g}" if p < 100 else f"{p:.0f}" for p in parts)
        mid += f" {name}"
    return mid if len(values) == 1 else f"{mid} ({low} to {high})"


def table(found: dict[str, Any]) -> str:
    lines = ["| | what | softfold | other | ratio | |", "| --- | --- | --- | --- | --- | --- |"]
    for letter in sorted(found["rows"]):
        for r in found["rows"][letter]:
            ours, theirs = spread(r["softfold"], r["unit"]), spread(r["other"], r["unit"])
            unit = "" if r["unit"] == "s" else f" {r['unit']}"
            cells = (letter, r["what"], ours + unit, theirs + unit, f"{r['ratio']:.3g}", r["note"])
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(found: dict[str, Any]) -> str:
    """The table with what is needed to judge it."""
    about = ", ".join(f"{k} {v}" for k, v in found["machine"].items())
    load = ", ".join(f"{k} {v:.1f}" for k, v in sorted(found["load"].items()))
    return (
        f"# Speed\n\n{table(found)}\n\nMedian (lowest to highest). {about}. Load average of the "
        f"machine at the end of each row (other work ran beside it): {load}. Packages are "
        "installed with their bytecode, as pip and `make install` do: without it both sides import "
        "longer.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="unpacked imagewoof2-160 with its CSV")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2000, help="of the whole job")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--final-size", type=int, default=224, help="of row b")
    parser.add_argument("--timed", type=int, default=320, help="items of row b's timed epoch")
    parser.add_argument("--loaded", type=int, default=2000, help="images of row e")
    parser.add_argument("--analysis-scale", type=float, default=1.0, help="of row d's N")
    parser.add_argument("--job-images", type=int, default=3000, help="of row h")
    parser.add_argument("--batches", type=int, default=20, help="of row i")
    parser.add_argument("--solved", type=int, default=9000, help="items of row k")
    parser.add_argument("--busy-seconds", type=int, default=20, help="of each side of row l")
    parser.add_argument("--largest", action="store_true", help="row d at 1,000,000 x 1,000 (4 GB)")
    parser.add_argument("--scratch", default=None, help="folder for large temporary files")
    use = parser.parse_args()
    asked = [letter for letter in use.rows.split(",") if letter in ROWS]
    if use.data is None:
        asked = [letter for letter in asked if letter not in "abehj"]
    from softfold.machine.runtime import machine

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "speed.json"
    found = json.loads(file.read_text()) if file.is_file() else {"rows": {}}
    found["machine"] = machine()
    found["seeds"] = use.seeds
    for letter in asked:
        found["rows"][letter] = ROWS[letter](use)
        found.setdefault("load", {})[letter] = os.getloadavg()[0]
        file.write_text(json.dumps(found, indent=1))
        (RESULTS / "speed.md").write_text(page(found))
        print(table({"rows": {letter: found["rows"][letter]}}), flush=True)


if __name__ == "__main__":
    main()
