"""Folding BatchNorm: the same numbers with fewer layers, and what cannot be folded still works."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from torch import nn  # noqa: E402
from torch.nn.modules.batchnorm import _BatchNorm  # noqa: E402

from softfold.vision.backbones import create_backbone  # noqa: E402
from softfold.vision.batchnorm_folding import for_inference  # noqa: E402


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
def test_folded_networks_give_the_same_features(name):
    torch.manual_seed(0)
    pretrained = name == "efficientnet_lite0"
    module = create_backbone(name, pretrained=pretrained).module
    if not pretrained:
        stirred(module)
    folded = for_inference(module, 64)
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
    ready = for_inference(odd, 16)
    batch = torch.randn(2, 3, 16, 16)
    assert torch.allclose(ready(batch), odd.eval()(batch), atol=1e-6)


def test_a_convolution_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(self.conv(x))).mean((2, 3))

    twice = stirred(Twice())
    batch = torch.randn(2, 3, 16, 16)
    assert torch.allclose(for_inference(twice, 16)(batch), twice.eval()(batch), atol=1e-5)
