"""Convolution, bias, activation and the sum with a residual in one call, on processors.

oneDNN does all four while a value is in a register; torch's own layers write and read the map once
each. The operations are those that torch's compiler emits (`torch.ops.mkldnn`), private to it: who
calls `fused` compares the result with the network as it was, and goes back where it differs. With
bfloat16 the whole network is converted, weights and maps.
"""

from __future__ import annotations

import operator
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

_ADDS = (operator.add, operator.iadd)


def why_not(device: str, dtype: torch.dtype) -> str:
    """Why nothing can be fused here; empty where it can. `SOFTFOLD_FUSED=0` turns it off."""
    import torch

    if os.environ.get("SOFTFOLD_FUSED") == "0":
        return "SOFTFOLD_FUSED=0"
    if not device.startswith("cpu"):
        return f"only on processors, not on {device}"
    try:
        ops = torch.ops.mkldnn
        able = ops._convolution_pointwise.default and ops._convolution_pointwise.binary
        if not (able and torch.backends.mkldnn.is_available()):
            return "this torch is built without oneDNN"
        if dtype == torch.bfloat16 and not ops._is_mkldnn_bf16_supported():
            return "oneDNN has no bfloat16 on this processor"
    except (AttributeError, RuntimeError):
        return f"torch {torch.__version__} has no such operation"
    return ""


def fused(traced: fx.GraphModule, size: int, dtype: torch.dtype) -> fx.GraphModule | None:
    """The traced network with its convolutions fused; None where nothing could be.

    Args:
        traced: BatchNorm folded, takes float (n, 3, size, size); it is changed.
        dtype: float32, or bfloat16 where every weight is a convolution's.
    """
    import torch
    from torch import fx, nn
    from torch.fx.passes.shape_prop import ShapeProp

    graph = traced.graph
    _drop_identities(traced)
    ShapeProp(traced).propagate(torch.zeros(1, 3, size, size))
    layers = dict(traced.named_modules())
    calls = Counter(n.target for n in graph.nodes if n.op == "call_module")
    made = 0
    for node in list(graph.nodes):
        conv = layers.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(conv, nn.Conv2d) or calls[node.target] > 1:
            continue
        geometry = _even(conv, _shape(node.args[0])[2:])
        if geometry is None:
            continue
        weight, padding = geometry
        user = _only_user(node)
        activation = _activation(layers, user)
        layer = _layer(conv, weight, padding, activation)
        parent, _, child = str(node.target).rpartition(".")
        setattr(traced.get_submodule(parent), child, layer)
        if activation is not None:
            user.replace_all_uses_with(node)
            graph.erase_node(user)
        elif user is not None and _is_residual(user):
            _take_in_sum(graph, layers, node, user, layer)
        made += 1
    graph.lint()
    traced.recompile()
    if not made:
        return None
    if dtype != torch.float32:
        if any(not hasattr(m, "fuses") for m in traced.modules() if list(m.parameters(False))):
            return None
        first = next(n for n in graph.nodes if n.op == "placeholder")
        with graph.inserting_after(first):
            narrow = graph.call_method("to", (first, dtype))
        first.replace_all_uses_with(narrow, lambda user: user is not narrow)
        traced = fx.GraphModule(traced, graph).to(dtype)
    return traced.to(memory_format=torch.channels_last)


def _layer(
    conv: nn.Conv2d,
    weight: torch.Tensor,
    padding: Sequence[int],
    activation: tuple[str, list[float]] | None,
) -> Any:
    """The module that calls the operation."""
    import torch
    from torch import nn

    class FusedConvolution(nn.Module):
        fuses = True

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(weight.detach(), requires_grad=False)
            bias = None if conv.bias is None else conv.bias.detach()
            self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
            self.how = (list(padding), list(conv.stride), list(conv.dilation), conv.groups)
            self.activation, self.bounds = activation or ("none", [])
            self.after_sum: str | None = None

        def forward(self, x: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
            call = torch.ops.mkldnn._convolution_pointwise
            if other is None:
                of_one = (self.activation, self.bounds, "")
                return call(x, self.weight, self.bias, *self.how, *of_one)
            of_sum: Any = ("add", 1.0, self.after_sum, [], None)
            return call.binary(x, other, self.weight, self.bias, *self.how, *of_sum)

    return FusedConvolution()


def _even(conv: nn.Conv2d, sides: Sequence[int]) -> tuple[torch.Tensor, tuple[int, ...]] | None:
    """Weight and padding that do the same, the padding as wide on both sides of each axis.

    "Same" padding as TensorFlow has it is one wider behind where the sum is odd. A kernel with a
    row (column) of zeros in front makes it even. None for what is no plain convolution.
    """
    from torch import nn
    from torch.nn.functional import pad

    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return None
    if type(conv) is nn.Conv2d:
        return conv.weight, tuple(conv.padding)
    if type(conv).__name__ != "Conv2dSame":
        return None
    before, around = [], []
    for side, kernel, step, gap in zip(
        sides, conv.kernel_size, conv.stride, conv.dilation, strict=True
    ):
        total = max(0, (-(-side // step) - 1) * step + (kernel - 1) * gap + 1 - side)
        if total % 2 and gap > 1:
            return None
        before.append(total % 2)
        around.append((total + 1) // 2)
    weight = pad(conv.weight, (before[1], 0, before[0], 0)) if any(before) else conv.weight
    return weight, tuple(around)


def _drop_identities(traced: fx.GraphModule) -> None:
    from torch import nn

    layers = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        # in eval mode, which the caller sets, dropout passes everything on
        if isinstance(layer, nn.Identity | nn.Dropout):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def _activation(
    layers: dict[str, nn.Module], user: fx.Node | None
) -> tuple[str, list[float]] | None:
    """The name that oneDNN has for the activation behind a convolution, and its bounds."""
    from torch import nn

    layer = layers.get(str(user.target)) if user is not None and user.op == "call_module" else None
    if isinstance(layer, nn.ReLU6):  # before Hardtanh, whose kind it is
        return "hardtanh", [0.0, 6.0]
    names = {nn.ReLU: "relu", nn.Hardswish: "hardswish", nn.SiLU: "swish"}
    name = names.get(type(layer)) if layer is not None else None
    return None if name is None else (name, [])


def _is_residual(user: fx.Node) -> bool:
    """Whether the node sums two maps of one shape."""
    both = [a for a in user.args if hasattr(a, "op")]
    return (
        user.op == "call_function"
        and user.target in _ADDS
        and len(both) == 2
        and both[0] is not both[1]
        and _shape(both[0]) == _shape(both[1])
    )


def _take_in_sum(
    graph: fx.Graph, layers: dict[str, nn.Module], node: fx.Node, user: fx.Node, layer: Any
) -> None:
    """Put the convolution in the place of the sum, and of a ReLU behind it."""
    from torch import nn

    other = user.args[1] if user.args[0] is node else user.args[0]
    with graph.inserting_before(user):
        both = graph.call_module(str(node.target), (node.args[0], other))
    both.meta = user.meta
    user.replace_all_uses_with(both)
    graph.erase_node(user)
    graph.erase_node(node)
    behind = _only_user(both)
    if behind is None or behind.op != "call_module":
        return
    if type(layers.get(str(behind.target))) is nn.ReLU:
        layer.after_sum = "relu"
        behind.replace_all_uses_with(both)
        graph.erase_node(behind)


def _only_user(node: fx.Node) -> Any:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _shape(node: Any) -> tuple[int, ...]:
    found = node.meta.get("tensor_meta")
    return tuple(found.shape) if hasattr(found, "shape") else ()
