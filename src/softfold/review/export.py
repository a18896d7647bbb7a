"""The corrected label table, in the forms that other tools read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import find
from softfold.data.delimited import csv_text
from softfold.decisions.applying import LEFT_OUT, has_decisions, read_decisions
from softfold.errors import InputError
from softfold.files import write_parquet, write_text
from softfold.runs.folder import Run
from softfold.runs.looks import Looks, warn_of_lost_pictures
from softfold.runs.several import SeveralRun

ONE_LABEL = ("cleanlab", "fiftyone", "labelstudio")
FORMATS = ("csv", "parquet", "decisions", *ONE_LABEL)
DELIMITERS = (" ", ";", "|", ",")
"""What may stand between several labels in a CSV file of a run that was given lists."""


def export_labels(
    run_dir: str | Path,
    out: str | Path,
    format: str | None = None,
    *,
    images: str | Path | None = None,
) -> Path:
    """Write the labels of a run as people corrected them.

    Args:
        run_dir: the run folder, with decisions or without.
        out: the file to write; for cleanlab and fiftyone a folder.
        format: csv, parquet, decisions, cleanlab, fiftyone or labelstudio; by default by the
            ending of `out` (.csv or .parquet).
        images: the folder in which image files are now, where it was moved.

    Returns:
        The file or folder written.

    Raises:
        InputError: no run folder, an unknown format, or one that is for one label an item.
    """
    run, out = Run.open(run_dir, images, several=True), Path(out)
    if format is None:
        format = out.suffix.lower().lstrip(".")
    if run.multi_label and format in ONE_LABEL:
        raise InputError(
            f"--format {format} is for one label an item; there are csv, parquet and "
            "decisions for several"
        )
    writers = {
        "csv": lambda: write_text(out, corrected_csv(run)),
        "parquet": lambda: write_parquet(out, corrected(run)),
        "decisions": lambda: _decisions(run, out),
        "cleanlab": lambda: _cleanlab(run, out),
        "fiftyone": lambda: _fiftyone(run, out),
        "labelstudio": lambda: _label_studio(run, out),
    }
    if format not in writers:
        raise InputError(f"no format {format!r}: choose one of {', '.join(FORMATS)} (--format)")
    if format in ("fiftyone", "labelstudio"):  # which name the files
        warn_of_lost_pictures(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    writers[format]()
    return out


def corrected(run: Run) -> pd.DataFrame:
    """The run's label table with what people decided, one row an item that stays in.

    Items that are excluded or of none of the classes are not in it; `--format decisions` has them.
    Images: path (the item's key, relative as it was), label (confirmed, else as given), is_valid,
    given, state (open, confirmed, unsure or conflict), suggested, suspicion, reviewers; where
    classes have names for people, also label_name, given_name and suggested_name. Texts and
    tables: item (the key), their own columns, label and is_valid only, since every further column
    would be a feature. `softfold run` reads both. Where items have several labels, label is what
    it was in the file that the run was made of: words with `--label-delim` between them, or lists.
    """
    every = _with_states(run)
    keep = ~every["state"].isin(LEFT_OUT).to_numpy()
    data = Looks.of(run).data
    if isinstance(data, pd.DataFrame):
        own = data.reset_index(drop=True).drop(columns="item", errors="ignore")
        every = own.assign(label=every["label"], is_valid=every["is_valid"], item=every["path"])
        every = every[["item", *own.columns, "label", "is_valid"]]
    elif run.names and not run.multi_label:
        for column in ("label", "given", "suggested"):
            if column in every:
                every[f"{column}_name"] = every[column].map(run.names).fillna(every[column])
    if run.multi_label and run.settings.label_delim is not None:
        every = _joined(every, run.settings.label_delim)
    return every[keep].reset_index(drop=True)


def corrected_csv(run: Run) -> str:
    """`corrected` as a CSV file's text; several labels have a delimiter between them.

    Raises:
        InputError: items have several labels, and classes contain every usual delimiter.
    """
    frame = corrected(run)
    if run.multi_label and run.settings.label_delim is None:
        free = [d for d in DELIMITERS if not any(d in name for name in run.vocab)]
        if not free:
            raise InputError(
                "the names of the classes contain every usual delimiter: "
                "export a .parquet file, which holds lists"
            )
        frame = _joined(frame, free[0])
    return csv_text(frame)


def _joined(frame: pd.DataFrame, delimiter: str) -> pd.DataFrame:
    """The frame with a text for each list of labels."""
    lists = [name for name in ("label", "given", "suggested") if name in frame]
    texts = {
        name: [None if cell is None else delimiter.join(cell) for cell in frame[name]]
        for name in lists
    }
    return frame.assign(**texts)


def _with_states(run: Run) -> pd.DataFrame:
    items = run.items
    n = len(items)
    frame = pd.DataFrame({"path": items["item"], "label": items["given"]})
    split = items["split"] if "split" in items else pd.Series(["train"] * n)
    frame["is_valid"] = (split != "train").to_numpy()
    frame["given"] = items["given"]
    frame["state"] = "open"
    for column in ("suggested", "suspicion"):
        if column in items:
            frame[column] = items[column]
    frame["reviewers"] = ""
    if has_decisions(run.path):
        decided = read_decisions(run.path)
        if isinstance(run, SeveralRun) and len(decided):
            return _with_answers(frame, run, decided)
        rows = find(frame["path"], decided["item"])
        decided, rows = decided[rows >= 0], rows[rows >= 0]
        confirmed = (decided["state"] == "confirmed").to_numpy()
        for column, part, values in (
            ("state", rows, decided["state"]),
            ("reviewers", rows, _reviewers(decided)),
            ("label", rows[confirmed], decided["label"][confirmed]),
        ):
            whole = frame[column].to_numpy(dtype=object).copy()
            whole[part] = values.to_numpy(dtype=object)
            frame[column] = whole
    return frame


def _reviewers(decided: pd.DataFrame) -> pd.Series:
    """Who decided, empty where a file of decisions did not say."""
    said = decided.get("reviewers", pd.Series("", decided.index, dtype=object))
    return said.where(said.notna(), "")


def _with_answers(frame: pd.DataFrame, run: SeveralRun, decided: pd.DataFrame) -> pd.DataFrame:
    """The frame with what was answered of items and classes: label, state and reviewers.

    An item is in conflict, unsure or confirmed where it is in one of its classes, in this order.
    """
    table = run.table()
    rows, classes = find(table.item, decided["item"]), find(table.vocab, decided["class"])
    here = (rows >= 0) & (classes >= 0)
    decided, rows, classes = decided[here], rows[here], classes[here]
    given = table.given.copy()
    confirmed = (decided["state"] == "confirmed").to_numpy()
    given[rows[confirmed], classes[confirmed]] = decided["label"][confirmed] == "yes"
    states = frame["state"].to_numpy(dtype=object).copy()
    for state in ("confirmed", "unsure", "conflict"):
        states[rows[(decided["state"] == state).to_numpy()]] = state
    who: dict[int, set[str]] = {}
    for row, names in zip(rows, decided["reviewers"]):
        who.setdefault(int(row), set()).update(names.split(", "))
    reviewers = [", ".join(sorted(who.get(row, ()))) for row in range(len(frame))]
    label = replace(table, given=given).written("given")
    return frame.assign(label=label, state=states, reviewers=reviewers)


def _write_csv(frame: pd.DataFrame, out: Path) -> None:
    write_text(out, csv_text(frame))


def _decisions(run: Run, out: Path) -> None:
    """What was decided, one row a decided item, in the columns of `read_decisions`; `--decisions`
    takes it.
    """
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"--out {out}: decisions go to a .csv or .parquet file")
    frame = read_decisions(run.path, with_content=True)
    if out.suffix.lower() == ".parquet":
        write_parquet(out, frame)
    else:
        _write_csv(frame, out)


def _cleanlab(run: Run, out: Path) -> None:
    """What `cleanlab.filter.find_label_issues(labels, pred_probs)` takes, and a frame in the
    columns that `CleanLearning.get_label_issues()` gives.
    """
    out.mkdir(parents=True, exist_ok=True)
    frame = _with_states(run).iloc[run.train_rows].reset_index(drop=True)
    keep = ~frame["state"].isin(LEFT_OUT).to_numpy()
    np.save(out / "labels.npy", find(run.vocab, frame["label"])[keep])
    probabilities = run.get("probabilities")
    if probabilities is not None:
        np.save(out / "pred_probs.npy", np.asarray(probabilities)[keep])
    issues = pd.DataFrame(
        {
            "item": frame["path"],
            "is_label_issue": run.suspicion > 0.5,
            "label_quality": 1 - run.suspicion,
            "given_label": find(run.vocab, frame["given"]),
            "predicted_label": run.codes("predicted"),
        }
    )
    _write_csv(issues[keep], out / "label_issues.csv")
    write_text(out / "class_names.json", json.dumps(list(run.vocab), ensure_ascii=False))
    if run.names:
        write_text(out / "names.json", json.dumps(run.names, ensure_ascii=False))


def _fiftyone(run: Run, out: Path) -> None:
    """A dataset of type `fiftyone.types.FiftyOneImageClassificationDataset`: labels.json, with
    data.json naming the image files (`data_path="data.json"`).
    """
    if "file" not in run.items:
        raise InputError("fiftyone reads image files; the items of this run are none")
    out.mkdir(parents=True, exist_ok=True)
    frame = _with_states(run)
    codes = find(run.vocab, frame["label"])
    labels, paths = {}, {}
    for row in np.flatnonzero(~frame["state"].isin(LEFT_OUT).to_numpy()):
        key = f"{row:08d}"
        about: dict[str, Any] = {"split": "valid" if frame["is_valid"].iloc[row] else "train"}
        for column in ("path", "given", "state", "suggested"):
            value = frame[column].iloc[row]
            if isinstance(value, str):
                about[column] = value
            if run.names and column in ("given", "suggested") and isinstance(value, str):
                about[f"{column}_name"] = run.title(value)
        if pd.notna(frame["suspicion"].iloc[row]):
            about["suspicion"] = float(frame["suspicion"].iloc[row])
        labels[key] = {"label": int(codes[row]), "attributes": about}
        paths[key] = str(run.items["file"].iloc[row])
    classes = {"classes": list(run.vocab), "labels": labels}
    write_text(out / "labels.json", json.dumps(classes, ensure_ascii=False))
    write_text(out / "data.json", json.dumps(paths, ensure_ascii=False))


def _label_studio(run: Run, out: Path) -> None:
    """Tasks to import: the model's suggestion as a prediction, decisions as annotations.

    A labelling set-up that shows them: Choices with name "label" on an Image or Text with name
    "item" whose value is "$item".
    """
    frame = _with_states(run).iloc[run.train_rows].reset_index(drop=True)
    files = run.train["file"] if "file" in run.train else frame["path"]
    tasks: list[dict[str, Any]] = []
    kind = "image" if "file" in run.train else "text"
    for row in run.ranking:
        record = frame.iloc[row]
        shown = str(files.iloc[row])
        data = {kind: f"/data/local-files/?d={shown.lstrip('/')}" if kind == "image" else shown}
        data |= {"item": record["path"], "given": record["given"]}
        if run.names:
            data["given_name"] = run.title(record["given"])
        task: dict[str, Any] = {"data": data, "meta": {"suspicion": float(run.suspicion[row])}}
        if isinstance(record.get("suggested"), str):
            score = float(run.suspicion[row])
            result = [_choice(record["suggested"], kind)]
            task["predictions"] = [{"model_version": "softfold", "score": score, "result": result}]
        if record["state"] == "confirmed":
            task["annotations"] = [{"result": [_choice(record["label"], kind)]}]
        elif record["state"] in LEFT_OUT:
            task["annotations"] = [{"was_cancelled": True, "result": []}]
            task["meta"]["none_of_these"] = record["state"] == "none_of_these"
        tasks.append(task)
    write_text(out, json.dumps(tasks, ensure_ascii=False))


def _choice(label: str, kind: str) -> dict[str, Any]:
    choice = {"choices": [label]}
    return {"from_name": "label", "to_name": kind, "type": "choices", "value": choice}
