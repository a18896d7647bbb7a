"""What the Ray engine costs and gains on one machine, beside the local engine.

    python benchmarks/engines.py [--rounds 3]

Two Ray nodes with one CPU each run on this machine, and every task has one thread. Measured: what
an empty task costs, the bytes that go to the object store and come back, the seconds of a
cross-fit by the local engine, by one node and by two in turn (the best of some rounds, since others
may use the machine), and whether predictions are the same to the last bit, a node lost on the way
included.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import threading
import time
from pathlib import Path

import numpy as np
import ray
from accuracy import machine
from ray import cloudpickle
from ray.cluster_utils import Cluster

from softfold.crossfit.engines import Needs, Task, get_engine
from softfold.crossfit.plain import cross_fit
from softfold.data.table import LabelTable
from softfold.trainers.estimator import Estimator

LOST = "a node lost on the way"
HERE = Path(__file__).parent
NODE = {"num_cpus": 1, "object_store_memory": 200 << 20}
N, D, K, FOLDS = 4000, 64, 10, 8


def table() -> LabelTable:
    """Features of K classes that overlap."""
    rng = np.random.default_rng(0)
    given = rng.integers(0, K, N)
    data = (rng.normal(0, 1, (K, D))[given] + rng.normal(0, 3, (N, D))).astype(np.float32)
    keys = np.array([str(i) for i in range(N)], dtype=object)
    return LabelTable(keys, given, tuple(map(str, range(K))), np.zeros(N, bool), data=data)


def nothing(shared: tuple, number: int) -> int:
    return number


def processor_seconds() -> float:
    """Of this process and of Ray's workers on this machine, so far."""
    total = time.process_time()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
            ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:
            continue
        if name.startswith((b"ray::IDLE", b"ray::repeat")):
            total += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return total


class Counted:
    """An engine that counts the bytes that another would move."""

    name = "counted"

    def __init__(self) -> None:
        self.once = self.each = self.back = 0

    def run(self, tasks, shared, done, needs) -> None:
        self.once = sum(len(cloudpickle.dumps(part)) for part in shared)
        for task in tasks:
            made = [np.asarray(part) for part in task.work(shared, **task.own)]
            self.each += len(cloudpickle.dumps((task.own, needs)))
            self.back += len(cloudpickle.dumps(made))
            done(task, iter(made))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    items = table()
    forest = Estimator(arch="sklearn.ensemble.RandomForestClassifier", params={"n_estimators": 60})
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE)
    engine = get_engine("ray", ray_address=cluster.address)

    cores: dict[str, float] = {}

    def seconds_of(how, name: str = "") -> tuple[float, np.ndarray]:
        begun, used = time.perf_counter(), processor_seconds()
        made = cross_fit(items, forest, n_folds=FOLDS, engine=how).probabilities
        spent = time.perf_counter() - begun
        cores[name] = max(cores.get(name, 0.0), (processor_seconds() - used) / spent)
        return spent, made

    def empty(n: int) -> float:
        begun = time.perf_counter()
        tasks = [Task(f"empty {i}", nothing, {"number": i}) for i in range(n)]
        engine.run(tasks, (), lambda *_: None, Needs())
        return time.perf_counter() - begun

    counted = Counted()
    _, whole = seconds_of(counted)
    first, overhead = empty(2), min(empty(100) for _ in range(args.rounds)) / 100
    _, made = seconds_of(engine)  # workers have imported what they need
    same = {"two nodes": np.array_equal(made, whole)}
    best = {"local": np.inf, "two nodes": np.inf}
    for _ in range(args.rounds):
        for name, how in (("local", "local"), ("two nodes", engine)):
            spent, made = seconds_of(how, name)
            best[name] = min(best[name], spent)
            same[name] = same.get(name, True) and np.array_equal(made, whole)
        print(best, flush=True)
    killer = threading.Timer(best["two nodes"] / 3, cluster.remove_node, [second])
    killer.start()
    lost, made = seconds_of(engine, LOST)
    killer.join()
    same[LOST] = np.array_equal(made, whole)
    best["one node"] = np.inf
    for _ in range(args.rounds):
        spent, made = seconds_of(engine, "one node")
        best["one node"] = min(best["one node"], spent)
        same["one node"] = same.get("one node", True) and np.array_equal(made, whole)
    ray.shutdown()
    cluster.shutdown()
    best[LOST] = lost
    lines = ["| engine | seconds | cores it got | same bytes as local |", "|" + " --- |" * 4]
    got = {name: f"{cores[name]:.2f}" for name in best} | {LOST: "-"}
    lines += [
        f"| {name} | {best[name]:.1f} | {got[name]} | {'yes' if same[name] else 'NO'} |"
        for name in ("local", "one node", "two nodes", LOST)
    ]
    about = machine()
    text = (
        "# Engines\n\nMade by `python benchmarks/engines.py`: a cross-fit of a random forest, "
        f"{N:,} items, {D} features, {K} classes, {FOLDS} folds, each a task with one thread; the "
        f"best of {args.rounds} rounds, and one round with a lost node. Both Ray nodes are this "
        f"machine, {about['cores']} cores, {about['platform']}, Python {about['python']}, Ray "
        f"{ray.__version__}, {about['versions']}; load average at the end "
        f"{os.getloadavg()[0]:.1f}. Where others use the machine, `cores it got` says what was "
        "left for the job; a lost node's processor seconds are not counted.\n\n"
        + "\n".join(lines)
        + "\n\n"
        "| what | measured |\n| --- | --- |\n"
        f"| an empty task, workers warm | {1000 * overhead:.1f} ms |\n"
        f"| the first two empty tasks, which start workers | {first:.1f} s |\n"
        f"| to the object store, once a job: items, trainer, targets | {counted.once:,} bytes |\n"
        f"| with each task: rows and seed | {counted.each // FOLDS:,} bytes |\n"
        f"| back from each task: predictions | {counted.back // FOLDS:,} bytes |\n"
    )
    (args.out / "engines.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
