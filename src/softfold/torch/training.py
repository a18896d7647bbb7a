"""Nets as trainers: a training loop of one's own, or a net and the plain loop that is here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader, Dataset

from softfold.arrays import check_independent, check_probabilities
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.torch.items import items_of, training_set
from softfold.torch.predicting import logits_of, predict_probabilities, to_device
from softfold.trainers.function import code_hash
from softfold.trainers.per_class import refuse_noise
from softfold.trainers.protocol import BaseModel, BaseTrainer


class TrainingLoop(BaseTrainer):
    """A trainer out of a function that trains on a dataset: `train(dataset) -> model`.

    The same function trains every fold here and, on a dataset with soft targets, your final model.

    Args:
        train: called with a dataset whose items bring a target float32 (K,) in place of their
            label, one-hot in a cross-fit. It returns a torch module that gives logits (or something
            with `logits`, as models of transformers do), or a function `predict(dataset)` that
            gives probabilities (n, K). A parameter `seed` is given the seed of the fit; torch's
            random numbers are seeded either way.
        batch_size: items that are predicted at a time.
        collate_fn: what makes a batch out of items to predict, as in torch's DataLoader.
        workers: processes that read items to predict.

    The items are those of a `label_table`, or the rows of a numeric array (N, ...).

    Finished folds are used again only where the function itself is the same. What it calls is not
    looked at: give another `out` after a change there.
    """

    uses_torch = True
    multi_label = "together"

    def __init__(
        self,
        train: Callable[..., Any],
        *,
        batch_size: int = 256,
        collate_fn: Callable[[list], Any] | None = None,
        workers: int = 0,
    ) -> None:
        if isinstance(train, nn.Module) or not callable(train):
            raise InputError(
                f"train is a {type(train).__name__}: want a function train(dataset) that gives a "
                "trained net; for what makes a net there is softfold.torch.ModuleTrainer"
            )
        self.train, self.batch_size = train, batch_size
        self.collate_fn, self.workers = collate_fn, workers
        self.name = getattr(train, "__name__", type(train).__name__)

    def describe(self) -> dict[str, Any]:
        """The function's name and a hash of its code and of the values it carries."""
        return {"function": self.name, "code": code_hash(self.train)}

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> TorchModel:
        """Call the function with the items and their targets float32 (n, K)."""
        takes_seed = "seed" in inspect.signature(self.train).parameters
        with seeded(seed):
            model = self.train(
                training_set(table, targets), **({"seed": seed} if takes_seed else {})
            )
        if not callable(model):
            raise InputError(
                f"the function {self.name!r} gave a {type(model).__name__}: want a net, or a "
                "function predict(dataset) that gives probabilities (n, K)"
            )
        return TorchModel(model, self, multi_label=table.multi_label)


