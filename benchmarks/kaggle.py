"""The first place's protocol, step by step: what fold models, views and the mean of both give.

    python benchmarks/kaggle.py --work DIR digits/pair-40 digits/30
    python benchmarks/kaggle.py --work DIR --data IMAGEWOOF --labels CSV --items 800 imagewoof/5

Each row is `softfold run --recipe kaggle` with three seeds, as users call it: five folds, soft
labels of 0.7 given and 0.3 predicted probabilities, fold models retrained on them, eight views of
every image. Digits are fine-tuned as in the demo (a small net from random weights, 16 px, no view
mirrored), Imagewoof by the probe at 128 px; a row that ends in `/auto` has softfold's own soft
labels in place of the blend. Every mean of models is compared with the one soft model on clean
hold-out items that took part in nothing. `--items` draws so many training images, and half as many
of the hold-out, with seed 0. DIR keeps the runs: a second call goes on with them. Tables go to
benchmarks/results/kaggle.md, figures to kaggle.json; without rows the tables are made again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import softfold
from softfold.data.datasets import load_dataset
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.machine.runtime import machine
from softfold.runs.folder import Run
from softfold.runs.members import title_of

RESULTS = Path(__file__).parent / "results"
SMALL_NET = {"trainer": "finetune", "arch": "small_cnn", "size": 16, "epochs": 6, "flip": False}


def main() -> None:
    args = parse()
    file = RESULTS / "kaggle.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    for row in args.rows:
        table, settings, about = prepared(row, args)
        run = measured(table, settings, args.work / about["name"].replace("/", "-"), args.seeds)
        about |= {"seeds": args.seeds, "settings": run.config["trainer_settings"]}
        known[about["name"]] = about | {"machine": machine(), "metrics": run.metrics}
        file.write_text(json.dumps(known, indent=1) + "\n")
    (RESULTS / "kaggle.md").write_text(as_markdown(known))
    print((RESULTS / "kaggle.md").read_text())


def prepared(row: str, args: argparse.Namespace) -> tuple[LabelTable, dict, dict]:
    """The label table of a row, the settings of its run, and what is said of it."""
    data, noise, *more = row.split("/")
    settings = {"strategy": "auto"} if "auto" in more else {}
    if data == "digits":
        table = load_dataset("digits", noise=noise, seed=0)
        return table, SMALL_NET | settings, {"name": row, "data": f"digits, noise {noise}"}
    table = read_table(
        args.labels,
        images=args.data,
        label=f"noisy_labels_{noise}",
        truth="noisy_labels_0",
        valid="is_valid",
    )
    name = f"{row}/{args.items}" if args.items else row
    if args.items:
        rng = np.random.default_rng(0)
        parts = (
            (np.flatnonzero(~table.valid), args.items),
            (table.valid.nonzero()[0], args.items // 2),
        )
        table = table.take(np.sort(np.concatenate([rng.permutation(r)[:n] for r, n in parts])))
    about = {"name": name, "data": f"Imagewoof, {noise}% noise"}
    return table, {"trainer": "probe", "size": 128} | settings, about


def measured(table: LabelTable, settings: dict, folder: Path, seeds: int) -> Run:
    """The finished run."""
    how = {"recipe": "kaggle", "seeds": seeds, "resume": Run(folder).has("config.json")}
    return softfold.run(table, folder, **how, **settings)


def as_markdown(known: dict) -> str:
    """One table a row that was measured."""
    text = [
        "# The first place's protocol, step by step",
        "",
        "Made by `python benchmarks/kaggle.py`. Percent right on clean hold-out items, mean over "
        "seeds, and the difference to the one soft model in points with its 95% interval. A row is "
        "in bold where the interval excludes 0.",
    ]
    for name, about in known.items():
        metrics = about["metrics"]
        ensemble, data = metrics["ensemble"], metrics["data"]
        net = about["settings"]
        text += [
            "",
            f"## {name}",
            "",
            f"{about['data']}: {data['n_train']:,} training items, of which "
            f"{100 * metrics['noise']['rate_truth']:.1f}% have a wrong label, "
            f"{data['n_valid']:,} in the hold-out; {net['arch']} at {net['size']} px, soft labels: "
            f"{metrics['soft']['strategy']}; {about['seeds']} seeds; "
            f"{about['machine']['processor']}, {about['machine']['cores']} cores.",
            "",
            "| models | accuracy | ROC AUC | less the one soft model |",
            "| --- | --- | --- | --- |",
        ]
        for model, part in ensemble["models"].items():
            d = part.get("difference")
            change, bold = "", ""
            if d is not None:
                change = f"{100 * d['mean']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f})"
                bold = "**" if d["low"] > 0 or d["high"] < 0 else ""
            title = f"{bold}{title_of(model, ensemble)}{bold}"
            area = np.mean(part["roc_auc"])
            right = 100 * np.mean(part["accuracy"])
            text.append(f"| {title} | {right:.2f} | {area:.4f} | {change} |")
    return "\n".join(text) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("rows", nargs="*", help="digits/NOISE, imagewoof/NOISE, with /auto behind")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--data", help="folder of Imagewoof (train, val)")
    parser.add_argument("--labels", help="its noisy labels, a CSV")
    parser.add_argument("--items", type=int, help="training images to draw; all where not given")
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
