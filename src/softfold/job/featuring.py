"""Features of a label table's images in a file, for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softfold.data.item_features import SUFFIXES, ItemFeatures
from softfold.errors import InputError
from softfold.job.preparing import only_usable
from softfold.pixels.images import Images
from softfold.progress import Progress
from softfold.runs.settings import Settings
from softfold.stopping import watch
from softfold.trainers import create_trainer


def write_features(settings: Settings, out: str | Path, *, quiet: bool = False) -> str:
    """Write the pooled features of a table's images; what was done in a line.

    Args:
        settings: which labels, and which backbone.
        out: .parquet, .safetensors or .npy; `softfold.data.item_features` says what is in it.
        quiet: print nothing on the way.

    Raises:
        InputError: no images, images that do not decode, another kind of file.
    """
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {out}: features go to a .parquet, .safetensors or .npy file")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: no such folder {out.parent}")
    table = settings.read_labels(on_error="skip")
    if not isinstance(table.data, Images):
        raise InputError(f"{table.name}: its items are no images, so that no backbone sees them")
    table = only_usable(table, settings.on_error)
    asked: dict[str, Any] = {
        name: getattr(settings, name) for name in ("arch", "weights", "size", "device")
    }
    probe, progress = create_trainer("probe", stages=False, **asked), Progress(quiet=quiet)
    with watch(), progress.step("features", "features") as advance:
        probe.prepare(table, progress=advance)
    made = ItemFeatures(table.item, probe.features(table), table.name)
    made.save(out)
    return f"{out}: {made.width:,} features of {len(made):,} images"
