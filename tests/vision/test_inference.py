"""Networks ready to predict: the same numbers in fewer steps, else the network as it was."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from torch import nn  # noqa: E402
from torch.nn.modules.batchnorm import _BatchNorm  # noqa: E402

from softfold.vision.backbones import create_backbone  # noqa: E402
from softfold.vision.convolution_fusing import why_not  # noqa: E402
from softfold.vision.inference import arithmetic, prepare  # noqa: E402

FUSED = "folded" if why_not("cpu", torch.float32) else "fused"
"""How a network that can be fused is prepared here."""


@pytest.fixture(params=["fused", "folded"])
def way(request, monkeypatch):
    if request.param == "folded":
        monkeypatch.setenv("SOFTFOLD_FUSED", "0")
    return request.param


def for_inference(module, size):
    return prepare(module, size, torch.float32).module


def norms(module):
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def stirred(module):
    """With statistics as after training, not the 0 and 1 of a new network."""
    for layer in norms(module):
        layer.running_mean.normal_(0, 0.1)
        layer.running_var.uniform_(0.5, 2)
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        nn.init.normal_(layer.bias, 0, 0.1)
    return module


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v3_small"])
def test_folded_networks_give_the_same_features(name, way):
    torch.manual_seed(0)
    pretrained = name == "efficientnet_lite0"
    module = create_backbone(name, pretrained=pretrained).module
    if not pretrained:
        stirred(module)
    ready = prepare(module, 64, torch.float32)
    folded = ready.module
    assert ready.how == ("folded" if way == "folded" else FUSED)
    assert norms(module) and not norms(folded)
    batch = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        expected = module.eval()(batch)
        assert torch.allclose(folded(batch), expected, atol=2e-3 * float(expected.abs().max()))


def test_the_network_itself_is_left_as_it_was():
    module = create_backbone("resnet18", pretrained=False).module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    for_inference(module, 64)
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_what_cannot_be_traced_still_predicts():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            if x.sum() > 0:
                x = -x
            return self.norm(self.conv(x)).mean((2, 3))

    odd = stirred(Odd())
    ready = prepare(odd, 16, torch.float32)
    batch = torch.randn(2, 3, 16, 16)
    assert ready.how == "plain" and "cannot be traced" in ready.why
    assert torch.allclose(ready.module(batch), odd.eval()(batch), atol=1e-6)


def test_a_convolution_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(self.conv(x))).mean((2, 3))

    twice = stirred(Twice())
    batch = torch.randn(2, 3, 16, 16)
    ready = prepare(twice, 16, torch.float32)
    assert ready.how == "folded" and len(norms(ready.module)) == 1
    assert torch.allclose(ready.module(batch), twice.eval()(batch), atol=1e-5)


def test_fused_float32_features_are_the_folded_ones_so_the_cache_shares_them(monkeypatch):
    module = create_backbone("efficientnet_lite0").module
    batch = torch.randn(4, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    fused = prepare(module, 96, torch.float32)
    known = arithmetic("cpu", torch.float32)
    monkeypatch.setenv("SOFTFOLD_FUSED", "0")
    folded = prepare(module, 96, torch.float32)
    assert folded.how == "folded" and folded.why == "SOFTFOLD_FUSED=0"
    assert fused.how == FUSED
    with torch.inference_mode():
        expected, found = folded.module(batch), fused.module(batch)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert known == arithmetic("cpu", torch.float32) == "torch.float32"


@pytest.mark.parametrize(("scale", "kept"), [(1.0, torch.float16), (1e6, torch.float32)])
def test_what_float16_is_too_narrow_for_is_computed_in_float32(scale, kept):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(784, 2))
    nn.init.constant_(net[1].weight, scale)
    ready = prepare(net, 16, torch.float16)
    assert ready.dtype == kept and ready.how == "folded"
    assert ("float16 changes its output" in ready.why) == (kept == torch.float32)


def test_networks_are_compared_also_where_somebody_has_set_the_precision_of_convolutions():
    conv = getattr(torch.backends.cudnn, "conv", None)
    if conv is None:
        pytest.skip("before torch 2.9")
    before = conv.fp32_precision
    conv.fp32_precision = "ieee" if before == "tf32" else "tf32"
    asked = conv.fp32_precision
    try:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
        assert prepare(net, 16, torch.float32).how in ("fused", "folded")
        assert conv.fp32_precision == asked
    finally:
        conv.fp32_precision = before


class Residual(nn.Module):
    """Every case of a sum: both sides convolutions, one used twice, shapes that broadcast."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.three, self.four = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2)
        self.act, self.last = nn.ReLU(), nn.SiLU()

    def forward(self, x):
        both = self.act(self.one(x) + self.two(x))
        kept = self.three(both)
        kept += both
        small = self.last(self.four(kept))
        return torch.cat([(small + small.mean((2, 3), keepdim=True)).mean((2, 3))], 1)


