"""What cross-fitting ImageNet takes on 1, 8 and 64 GPUs: discrete events, checked against runs.

    python benchmarks/cluster_simulation.py [--train-rate 2000] [--predict-rate 5000] ...

A cluster is nodes with slots. What tasks share goes to a node once, before its first task; a task
takes its overhead, then its seconds, which vary; a node may be lost, and its tasks begin again
elsewhere; results come back to one process, which writes them one after the other. Overhead and
bytes are read from results/engines.md, the seconds of a probe's pass from results/growth.json.
No GPU was there to measure: rates of GPUs, network and disk are assumptions, named in the table,
and options of the command.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
IMAGES, CLASSES, FOLDS, REPEATS, WIDTH = 1_281_167, 1000, 5, 3, 1280


@dataclass(frozen=True)
class Job:
    """Tasks that need one another not. seconds: of each on one slot; bytes: shared by all, with
    each task, and back from each.
    """

    seconds: list[float]
    shared: float
    each: float
    back: float


@dataclass(frozen=True)
class Cluster:
    """nodes with slots each; bytes a second of network and disk; seconds of a task's overhead."""

    nodes: int
    slots: int
    network: float
    disk: float
    overhead: float
    spread: float = 0.0
    lost_an_hour: float = 0.0


@dataclass(frozen=True)
class Outcome:
    seconds: float
    busy: float
    begun_again: int
    writing: float


def simulate(job: Job, cluster: Cluster, seed: int = 0, lost: dict[int, float] | None = None):
    """What the job takes. lost: seconds after which a node is taken away, by its number."""
    rng = np.random.default_rng(seed)
    ends = dict(lost or {})
    if cluster.lost_an_hour:
        for node in range(1, cluster.nodes):  # the first one is that of the driver
            ends[node] = float(rng.exponential(3600 / cluster.lost_an_hour))
    queue = list(range(len(job.seconds)))[::-1]
    free = [(0.0, node, slot) for node in range(cluster.nodes) for slot in range(cluster.slots)]
    heapq.heapify(free)
    running: list[tuple[float, int, int, int, bool]] = []
    has_shared: dict[int, float] = {}
    submitted = written = busy = now = 0.0
    again = done = 0
    while done < len(job.seconds):
        while queue and free:
            at, node, slot = heapq.heappop(free)
            if at >= ends.get(node, np.inf):
                continue
            task = queue.pop()
            submitted = max(submitted, at, now) + cluster.overhead
            if node not in has_shared:
                has_shared[node] = submitted + job.shared / cluster.network
            begun = max(submitted + job.each / cluster.network, has_shared[node])
            spent = job.seconds[task] * float(np.exp(cluster.spread * rng.standard_normal()))
            is_lost = begun + spent > ends.get(node, np.inf)
            end = min(begun + spent, ends.get(node, np.inf))
            busy += end - begun
            heapq.heappush(running, (end, task, node, slot, is_lost))
        if not running:
            raise RuntimeError("no node is left")
        now, task, node, slot, is_lost = heapq.heappop(running)
        if is_lost:
            queue.append(task)
            again += 1
            continue
        arrived = now + job.back / cluster.network
        written = max(written, arrived) + job.back / cluster.disk
        done += 1
        heapq.heappush(free, (now, node, slot))
    total = max(written, now)
    writing = len(job.seconds) * job.back / cluster.disk
    return Outcome(total, busy / (total * cluster.nodes * cluster.slots), again, writing)


# -- the runs that were measured ------------------------------------------------------------------