class TorchModel(BaseModel):
    """A net, or a function of a dataset, that predicts the items of a label table.

    Args:
        model: the net or function.
        trainer: has `name`, `batch_size`, `collate_fn`, `workers`.
        history: the learning curve.
        multi_label: whether it was trained on targets that need not sum to 1, and so gives K
            independent probabilities.
    """

    def __init__(
        self,
        model: Any,
        trainer: Any,
        history: pd.DataFrame | None = None,
        multi_label: bool = False,
    ) -> None:
        self.model, self.trainer, self.history = model, trainer, history
        self.multi_label = multi_label

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), columns as the net has them.

        Raises:
            InputError: another shape, or rows that are no probabilities.
        """
        dataset, use = items_of(table), self.trainer
        if isinstance(self.model, nn.Module):
            how = use.batch_size, use.collate_fn, use.workers
            made = predict_probabilities(self.model, dataset, *how, multi_label=self.multi_label)
        else:
            made = np.asarray(self.model(dataset))
        if made.shape != (len(table), table.n_classes):
            raise InputError(
                f"the model of {use.name!r} gave shape {made.shape}; want "
                f"({len(table)}, {table.n_classes}), a row an item and a column a class"
            )
        check = check_independent if self.multi_label else check_probabilities
        checked = check(made, f"the model of {use.name!r}")
        return np.asarray(checked, dtype=np.float32)


class ModuleTrainer(BaseTrainer):
    """A trainer out of what makes a net: AdamW with one cycle of the learning rate.

    The loss is the cross-entropy with soft targets, of a multi-label table the binary one. For a
    loop of your own there is `TrainingLoop`.

    Args:
        make_net: called without arguments, gives a fresh net with logits (n, K): a class or a
            function.
        epochs: how often every item is seen.
        batch_size: items a step; of the last batch a single item is left out.
        lr: the learning rate's peak.
        weight_decay: of AdamW.
        device: such as "cuda"; by itself a GPU where there is one.
        collate_fn: what makes a batch out of items, as in torch's DataLoader.
        workers: processes that read items.

    The items are those of a `label_table`, or the rows of a numeric array (N, ...).

    >>> import softfold
    >>> x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    >>> table = LabelTable(
    ...     item=np.arange(200).astype(str).astype(object), given=(x[:, 0] > 0).astype(np.int64),
    ...     vocab=("left", "right"), valid=np.zeros(200, bool), data=x)
    >>> oof = softfold.cross_fit(table, ModuleTrainer(lambda: nn.Linear(2, 2), lr=0.1), n_folds=2)
    >>> bool((oof.probabilities.argmax(axis=1) == table.given).mean() > 0.9)
    True
    """

    supports_noise = True
    uses_torch = True
    multi_label = "together"

    def __init__(
        self,
        make_net: Callable[[], nn.Module],
        *,
        epochs: int = 20,
        batch_size: int = 64,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        device: str | None = None,
        collate_fn: Callable[[list], Any] | None = None,
        workers: int = 0,
    ) -> None:
        if isinstance(make_net, nn.Module) or not callable(make_net):
            raise InputError(
                f"make_net is a {type(make_net).__name__}: want a function or class that makes a "
                "net, since every fold begins with fresh weights"
            )
        self.make_net, self.epochs, self.batch_size = make_net, epochs, batch_size
        self.lr, self.weight_decay, self.device = lr, weight_decay, device
        self.collate_fn, self.workers = collate_fn, workers
        self.name = getattr(make_net, "__name__", type(make_net).__name__)

    def describe(self) -> dict[str, Any]:
        """The settings, and a hash of what makes the net."""
        same = ("epochs", "batch_size", "lr", "weight_decay")
        made = {"net": self.name, "code": code_hash(self.make_net)}
        return made | {name: getattr(self, name) for name in same}

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> TorchModel:
        """A net trained on targets float32 (n, K), through T (K, K) where `noise` is given."""
        if noise is not None:
            refuse_noise(table)
        with seeded(seed):
            net, curve = self._trained(training_set(table, targets), noise, table.multi_label)
        history = pd.DataFrame({"epoch": range(len(curve)), "train_loss": curve})
        return TorchModel(net, self, history, multi_label=table.multi_label)

    def _trained(
        self, dataset: Dataset, noise: np.ndarray | None, multi_label: bool
    ) -> tuple[nn.Module, list[float]]:
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        net = self.make_net().to(device).train()
        n = len(dataset)  # type: ignore[arg-type]
        loader = DataLoader(
            dataset,
            self.batch_size,
            shuffle=True,
            drop_last=n > self.batch_size and n % self.batch_size == 1,  # batch norm needs two
            collate_fn=self.collate_fn,
            num_workers=self.workers,
        )
        through = None if noise is None else torch.tensor(noise, dtype=torch.float32, device=device)
        steps = torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(steps, self.lr, self.epochs * len(loader))
        curve = []
        for _ in range(self.epochs):
            total = torch.zeros((), device=device)
            for batch in loader:
                logits, wanted = logits_of(net, to_device(batch, device))
                if logits.shape != wanted.shape:
                    raise InputError(
                        f"the net of {self.name!r} gave logits of shape {tuple(logits.shape)} for "
                        f"targets of shape {tuple(wanted.shape)}: want a row an item and a column "
                        "a class"
                    )
                if multi_label:
                    loss = binary_cross_entropy_with_logits(logits, wanted)
                else:
                    loss = _loss(logits, wanted, through)
                steps.zero_grad()
                loss.backward()
                steps.step()
                cycle.step()
                total += loss.detach()
            curve.append(float(total) / len(loader))
        return net, curve


def _loss(logits: torch.Tensor, wanted: Any, through: torch.Tensor | None) -> torch.Tensor:
    """Cross-entropy with targets (n, K); with T of p(given) = p(truth) T (Patrini et al. 2017)."""
    if through is None:
        return cross_entropy(logits, wanted)
    given = (logits.float().softmax(dim=1) @ through).clamp_min(1e-12)
    return -(wanted * given.log()).sum(dim=1).mean()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from a seed; in the end they go on as if nothing had been."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
