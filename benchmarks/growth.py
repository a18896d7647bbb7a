"""How seconds and memory grow with items and classes, from 10,000 items to ImageNet's number.

    python benchmarks/growth.py                              # every row that is not there yet
    python benchmarks/growth.py --items 10000 --classes 10   # one row
    python benchmarks/growth.py --big                        # 1,281,167 items, 1,000 classes
    python benchmarks/growth.py --photos FOLDER              # features of real images
    python benchmarks/growth.py --images train.parquet       # what an index misses, on real images

Features are made (256 columns, whose variance falls as that of a network's does), predictions too,
with 20% wrong labels. Each step runs in a process of its own with one thread, and gets the step
before by files. `memory` is the most that the process held and could not give back (RssAnon,
looked at 20 times a second); `with maps` is its peak with the pages of files that it had mapped
(VmHWM), which the system takes back where others need them. Finished rows are kept, and the table
is made of what there is. Features of images (--photos) are of the folder's own, again and again
under other names, with an empty cache. A step that would take over --limit seconds by its growth so
far is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

HERE = Path(__file__).parent
ITEMS, CLASSES = (10_000, 20_000, 50_000, 100_000, 200_000), (10, 100, 1000)
BIG = (1_281_167, 1000)
COLUMNS, SOLVED, FOLDS, WRONG = 256, 32, 5, 0.2
FEW = 20
"""Items of a class; with fewer, labels are dealt evenly."""

PIXELS = 128
"""Side of the images that features are made of."""

STRENGTH = 1e-2
"""Of the cross-fit, whose search for a strength is left out: it repeats what is measured."""

STEPS = (
    "features",
    "copies",
    "cross-fit",
    "neighbours",
    "noise model",
    "soft labels",
    "ranking",
    "report",
)
READS = {
    "soft labels": ("noise model", "noise.json"),
    "ranking": ("noise model", "noise.json"),
    "report": ("ranking", "items.parquet"),
}
"""What a step reads that another makes."""


# -- what is worked on ----------------------------------------------------------------------------


def labels(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and given labels, int64 (n,).

    Where classes have few items, each has as many, and wrong labels are exchanged among items: each
    fold needs some of every class.
    """
    rng = np.random.default_rng(0)
    if n < FEW * k:
        truth, wrong = rng.permutation(n) % k, rng.random(n) < WRONG
        given = truth.copy()
        given[wrong] = rng.permutation(truth[wrong])
        return truth, given
    truth = rng.integers(0, k, n)
    return truth, np.where(rng.random(n) < WRONG, rng.integers(0, k, n), truth)


