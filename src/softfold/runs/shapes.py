"""What the JSON files of a run look like: one of another shape is refused where it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softfold.files import Damaged

_MODEL = {"accuracy": [0.0], "roc_auc": [0.0], "strategy": ""}
SHAPES: dict[str, Any] = {
    "config.json": {
        "settings": {},
        "name": "",
        "kind": "",
        "trainer": "",
        "trainer_settings": {},
        "oof_trainer": "",
        "oof_trainer_settings": {},
        "seeds": [0],
        "notes": [""],
        "versions": {},
    },
    "vocab.json": [""],
    "names.json": {},
    "noise.json": {},
    "profile.json": {
        "steps": [
            {
                "step": "",
                "seconds": 0.0,
                "processor_seconds": 0.0,
                "import_seconds": 0.0,
                "functions": [{"function": "", "calls": 0, "own_seconds": 0.0, "seconds": 0.0}],
            }
        ]
    },
    "metrics.json": {
        "data": {"n_train": 0, "n_valid": 0, "n_classes": 0},
        "oof": {"accuracy_given": 0.0, "accuracy_truth": 0.0},
        "noise": {
            "rate_estimate": 0.0,
            "rate_low": 0.0,
            "rate_high": 0.0,
            "rate_truth": 0.0,
            "audited": 0,
            "information": 0.0,
        },
        "baseline": _MODEL,
        "soft": _MODEL,
        "difference": {"mean": 0.0, "low": 0.0, "high": 0.0, "p_value": 0.0, "over": ""},
        "accuracy_against": "",
        "seconds": {"total": 0.0},
        "post": {},
        "ensemble": {"tta": 0, "models": {}},
    },
}
"""An example of each file. What it lacks may be anything; what a file lacks is missing there."""

NEEDED = {"config.json": ("settings", "kind", "trainer", "trainer_settings")}
"""What may not lack."""


def check_shape(path: Path, value: Any) -> None:
    """Compare a value that was read with the example of its file.

    Raises:
        Damaged: a part is of another type; the first one is named.
    """
    odd = _odd(value, SHAPES.get(path.name), "")
    if odd is None:
        odd = next((f"it has no {k!r}" for k in NEEDED.get(path.name, ()) if k not in value), None)
    if odd is not None:
        raise Damaged(f"{path}: damaged: {odd}")


def _odd(value: Any, like: Any, where: str) -> str | None:
    """What is of another type than in the example, in words."""
    if like is None:
        return None
    kinds: Any = (int, float) if isinstance(like, (int, float)) else type(like)
    if not isinstance(value, kinds) or isinstance(value, bool):
        return f"{where or 'it'} is {type(value).__name__}, not {type(like).__name__}"
    parts: list[tuple[Any, Any, str]]
    if isinstance(like, list):
        parts = [(each, like[0], f"{where}[{i}]") for i, each in enumerate(value)]
    elif isinstance(like, dict):
        parts = [(value[k], like[k], f"{where}.{k}".lstrip(".")) for k in like if k in value]
    else:
        return None
    return next((odd for part in parts if (odd := _odd(*part)) is not None), None)
