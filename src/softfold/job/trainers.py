"""The trainers of a job: chosen by its settings and items, checked and made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from softfold.data.item_features import ItemFeatures
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.job.recipes import get_recipe
from softfold.runs.settings import Settings
from softfold.trainers import Trainer, create_trainer, default_trainers, takes
from softfold.trainers.per_class import for_multi_label

_ASKED = ("arch", "weights", "size", "epochs", "device")
"""Settings of a job that are settings of its trainers."""


@dataclass(frozen=True)
class Trainers:
    """What trains the final models, what makes the out-of-fold predictions, and why these."""

    final: Trainer
    oof: Trainer
    why: str


def choose_trainers(
    table: LabelTable, settings: Settings, features: ItemFeatures | None
) -> Trainers:
    """The trainers that settings and items ask for, the machine set up for them.

    Raises:
        InputError: settings that do not go with these trainers, or with these items.
    """
    if settings.recipe is not None and features is not None:
        raise InputError("--features does not go with --recipe, which trains a network on images")
    if settings.recipe is not None:
        made = get_recipe(settings.recipe).choose_trainers(table, settings)
    else:
        given = features is not None
        probed = settings.trainer is None and table.multi_label and table.kind == "image"
        asked = "probe" if probed else settings.trainer
        final, oof, why = default_trainers(table, asked, own_features=given, device=settings.device)
        why = "several labels an item: no fine-tuning" if probed else why
        made = make_trainers(settings, final, settings.oof_trainer or oof, why, features)
        if table.multi_label:
            one = made.final is made.oof
            first = for_multi_label(made.final)
            made = replace(made, final=first, oof=first if one else for_multi_label(made.oof))
    _check_averages(table, settings, made.final, features)
    _set_up(settings, made.final, made.oof)
    return made


def make_trainers(
    settings: Settings, final: str, oof: str, why: str, features: ItemFeatures | None = None
) -> Trainers:
    """Trainers by name, with the settings of the job; one trainer where both have one name.

    Raises:
        InputError: a setting that neither of them has.
    """
    _check_options(settings, final, oof)
    asked = {name: getattr(settings, name) for name in _ASKED} | {"features": features}
    made = create_trainer(final, **asked)
    return Trainers(made, made if oof == final else create_trainer(oof, **asked), why)


def _check_options(settings: Settings, trainer: str, oof_trainer: str) -> None:
    if settings.features is not None and settings.arch is not None and trainer == oof_trainer:
        raise InputError("--features takes the place of a backbone: leave --arch or --features out")
    for name in ("arch", "weights", "size", "epochs", "features"):
        if getattr(settings, name) is None:
            continue
        if not takes(trainer, name) and not takes(oof_trainer, name):
            other = "probe" if name == "features" else "finetune"
            raise InputError(
                f"--{name} does not go with the trainer {trainer!r}: use --trainer {other}"
            )


def _check_averages(
    table: LabelTable, settings: Settings, trainer: Trainer, features: ItemFeatures | None
) -> None:
    """Refuse fold models that are not kept, and views of what is no image."""
    if settings.ensemble and not trainer.saves_models:
        raise InputError(
            f"--ensemble keeps the folds' models, and those of the trainer {trainer.name!r} cannot "
            "be kept: use --trainer probe or finetune"
        )
    if settings.tta > 1 and (table.kind != "image" or features is not None):
        what = "features that were given" if features is not None else f"{table.kind} items"
        raise InputError(
            f"--tta {settings.tta} averages over views of images, not of {what}: leave it out"
        )


def _set_up(settings: Settings, *trainers: Trainer) -> None:
    """The machine's settings for torch trainers."""
    if any(trainer.uses_torch for trainer in trainers):
        from softfold.machine import runtime

        runtime.setup(device=settings.device)