def engines(results: Path) -> dict[str, list[float]]:
    """Rows of engines.md: seconds and cores by engine; overhead and bytes by their first words."""
    out: dict[str, list[float]] = {}
    for line in (results / "engines.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        numbers = [re.sub(r"[, ]|ms|bytes|s$", "", cell) for cell in cells[1:]]
        found = [float(n) for n in numbers if re.fullmatch(r"\d+(\.\d+)?", n)]
        if found:
            out[cells[0]] = found
    return out


def pass_of(results: Path) -> tuple[int, float]:
    """Columns of features, and seconds that one core needs for a pass over them, as measured."""
    file = results / "growth.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else {}
    one = rows.get(f"{IMAGES}/{CLASSES}", {}).get("cross-fit")
    return (0, 0.0) if one is None else (one["said"]["columns"], one["said"]["seconds a pass"])


def named(measured: dict[str, list[float]], begins: str) -> float:
    return next(values[0] for name, values in measured.items() if name.startswith(begins))


def checked(measured: dict[str, list[float]], network: float, disk: float) -> list[str]:
    """Rows: what the simulation says of the runs in engines.md, with the cores that each got."""
    tasks = 8
    core_seconds = measured["local"][0] * measured["local"][1] / tasks
    parts = {name: named(measured, name) for name in ("to the object", "with each", "back from")}
    overhead = named(measured, "an empty task") / 1000
    rows = []
    for name, nodes in (("one node", 1), ("two nodes", 2)):
        seconds = [core_seconds / (measured[name][1] / nodes)] * tasks
        job = Job(seconds, *parts.values())
        said = simulate(job, Cluster(nodes, 1, network, disk, overhead)).seconds
        real = measured[name][0]
        rows.append(f"| {name} | {real:.1f} | {said:.1f} | {said / real - 1:+.0%} |")
    return rows


# -- ImageNet -------------------------------------------------------------------------------------


def hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train-rate", type=float, default=2000, help="images a second and GPU")
    parser.add_argument("--predict-rate", type=float, default=5000, help="images a second and GPU")
    parser.add_argument("--loader-rate", type=float, default=588, help="images a second and core")
    parser.add_argument("--cores", type=int, default=8, help="of a GPU's share of its machine")
    parser.add_argument("--epochs", type=int, default=6, help="--epochs 5: one more in all")
    parser.add_argument("--passes", type=int, default=45, help="of a probe's cross-fit")
    parser.add_argument("--flops", type=float, default=40e9, help="of a core in a matrix product")
    parser.add_argument("--network", type=float, default=1.2e9, help="bytes a second (10 Gbit)")
    parser.add_argument("--disk", type=float, default=1.0e9, help="bytes a second, written")
    parser.add_argument("--spread", type=float, default=0.1, help="of tasks' seconds (log scale)")
    parser.add_argument("--lost", type=float, default=0.01, help="nodes lost a node and hour")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    measured = engines(args.results)
    overhead, start = named(measured, "an empty") / 1000, named(measured, "the first two")
    train = min(args.train_rate, args.loader_rate * args.cores)
    predict = min(args.predict_rate, args.loader_rate * args.cores)
    fold = args.epochs * IMAGES * (1 - 1 / FOLDS) / train + IMAGES / FOLDS / predict
    shard = 1024
    shards = Job([shard / predict] * -(-IMAGES // shard), 2e7, 200.0 * shard, 8.0 * shard * WIDTH)
    columns, seconds = pass_of(args.results)
    one_pass = seconds + 4 * IMAGES * (WIDTH - columns) * FOLDS * CLASSES / args.flops
    few = 100_000 / IMAGES * 4  # strengths are searched on so many items, as often
    matrix = 4.0 * IMAGES * CLASSES
    lines = [
        "| | GPUs | features | one cross-fit | GPUs busy | with rounds through the noise | "
        "begun again |",
        "|" + " --- |" * 7,
    ]
    for gpus in (1, 8, 64):
        nodes, slots = max(1, gpus // 8), min(gpus, 8)
        common = (args.network, args.disk, overhead, args.spread, args.lost)
        cores = args.cores * slots
        probe = Job(
            [args.passes * (1 + few) * one_pass / cores] * REPEATS,
            4.0 * IMAGES * WIDTH,
            8.0 * IMAGES,
            matrix,
        )
        features = start + simulate(shards, Cluster(nodes, slots, *common)).seconds
        runs = [simulate(probe, Cluster(nodes, 1, *common), s) for s in range(20)]
        spent = start + float(np.mean([r.seconds for r in runs]))
        again = np.mean([r.begun_again for r in runs])
        lines.append(
            f"| probe | {gpus} | {hours(features)} | {hours(spent)} | - | "
            f"{hours(features + 3 * spent)} | {again:.2f} |"
        )
        job = Job([fold] * FOLDS * REPEATS, matrix, 8.0 * IMAGES, matrix / FOLDS)
        runs = [simulate(job, Cluster(nodes, slots, *common), s) for s in range(20)]
        spent = start + float(np.mean([r.seconds for r in runs]))
        again, busy = np.mean([r.begun_again for r in runs]), np.mean([r.busy for r in runs])
        lines.append(
            f"| fine-tuning | {gpus} | - | {hours(spent)} | {busy:.0%} | {hours(3 * spent)} | "
            f"{again:.2f} |"
        )
    one = simulate(job, Cluster(8, 8, args.network, args.disk, overhead, 0, 0)).seconds
    slow = float(
        np.mean(
            [
                simulate(job, Cluster(8, 8, args.network, args.disk, overhead, 0.3), s).seconds
                for s in range(20)
            ]
        )
    )
    told = f", {seconds:,.0f} s of a core for a pass over {columns} columns" if columns else ""
    text = (
        "# A cluster, simulated\n\nMade by `python benchmarks/cluster_simulation.py`.\n\n"
        "## Beside what was measured\n\nThe runs of [engines.md](engines.md), from the seconds of "
        "one process, the cores that each run got, and the overhead and bytes of a task. The "
        "cores are nearly the answer: this checks sums of overhead and bytes, not how a cluster "
        "grows.\n\n"
        "| run | measured, s | simulated, s | off by |\n| --- | --- | --- | --- |\n"
        + "\n".join(checked(measured, args.network, args.disk))
        + f"\n\n## ImageNet\n\n{IMAGES:,} images, {CLASSES:,} classes, {FOLDS} folds, {REPEATS} "
        "repeats; mean of 20 draws. **Assumed, since nobody here measured it:** a GPU trains on "
        f"{args.train_rate:,.0f} images a second and predicts {args.predict_rate:,.0f}, a core "
        f"brings {args.loader_rate:,.0f} images a second to it (half of what two cores did in "
        f"[speed.md](speed.md), at 128 pixels) and multiplies at {args.flops / 1e9:.0f} "
        f"GFLOPS, {args.cores} cores a GPU, 8 GPUs a machine, a network of "
        f"{args.network / 1e9:.1f} GB/s, a disk of {args.disk / 1e9:.1f} GB/s, {args.epochs} "
        f"epochs a fold, {args.passes} passes a probe, tasks that vary by {args.spread:.0%}, "
        f"{args.lost} machines lost a machine and hour. **Measured:** {1000 * overhead:.1f} ms a "
        "task, "
        f"{start:.1f} s until workers are there{told}.\n\n" + "\n".join(lines) + "\n\n"
        "Rounds through the noise are two more cross-fits. Features are made once, on GPUs, 1,024 "
        "images a task; a probe's solver runs on "
        "processors, one task a repeat, which has all cores of a machine.\n\n"
        "| limit | at this size |\n| --- | --- |\n"
        f"| object store of a node, probe | {4 * IMAGES * WIDTH / 1e9:.1f} GB of features |\n"
        f"| object store of a node, fine-tuning | {matrix / 1e9:.1f} GB of one-hot targets |\n"
        f"| back from a fine-tuned fold | {matrix / FOLDS / 1e9:.1f} GB |\n"
        f"| written by the process that starts the job, one cross-fit | "
        f"{REPEATS * matrix / 1e9:.1f} GB, {hours(REPEATS * matrix / args.disk)} |\n"
        f"| tasks of a fine-tuned cross-fit | {FOLDS * REPEATS}: GPUs above that are idle |\n"
        f"| 64 GPUs, tasks that vary by 30% instead of not at all | {hours(slow)} instead of "
        f"{hours(one)} |\n"
    )
    (args.out / "cluster_simulation.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
