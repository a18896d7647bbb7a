"""The main job on three Ray nodes beside one process: the same files, whatever is killed.

    python benchmarks/nodes.py [--images 8] [--limit 300]

Three nodes with one CPU each run on this machine. A folder of small pictures (scikit-learn's
digits, a fifth of the labels wrong) goes through `softfold run`: folds are fine-tuned, each a task,
and final models are probes. First by `--engine local`, then by `--engine ray`; then with a worker
killed in the middle of a fold, with a node taken away in the middle of a fold, and with the process
that started the job killed after its first fold and begun again with `--resume`. Every file that
does not tell the time is compared byte for byte. A job that takes more than --limit seconds is
killed, and the benchmark ends there.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def working(node: Any) -> list[int]:
    """Processes of a node that are in the middle of a fold."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            at_it = (folder / "cmdline").read_bytes().startswith(b"ray::repeat")
        except OSError:
            continue
        if at_it and parent == raylet:
            found.append(int(folder.name))
    return found


class Job:
    """`softfold run` in a process of its own, for `limit` seconds at most."""

    def __init__(self, arguments: list[str], limit: float) -> None:
        self.process, self.begun = subprocess.Popen(arguments), time.perf_counter()
        self.limit = limit

    def wait_for(self, what: Callable[[], Any]) -> Any:
        """What `what` gives, the first time that it gives something."""
        while not (found := what()):
            if self.process.poll() is not None:
                raise SystemExit("the job ended before anything was killed")
            if time.perf_counter() - self.begun > self.limit:
                self.process.kill()
                raise SystemExit(f"nothing to kill in {self.limit:.0f} s")
            time.sleep(0.05)
        return found

    def end(self) -> int:
        try:
            return self.process.wait(max(1, self.limit - (time.perf_counter() - self.begun)))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"a job took more than {self.limit:.0f} s") from None


def in_mid_fold(job: Job, nodes: list[Any]) -> tuple[int, Any]:
    """A process that has been at one fold for a second, and its node."""

    def found() -> tuple[int, Any] | None:
        before = {(pid, node) for node in nodes for pid in working(node)}
        time.sleep(1)
        still = [(pid, node) for pid, node in before if pid in working(node)]
        return still[0] if still else None

    return job.wait_for(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=8, help="a class")
    parser.add_argument("--limit", type=float, default=300, help="seconds of a job")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="softfold-nodes-") as work:
        rows = compared(Path(work), args.images, args.limit)
    write(rows, args.images, args.out)


def compared(work: Path, images: int, limit: float) -> list[tuple[str, float, str]]:
    """Each way to run the job: its name, its seconds, and which files are as by one process."""
    from ray.cluster_utils import Cluster

    folder = work / "pictures"
    pictures(folder, images)
    small = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    nodes = [cluster.add_node(**small) for _ in range(2)]
    rows: list[tuple[str, float, str]] = []
    expected: dict[str, bytes] = {}

    def killed_worker(job: Job, out: Path) -> None:
        os.kill(in_mid_fold(job, [cluster.head_node, *nodes])[0], signal.SIGKILL)

    def killed_node(job: Job, out: Path) -> None:
        node = in_mid_fold(job, nodes)[1]
        nodes.remove(node)
        cluster.remove_node(node, allow_graceful=False)

    def killed_driver(job: Job, out: Path) -> None:
        job.wait_for(lambda: list((out / "seeds").rglob("repeat-*.safetensors")))
        job.process.kill()
        job.end()
        assert not (out / "metrics.json").exists(), "it was killed before it was done"

    there = ["--engine", "ray", "--ray-address", cluster.address]
    try:
        for name, more, then in (
            ("one process", [], None),
            ("three nodes", there, None),
            ("three nodes, a worker killed in mid-fold", there, killed_worker),
            ("three nodes, one killed in mid-fold", there, killed_node),
            ("the two left, the driver killed after a fold, then --resume", there, killed_driver),
        ):
            print(f"{name} ...", flush=True)
            out, begun = work / f"run-{len(rows)}", time.perf_counter()
            job = Job(command(folder, out, *more), limit)
            if then is not None:
                then(job, out)
            if then is killed_driver:
                job = Job(command(folder, out, *more, "--resume"), limit)
            status, made = job.end(), work_of(out)
            expected = expected or made
            differ = sorted(n for n in expected.keys() | made if expected.get(n) != made.get(n))
            same = f"all {len(made)}" if status == 0 and not differ else f"NOT {', '.join(differ)}"
            rows.append((name, time.perf_counter() - begun, same))
            print(*rows[-1], flush=True)
    finally:
        cluster.shutdown()
    return rows


def write(rows: list[tuple[str, float, str]], images: int, out: Path) -> None:
    import ray

    about = machine()
    lines = ["| engine | seconds | files that are the same bytes |", "| --- | --- | --- |"]
    lines += [f"| {name} | {seconds:.0f} | {same} |" for name, seconds, same in rows]
    text = (
        f"# Three nodes\n\nMade by `python benchmarks/nodes.py`: `softfold run` on "
        f"{images * CLASSES} pictures in {CLASSES} folders, {FOLDS} fine-tuned folds "
        "(a task each), final models by probe. The nodes are processes of this "
        f"machine, {about['cores']} cores that others used too, {about['platform']}, Python "
        f"{about['python']}, Ray {ray.__version__}, {about['versions']}. Compared is every "
        "safetensors, Parquet and JSON file of the run but for those that hold seconds "
        f"({', '.join(sorted(TELL_THE_TIME))}).\n\n" + "\n".join(lines) + "\n"
    )
    (out / "nodes.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
