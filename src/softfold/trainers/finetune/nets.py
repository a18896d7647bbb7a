"""Networks for the fine-tune trainer: body and head, what of them is trained, and in what mode."""

from __future__ import annotations

from collections.abc import Callable

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from softfold.machine.runtime import autocast


class BodyAndHead(nn.Module):
    """A body that gives pooled features (n, D) and a linear head; output float32 logits (n, K).

    Args:
        body: from `softfold.vision.backbones`, or a small net of one's own.
        head: linear, D to K.
        dtype: precision of the body's arithmetic (autocast); parameters and head stay float32.
    """

    def __init__(self, body: nn.Module, head: nn.Linear, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.body, self.head, self.dtype = body, head, dtype

    def forward(self, x: Tensor) -> Tensor:
        x = x.as_subclass(Tensor).float()  # cached maps come as float16
        with autocast(self.dtype, x.device.type):
            features = self.body(x)
        return self.head(features.float())  # in bfloat16 large logits would lose their digits


def small_cnn(n_features: int = 64) -> nn.Sequential:
    """A net to train from scratch on images of 8 to 32 pixels, in seconds on a CPU."""

    def block(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]

    width = n_features // 2
    layers = [*block(3, width // 2, 2), *block(width // 2, width, 1), *block(width, n_features, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def parameter_groups(model: BodyAndHead) -> list[list[nn.Parameter]]:
    """Body and head, for rates of their own."""
    parts = (model.body, model.head)
    return [list(part.parameters()) for part in parts]


class BodyStatistics(Callback):
    """Keeps the body's BatchNorm layers in eval mode: their statistics stay as pretrained.

    Small batches of one task make worse statistics than ImageNet's: at 128 px EfficientNet-Lite0
    loses 20 points of accuracy when its frozen body goes on updating them.
    """

    order = -9  # right after the Learner sets training mode

    def before_train(self) -> None:
        for layer in self.learn.model.body.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()


class ReportProgress(Callback):
    """Calls `advance(batches done, all batches)` while a fit goes on."""

    run_valid = False

    def __init__(self, advance: Callable[[int, int], None]) -> None:
        super().__init__()
        self.advance = advance

    def after_batch(self) -> None:
        done = self.learn.epoch * self.learn.n_iter + self.learn.iter + 1
        self.advance(done, self.learn.n_epoch * self.learn.n_iter)
