"""The options that commands share: one name, one type and one help text each."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Option


def _option(type_: Any, *names: str, help: str) -> Any:
    return Annotated[type_, Option(*names, help=help)]


Labels = Annotated[
    str,
    Argument(
        help="CSV or Parquet file, folder of class folders, or a known dataset "
        "(digits, imagewoof, ...)",
        show_default=False,
    ),
]
RunFolder = Annotated[str, Argument(metavar="RUN", help="a run folder", show_default=False)]
Images = _option(str | None, "--images", help="folder the paths start from")
Path = _option(str | None, "--path", help="column of image paths or encoded images")
Label = _option(str | None, "--label", help="column of given labels")
Valid = _option(str | None, "--valid", help="column that marks the hold-out (is_valid)")
Truth = _option(str | None, "--truth", help="column of right labels, to measure with only")
Group = _option(str | None, "--group", help="column of groups that share a fold")
Holdout = _option(str | None, "--holdout", help="table of the hold-out's items")
HoldoutLabel = _option(str | None, "--holdout-label", help="its label column")
Noise = _option(str | None, "--noise", help="which noisy labels of a known dataset (5, aggre, ...)")
Data = _option(str | None, "--data", help="local copy of a known dataset")
Decisions = _option(str | None, "--decisions", help="decisions of a review, to train with")
GroupNearCopies = _option(
    bool, "--group-near-copies", help="near copies by features share a fold too"
)
Trainer = _option(
    str | None,
    "--trainer",
    help="trains the final models: finetune, probe or estimator (finetune with a GPU, else probe)",
)
OofTrainer = _option(
    str | None, "--oof-trainer", help="makes the out-of-fold predictions (probe for images)"
)
Arch = _option(str | None, "--arch", help="backbone, by torchvision's or timm's name")
Weights = _option(str | None, "--weights", help="file with the backbone's weights")
Size = _option(int | None, "--size", help="image size in pixels")
Epochs = _option(int | None, "--epochs", help="epochs of fine-tuning: 10 is fine_tune(10)")
Folds = _option(int | None, "--folds", help="folds of the cross-fit (5)")
Repeats = _option(int | None, "--repeats", help="cross-fits to average (1)")
Seeds = _option(int | None, "--seeds", help="how many seeds to measure with (3)")
Seed = _option(int | None, "--seed", help="the first seed (0)")
Device = _option(str | None, "--device", help="cpu, cuda, cuda:1 or mps")
Engine = _option(str | None, "--engine", help="where the folds run: local")
Strategy = _option(str | None, "--strategy", help="auto (the default), posterior, blend, gate")
GivenWeight = _option(
    float | None, "--given-weight", help="weight of the given label in a blend (0.7)"
)
Hard = _option(bool, "--hard", help="blend with the predicted class, not probabilities")
Threshold = _option(float | None, "--threshold", help="confidence from which gate blends")
Out = _option(str | None, "--out", help="run folder to write")
Resume = _option(bool, "--resume", help="go on with the run that is in --out")
Quiet = _option(bool, "--quiet", help="no progress")
Json = _option(bool, "--json", help="print metrics.json")
