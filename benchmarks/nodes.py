"""The main job on three Ray nodes beside one process: the same files, whatever is killed.

    python benchmarks/nodes.py [--images 15]

Three nodes with one CPU each run on this machine. A folder of small pictures (scikit-learn's
digits, a fifth of the labels wrong) goes through `softfold run`: folds are fine-tuned, each a task,
and final models are probes. First by `--engine local`, then by `--engine ray`; then with a worker
killed in the middle of a fold, with a node taken away in the middle of a fold, and with the process
that started the job killed after its first fold and begun again with `--resume`. Every file that
does not tell the time is compared byte for byte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
from accuracy import machine

HERE = Path(__file__).parent
CLASSES, FOLDS = 3, 3
TELL_THE_TIME = {"metrics.json", "config.json", "manifest.json", "report.html"}
"""Seconds, versions and engine; checksums of these; the report of them."""


def pictures(folder: Path, n: int) -> None:
    """n pictures a class, one folder a class, a fifth of them in the next one's."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels, truth = load_digits(return_X_y=True)
    for k in range(CLASSES):
        for place, row in enumerate(np.flatnonzero(truth == k)[:n]):
            label = (k + (place % 5 == 0)) % CLASSES
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray((pixels[row].reshape(8, 8) * 15.9).astype(np.uint8))
            image.resize((32, 32)).convert("RGB").save(folder / str(label) / f"{k}-{place}.png")


def command(folder: Path, out: Path, *more: str) -> list[str]:
    how = ["--oof-trainer", "finetune", "--trainer", "probe", "--size", "32", "--epochs", "1"]
    how += ["--folds", str(FOLDS), "--seeds", "1", "--device", "cpu", "--quiet"]
    return [sys.executable, "-m", "softfold", "run", str(folder), *how, "--out", str(out), *more]


def work_of(run: Path) -> dict[str, bytes]:
    """Everything in a run that does not tell the time, by name."""
    files = [f for f in sorted(run.rglob("*")) if f.is_file() and f.name not in TELL_THE_TIME]
    files = [f for f in files if f.suffix in (".safetensors", ".parquet", ".json")]
    return {str(f.relative_to(run)): f.read_bytes() for f in files}


def working() -> list[int]:
    """Processes of Ray's that are in the middle of a fold."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::repeat"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_for(what: Callable[[], object], job: subprocess.Popen) -> None:
    while not what() and job.poll() is None:
        time.sleep(0.05)
    assert job.poll() is None, "the job ended before anything was killed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=15, help="a class")
    parser.add_argument("--work", type=Path, default=Path("/tmp/softfold-nodes"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    import ray
    from ray.cluster_utils import Cluster

    shutil.rmtree(args.work, ignore_errors=True)
    folder = args.work / "pictures"
    pictures(folder, args.images)
    small = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    nodes = [cluster.add_node(**small) for _ in range(2)]
    there = ["--engine", "ray", "--ray-address", cluster.address]
    rows: list[tuple[str, float, str]] = []
    expected: dict[str, bytes] = {}

    def done(name: str, begun: float, job: subprocess.Popen, out: Path) -> None:
        status = job.wait()
        made = work_of(out)
        if not expected:
            expected.update(made)
        differ = sorted(n for n in expected.keys() | made if expected.get(n) != made.get(n))
        same = f"all {len(made)}" if status == 0 and not differ else f"NOT {', '.join(differ)}"
        rows.append((name, time.perf_counter() - begun, same))
        print(rows[-1], flush=True)

    def killed_worker(job: subprocess.Popen, out: Path) -> None:
        wait_for(working, job)
        time.sleep(1)
        os.kill(working()[0], signal.SIGKILL)

    def killed_node(job: subprocess.Popen, out: Path) -> None:
        wait_for(lambda: len(working()) >= 2, job)
        time.sleep(1)
        cluster.remove_node(nodes.pop(), allow_graceful=False)

    def killed_driver(job: subprocess.Popen, out: Path) -> None:
        wait_for(lambda: list((out / "seeds").rglob("repeat-*.safetensors")), job)
        job.kill()

    for name, more, then in (
        ("one process", [], None),
        ("three nodes", there, None),
        ("a worker killed in mid-fold", there, killed_worker),
        ("a node killed in mid-fold", there, killed_node),
        ("the driver killed, then --resume", there, killed_driver),
    ):
        out, begun = args.work / f"run-{len(rows)}", time.perf_counter()
        job = subprocess.Popen(command(folder, out, *more))
        if then is not None:
            then(job, out)
        if then is killed_driver:
            job.wait()
            assert not (out / "metrics.json").exists()
            job = subprocess.Popen(command(folder, out, *more, "--resume"))
        done(name, begun, job, out)
    cluster.shutdown()
    about = machine()
    lines = ["| engine | seconds | files that are the same bytes |", "| --- | --- | --- |"]
    lines += [f"| {name} | {seconds:.0f} | {same} |" for name, seconds, same in rows]
    text = (
        f"# Three nodes\n\nMade by `python benchmarks/nodes.py`: `softfold run` on "
        f"{args.images * CLASSES} pictures in {CLASSES} folders, {FOLDS} fine-tuned folds "
        "(a task each), final models by probe. The nodes are processes of this "
        f"machine, {about['cores']} cores that others used too, {about['platform']}, Python "
        f"{about['python']}, Ray {ray.__version__}, {about['versions']}. Compared is every "
        "safetensors, Parquet and JSON file of the run but for those that hold seconds "
        f"({', '.join(sorted(TELL_THE_TIME))}).\n\n" + "\n".join(lines) + "\n"
    )
    (args.out / "nodes.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
