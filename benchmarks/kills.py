"""Kills a job at random moments and resumes it: every file must be that of a job never killed.

    python benchmarks/kills.py [--kills 50] [--images 300]

The job is the main one in small: features of images, out-of-fold predictions, noise model, soft
labels, fine-tuning with given and soft labels, report. A trial begins with an empty run folder and
an empty cache (cold) or a full one (warm); it is killed (SIGKILL) three times at moments drawn
evenly over what an undisturbed job takes, resumed each time, and at last left to finish. Compared
are all files of the run, byte for byte, but for the seconds in metrics.json and report.html.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from accuracy import machine
from PIL import Image

HERE = Path(__file__).parent
KILLS_A_TRIAL = 3


def make_images(folder: Path, n: int) -> None:
    """Blobs of three colours on noise, a fifth with wrong labels, in labels.csv."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    colours = np.array([[190, 80, 80], [80, 190, 80], [80, 80, 190]])
    lines = ["image,label,is_valid"]
    for i in range(n):
        kind = i % 3
        pixels = colours[kind] + rng.normal(0, 70, (48, 48, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"photos/{i:04d}.png")
        label = (kind + 1) % 3 if rng.random() < 0.2 and i % 4 else kind
        lines.append(f"photos/{i:04d}.png,{('red', 'green', 'blue')[label]},{i % 4 == 0}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def command(out: Path, resume: bool) -> list[str]:
    return [
        *(sys.executable, "-m", "softfold", "run", "labels.csv", "--out", str(out), "--quiet"),
        *("--trainer", "finetune", "--oof-trainer", "probe", "--size", "64", "--epochs", "2"),
        *("--folds", "3", "--seeds", "1", *(["--resume"] if resume else [])),
    ]


def start(data: Path, out: Path, cache: Path, resume: bool) -> subprocess.Popen:
    environment = {"OMP_NUM_THREADS": "2"} | os.environ | {"SOFTFOLD_CACHE": str(cache)}
    return subprocess.Popen(
        command(out, resume),
        cwd=data,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    said = process.communicate(timeout=1200)[1]
    if process.returncode:
        raise SystemExit(f"the job failed ({process.returncode}): {said}")
    return said


def content(run: Path) -> dict[str, bytes]:
    """Files of a run by name, without the seconds."""
    found = {}
    for file in sorted(run.rglob("*")):
        name = str(file.relative_to(run))
        if not file.is_file() or name == ".lock":
            continue
        found[name] = file.read_bytes()
    metrics = json.loads(found["metrics.json"])
    del metrics["seconds"]
    found["metrics.json"] = json.dumps(metrics).encode()
    report = found["report.html"].decode()
    report = re.sub(r'<section id="time".*?</section>', "", report, flags=re.DOTALL)
    report = re.sub(r"<dt>time</dt>.*?</dd>|items of \d{4}-\d\d-\d\d \d\d:\d\d", "", report)
    found["report.html"] = report.encode()
    listed = json.loads(found["manifest.json"])["files"]
    for name in ("metrics.json", "report.html"):
        del listed[name]
    found["manifest.json"] = json.dumps(listed).encode()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_images(work, args.images)
        warm, runs = work / "warm", work / "run"
        seconds = {}
        for kind in ("cold", "warm"):
            begun = time.perf_counter()
            finish(start(work, runs, warm, resume=False))
            seconds[kind] = time.perf_counter() - begun
            made = content(runs)
            if kind == "cold":
                whole = made
            assert made == whole, differing(made, whole)
            shutil.rmtree(runs)
        print(f"undisturbed: {seconds}", flush=True)
        rows = {kind: {"kills": 0, "trials": 0, "other": set(), "said": set()} for kind in seconds}
        while sum(row["kills"] for row in rows.values()) < args.kills:
            kind = "cold" if rows["cold"]["kills"] <= rows["warm"]["kills"] else "warm"
            row, cache = rows[kind], work / "cold" if kind == "cold" else warm
            shutil.rmtree(work / "cold", ignore_errors=True)
            process = start(work, runs, cache, resume=False)
            for _ in range(KILLS_A_TRIAL):
                try:
                    process.wait(timeout=rng.uniform(0, seconds[kind]))
                    break
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    row["kills"] += 1
                process = start(work, runs, cache, resume=True)
            said = finish(process)
            row["said"] |= set(said.splitlines())
            row["trials"] += 1
            row["other"] |= set(differing(content(runs), whole))
            shutil.rmtree(runs)
            print(kind, row, flush=True)
    lines = [
        "| cache | kills | jobs | seconds undisturbed | files that differ |",
        "|" + " --- |" * 5,
    ]
    for kind, row in rows.items():
        other = ", ".join(sorted(row["other"])) or "none"
        lines.append(
            f"| {kind} | {row['kills']} | {row['trials']} | {seconds[kind]:.0f} | {other} |"
        )
    about = machine()
    text = (
        "# Jobs that were killed\n\nMade by `python benchmarks/kills.py`: SIGKILL at random "
        f"moments of a job on {args.images} images, up to {KILLS_A_TRIAL} a job, seed {args.seed}. "
        f"Compared are {len(whole)} files with those of an undisturbed job. "
        f"{about['cores']} cores, {about['platform']}, Python {about['python']}, "
        f"{about['versions']}.\n\n" + "\n".join(lines) + "\n"
    )
    (args.out / "kills.md").write_text(text)
    print(text)


def differing(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    return [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]


if __name__ == "__main__":
    main()