def make(folder: Path, n: int, k: int) -> None:
    """features.npy float16 (n, COLUMNS) and oof.npy float32 (n, k), a block after the other."""
    rng, (truth, _) = np.random.default_rng(1), labels(n, k)
    falling = ((1 + np.arange(COLUMNS)) ** -0.5).astype(np.float32)
    centres = rng.normal(size=(k, 4, COLUMNS)).astype(np.float32) * falling
    shape = {"features": (np.float16, COLUMNS), "oof": (np.float32, k)}
    out = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (n, width))
        for name, (dtype, width) in shape.items()
    }
    step = max(256, 4_000_000 // k)
    noise = np.exp(rng.standard_normal((step, k), dtype=np.float32))  # of every block the same rows
    for start in range(0, n, step):
        y = truth[start : start + step]
        x = rng.standard_normal((len(y), COLUMNS), dtype=np.float32) * falling
        out["features"][start : start + step] = x + centres[y, rng.integers(0, 4, len(y))]
        p = np.roll(noise, int(rng.integers(len(noise))), axis=0)[: len(y)]
        p[np.arange(len(y)), y] *= k * np.float32(np.exp(2))
        out["oof"][start : start + step] = p / p.sum(axis=1, keepdims=True)
    copied = rng.permutation(n)[: 2 * (n // 200)].reshape(2, -1)  # every two hundredth has a copy
    out["features"][copied[1]] = out["features"][copied[0]]


def table_of(n: int, k: int, data: np.ndarray | None = None):
    from softfold import LabelTable

    keys = np.array([f"images/{i:07d}.jpg" for i in range(n)], dtype=object)
    names = tuple(f"class {i:04d}" for i in range(k))
    return LabelTable(keys, labels(n, k)[1], names, np.zeros(n, bool), data=data, name="made")


# -- the steps ------------------------------------------------------------------------------------


def features(folder: Path) -> np.ndarray:
    return np.load(folder / "features.npy", mmap_mode="r")


def oof(folder: Path) -> np.ndarray:
    return np.load(folder / "oof.npy", mmap_mode="r")


def name_photos(source: Path, folder: Path, n: int) -> None:
    """named/: n names of the photos in a folder, which come again and again."""
    photos = sorted(p.resolve() for p in source.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    (folder / "named").mkdir(exist_ok=True)
    for i in range(n):
        (folder / "named" / f"{i:07d}.jpg").symlink_to(photos[i % len(photos)])
    (folder / "photos").write_text(str(len(photos)))


def photo_features(folder: Path, n: int, k: int) -> dict:
    """Features of photos by their backbone, into an empty cache."""
    os.environ["SOFTFOLD_CACHE"] = str(folder / "cache")
    os.environ["SOFTFOLD_CACHE_GB"] = "60"
    from softfold.pixels.images import Images
    from softfold.vision.features import image_features

    images = Images(folder / "named" / f"{i:07d}.jpg" for i in range(n))
    x, photos = image_features(images, size=PIXELS), int((folder / "photos").read_text())
    again = np.arange(0, n - photos, max(1, n // 1000))
    same = bool((x[again] == x[again + photos]).all())
    return {"shape": x.shape, "photos": photos, "a photo has one set of features": same}


def copies(folder: Path, n: int, k: int) -> dict:
    from softfold.data.grouping import groups_of_pairs
    from softfold.vision.near_copies import near_copies

    pairs, _ = near_copies(features(folder))
    groups = groups_of_pairs(pairs, n)
    return {"found": int(n - len(np.unique(groups))), "there": n // 200}


def crossfit(folder: Path, n: int, k: int) -> dict:
    """Folds solved at one strength, predictions written."""
    from softfold import plan_folds
    from softfold.crossfit.plain import cross_fit
    from softfold.trainers.probe import Probe, fold_solver, softmax_regression

    passes = 0
    loss_and_residual = softmax_regression.Targets.loss_and_residual

    def counted(self, logits, rows):
        nonlocal passes
        passes += rows.start == 0
        return loss_and_residual(self, logits, rows)

    begun = solved = 0.0
    solve = fold_solver.solve

    def timed(*args, **options):
        nonlocal begun, solved
        begun = time.process_time()
        made = solve(*args, **options)
        solved = time.process_time()
        return made

    softmax_regression.Targets.loss_and_residual = counted
    fold_solver.solve = timed
    x = np.ascontiguousarray(features(folder)[:, :SOLVED])
    table = table_of(n, k, x)
    made = cross_fit(
        table, Probe(strength=STRENGTH), plan_folds(table, FOLDS), out=folder / "folds"
    )
    right = labels(n, k)[0]
    hits = sum(
        int((made.probabilities[s : s + 65536].argmax(1) == right[s : s + 65536]).sum())
        for s in range(0, n, 65536)
    )
    said = {"passes": passes, "seconds a pass": (solved - begun) / max(1, passes)}
    return said | {"columns": SOLVED, "right": hits / n}


def neighbours(folder: Path, n: int, k: int) -> dict:
    from softfold.crossfit.neighbours import joined, nearest
    from softfold.noise.explanation import Explanation

    near = nearest(features(folder), np.arange(n) % FOLDS)
    truth, given = labels(n, k)
    transition = (1 - WRONG) * np.eye(k) + WRONG / k
    p = joined(given, oof(folder), Explanation("even", transition, 1.0), near)
    return {"alike": float((truth[near] == truth[:, None]).mean()), "shape": p.shape}


def noise_model(folder: Path, n: int, k: int) -> dict:
    from softfold import estimate_noise
    from softfold.files import write_json

    noise = estimate_noise(labels(n, k)[1], oof(folder))
    write_json(folder / "noise.json", noise.to_json())
    return {"rate": noise.rate}


def _noise(folder: Path):
    from softfold.noise.model import NoiseModel

    return NoiseModel.from_json(json.loads((folder / "noise.json").read_text()))


def soft_labels(folder: Path, n: int, k: int) -> dict:
    from softfold import soften

    made = soften(table_of(n, k), oof(folder), noise=_noise(folder))
    made.save(folder / "soft_labels.safetensors")
    return {"bytes": (folder / "soft_labels.safetensors").stat().st_size}


def ranking(folder: Path, n: int, k: int) -> dict:
    """items.parquet as a run has it."""
    from softfold.crossfit.oof import OutOfFold
    from softfold.files import write_json, write_parquet
    from softfold.job.items import items_frame

    table = table_of(n, k)
    made = OutOfFold(table.item, oof(folder), (np.arange(n) % FOLDS)[:, None], table.vocab)
    frame = items_frame(table, made, _noise(folder), None)
    made.save(folder / "oof.safetensors")
    write_parquet(folder / "items.parquet", frame)
    write_json(folder / "vocab.json", list(table.vocab))
    about = {"name": "made", "kind": "items", "settings": {}, "trainer": "", "trainer_settings": {}}
    write_json(folder / "config.json", about)
    top = np.argsort(-frame["suspicion"].to_numpy(), kind="stable")[: n // 10]
    truth, given = labels(n, k)
    return {"wrong of the first tenth": float((truth != given)[top].mean())}


def report(folder: Path, n: int, k: int) -> dict:
    from softfold.report.page import write_report

    return {"bytes": write_report(folder).stat().st_size}


MADE = (copies, crossfit, neighbours, noise_model, soft_labels, ranking, report)
WORK = dict(zip(STEPS, (photo_features, *MADE)))


# -- measuring ------------------------------------------------------------------------------------


def field(pid: int, name: str) -> float:
    """MiB of a field of /proc/PID/status, 0 where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def measured(step: str, folder: Path, n: int, k: int) -> dict:
    """The step in a process of its own: seconds (of the step alone), MiB, and what it says."""
    busy = os.getloadavg()[0]
    here = [sys.executable, __file__, "--step", step, "--work", str(folder)]
    here += ["--items", str(n), "--classes", str(k)]
    with subprocess.Popen(here, stdout=subprocess.PIPE, text=True) as process:
        anonymous = peak = 0.0
        while process.poll() is None:
            anonymous = max(anonymous, field(process.pid, "RssAnon"))
            peak = max(peak, field(process.pid, "VmHWM"))
            time.sleep(0.05)
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{step} with {n:,} items and {k:,} classes: status {process.returncode}")
    spent = json.loads(said.splitlines()[-1])
    return spent | {"memory": anonymous, "with maps": peak, "load": busy}


def run_step(step: str, folder: Path, n: int, k: int) -> None:
    import softfold  # noqa: F401

    begun, used = time.perf_counter(), time.process_time()
    said = WORK[step](folder, n, k)
    spent = {"seconds": time.perf_counter() - begun, "processor": time.process_time() - used}
    print(json.dumps(spent | {"said": said}, default=str))


def with_reads(steps: list[str], folder: Path) -> list[str]:
    """The steps, and before each of them what makes that which it reads, where it is not there."""
    out: list[str] = []
    for step in steps:
        before, file = READS.get(step, ("", ""))
        if before and before not in out and not (folder / file).exists():
            out += [s for s in with_reads([before], folder) if s not in out]
        out += [step] if step not in out else []
    return out


def left_out(rows: dict, step: str, n: int, k: int, limit: float) -> bool:
    """Whether the step grew so that it would now take longer than the limit."""
    known = [
        (m, rows[f"{m}/{k}"][step]["processor"])
        for m in ITEMS
        if m < n and step in rows.get(f"{m}/{k}", {})
    ]
    return bool(known) and known[-1][1] * (n / known[-1][0]) ** 1.2 > limit


# -- the table ------------------------------------------------------------------------------------


def exponent(pairs: list[tuple[int, float]]) -> str:
    """The slope of log seconds over log items, by least squares."""
    if len(pairs) < 3:
        return "-"
    n, seconds = np.log(np.array(pairs, float)).T
    return f"{np.polyfit(n, seconds, 1)[0]:.2f}"


def busy(rows: dict) -> str:
    """What else the machine did, in words."""
    loads = [step.get("load") for row in rows.values() for step in row.values()]
    known = [load for load in loads if load is not None]
    told = [] if len(known) == len(loads) else ["others used them too in steps that do not say so"]
    if known:
        told = [f"load average {min(known):.1f} to {max(known):.1f} before each step", *told]
    return f" ({'; '.join(told)})"


def written(rows: dict, recall: dict) -> str:
    from accuracy import machine

    about = machine()
    lines = [
        "# Growth\n",
        "Made by `python benchmarks/growth.py`: every step in a process of its own with one thread "
        f"on {about['platform']}, {about['cores']} cores{busy(rows)}, Python "
        f"{about['python']}, {about['versions']}. Seconds are the processor's; MiB are what the "
        "process held and could not give back (RssAnon), behind the stroke its peak with the pages "
        f"of mapped files (VmHWM). Features are made: {COLUMNS} columns as float16 in a file, "
        f"{SOLVED} of them for the cross-fit; those of the step `features` are of photos "
        f"at {PIXELS} pixels that come again and again under other names; 20% of the labels are "
        f"wrong, one item in 200 has a copy; with fewer than {FEW} items a class, each class has "
        "as many. The "
        f"cross-fit is that of a probe, {FOLDS} folds at one strength, predictions kept "
        "by fold; a search for the strength repeats it about five times, above 100,000 items on "
        "100,000 of them.\n",
    ]
    for k in CLASSES:
        here = [n for n in (*ITEMS, BIG[0]) if f"{n}/{k}" in rows]
        if not here:
            continue
        lines += [f"## {k:,} classes\n"]
        lines += ["| step | " + " | ".join(f"{n:,}" for n in here) + " | exponent |"]
        lines += ["| --- |" + " --- |" * (len(here) + 1)]
        for step in STEPS:
            cells, pairs = [], []
            for n in here:
                one = rows[f"{n}/{k}"].get(step)
                if one is None:
                    cells.append("-")
                    continue
                if n in ITEMS:
                    pairs.append((n, one["processor"]))
                memory = f"{one['memory']:,.0f} / {one['with maps']:,.0f} MiB"
                cells.append(f"{one['processor']:,.1f} s, {memory}")
            lines += [f"| {step} | " + " | ".join(cells) + f" | {exponent(pairs)} |"]
        lines += [""]
    lines += [
        "The exponent is the slope of the logarithm of seconds over that of items, by least "
        "squares, over the rows up to 200,000 items that have been run. Up to 20,000 items near "
        "copies, and up to 50,000 neighbours, are found by comparing every pair; above that an "
        "index finds them. Starting a library counts, where steps are short.\n",
        "## What the steps said\n",
    ]
    lines += ["| items | classes | step | said |", "| --- | --- | --- | --- |"]
    for n, k in [(n, k) for n in (*ITEMS[2:], BIG[0]) for k in CLASSES]:
        for step, one in rows.get(f"{n}/{k}", {}).items():
            said = ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in one["said"].items()
            )
            lines += [f"| {n:,} | {k:,} | {step} | {said} |"]
    if recall:
        lines += [
            "\n## What an index misses\n",
            f"On the features (efficientnet_lite0, 64 pixels) of {recall['items']:,} images of "
            "CIFAR-10, the ten nearest neighbours by comparing every pair on 128 principal axes "
            "and by the index:\n",
            "| | every pair | index |",
            "| --- | --- | --- |",
            "| seconds of the processor | {:.1f} | {:.1f} |".format(*recall["seconds"]),
            f"| neighbours of the item's true class | {recall['alike'][0]:.2%} | "
            f"{recall['alike'][1]:.2%} |",
            f"| of those that every pair finds | 100% | {recall['shared']:.1%} |",
            f"| near copies (cosine over {recall['threshold']}) | {recall['copies'][0]:,} | "
            f"{recall['copies'][1]:,} |",
        ]
    return "\n".join(lines) + "\n"


def missed(images: Path) -> dict:
    """What the index finds of neighbours and copies among real images, beside every pair."""
    import pandas as pd

    from softfold.crossfit import neighbours as near
    from softfold.pixels.images import Images
    from softfold.vision import near_copies as copied
    from softfold.vision.features import image_features

    frame = pd.read_parquet(images, columns=["image", "label"])[:20_000]
    encoded = [i["bytes"] if isinstance(i, dict) else i for i in frame["image"]]
    x, y = image_features(Images(encoded=encoded), size=64), frame["label"].to_numpy()
    fold, threshold = np.arange(len(x)) % FOLDS, 0.9
    found, seconds, pairs = [], [], []
    for limit in (len(x), 100):
        near.EXACT_ITEMS = copied.EXACT_ITEMS = limit
        begun = time.process_time()
        found.append(near.nearest(x, fold))
        seconds.append(time.process_time() - begun)
        pairs.append(len(copied.near_copies(x, threshold)[0]))
    shared = [len(np.intersect1d(a, b)) for a, b in zip(*found)]
    return {
        "items": len(x),
        "seconds": seconds,
        "alike": [float((y[f] == y[:, None]).mean()) for f in found],
        "shared": float(np.mean(shared)) / near.NEIGHBOURS,
        "copies": pairs,
        "threshold": threshold,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=int, nargs="*", default=list(ITEMS))
    parser.add_argument("--classes", type=int, nargs="*", default=list(CLASSES))
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--big", action="store_true", help="the row of ImageNet's size")
    parser.add_argument("--limit", type=float, default=300, help="seconds of a step")
    parser.add_argument("--images", type=Path, help="Parquet file with columns image, label")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs, for the step of features")
    parser.add_argument("--again", action="store_true", help="rows that are there, once more")
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp"), help="a folder is made and removed in it"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        run_step(args.step, args.work, args.items[0], args.classes[0])
        return
    kept = args.out / "growth.json"
    state = json.loads(kept.read_text()) if kept.exists() else {"rows": {}, "recall": {}}

    def keep() -> None:
        kept.write_text(json.dumps(state, indent=1))
        (args.out / "growth.md").write_text(written(state["rows"], state["recall"]))

    if args.images:
        state["recall"] = missed(args.images)
        keep()
        return
    asked = [BIG] if args.big else [(n, k) for n in sorted(args.items) for k in args.classes]
    for n, k in asked:
        row = state["rows"].setdefault(f"{n}/{k}", {})
        wanted = ["features"] if args.photos else [s for s in args.steps if s != "features"]
        todo = [s for s in wanted if args.again or s not in row]
        if not args.big:
            todo = [s for s in todo if not left_out(state["rows"], s, n, k, args.limit)]
        if not todo:
            continue
        folder = args.work / f"softfold-growth-{n}-{k}"
        folder.mkdir(parents=True, exist_ok=True)
        if args.photos:
            name_photos(args.photos, folder, n)
        elif not (folder / "made").exists():
            make(folder, n, k)
            (folder / "made").touch()
        for step in with_reads(todo, folder):
            row[step] = measured(step, folder, n, k)
            known = {m: round(row[step][m], 1) for m in ("seconds", "processor", "memory")}
            print(n, k, step, known, flush=True)
            keep()
            shutil.rmtree(folder / "folds", ignore_errors=True)  # nothing reads them
        shutil.rmtree(folder)
    keep()
    print((args.out / "growth.md").read_text())


if __name__ == "__main__":
    main()