def test_sums_are_fused_only_where_they_are_sums_of_maps():
    torch.manual_seed(0)
    net = Residual().eval()
    ready = prepare(net, 16, torch.float32)
    batch = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(ready.module(batch), net(batch), atol=1e-5)
    assert ready.how == FUSED
    if ready.how == "fused":
        sums = [n for n in ready.module.graph.nodes if len(n.args) == 2 and n.op == "call_module"]
        assert len(sums) == 2


@pytest.mark.parametrize("size", [31, 32, 33, 34])
def test_uneven_padding_is_folded_into_the_kernel(size):
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    net = nn.Sequential(
        Conv2dSame(3, 8, 3, stride=2), nn.ReLU6(), Conv2dSame(8, 8, 5, stride=2, groups=8)
    )
    net.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten()).eval()
    ready = prepare(net, size, torch.float32)
    assert ready.how == FUSED
    batch = torch.randn(3, 3, size, size)
    with torch.inference_mode():
        assert torch.allclose(ready.module(batch), net(batch), atol=1e-5)


def test_an_operation_that_fails_or_lies_gives_the_folded_network(monkeypatch):
    from softfold.vision import convolution_fusing, inference

    module = create_backbone("resnet18", pretrained=False).module
    made = convolution_fusing.fused

    def lying(*args):
        net = made(*args)
        next(net.parameters()).data.mul_(1.1)
        return net

    def failing(*args):
        raise RuntimeError("no such operation")

    for broken, word in ((lying, "changes its output"), (failing, "RuntimeError")):
        monkeypatch.setattr(inference, "fused", broken)
        ready = prepare(module, 64, torch.float32)
        if not why_not("cpu", torch.float32):
            assert ready.how == "folded" and word in ready.why


def test_bfloat16_is_the_whole_network_or_none_of_it():
    ready = prepare(create_backbone("efficientnet_lite0").module, 64, torch.bfloat16)
    if why_not("cpu", torch.bfloat16):
        assert ready.how == "folded" and ready.dtype == torch.bfloat16
        assert arithmetic("cpu", torch.bfloat16) == "torch.bfloat16"
    else:
        assert {p.dtype for p in ready.module.parameters()} == {torch.bfloat16}
        assert ready.dtype == torch.float32  # no autocast around it
        assert arithmetic("cpu", torch.bfloat16) == "torch.bfloat16, fused"


class Emulated:
    """What oneDNN's two operations do, by torch's own layers: bfloat16 where there are no units."""

    default = True

    def __call__(self, x, w, b, padding, stride, dilation, groups, name, bounds, algorithm):
        out = nn.functional.conv2d(x, w, b, stride, padding, dilation, groups)
        if name == "hardtanh":
            return out.clamp(*bounds)
        return {"none": lambda x: x, "relu": torch.relu}[name](out)

    def binary(self, x, other, w, b, padding, stride, dilation, groups, kind, alpha, after, *_):
        out = nn.functional.conv2d(x, w, b, stride, padding, dilation, groups) + other
        return torch.relu(out) if after == "relu" else out


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_whole_networks_in_bfloat16_pass_the_check(name, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", Emulated())
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    module = create_backbone(name, pretrained=name == "efficientnet_lite0").module
    ready = prepare(module, 64, torch.bfloat16)
    assert ready.how == "fused", ready.why
    assert {p.dtype for p in ready.module.parameters()} == {torch.bfloat16}
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        found, expected = ready.module(batch).float(), module.eval()(batch)
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.998


def test_comparing_two_networks_draws_no_random_number():
    module = create_backbone("resnet18", pretrained=False).module
    torch.manual_seed(5)
    state = torch.get_rng_state()
    prepare(module, 64, torch.float32)
    assert torch.equal(state, torch.get_rng_state())
