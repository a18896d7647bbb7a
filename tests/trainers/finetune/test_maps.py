"""Bodies in two: what stays as it is, and what is trained."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from softfold.trainers.finetune.maps import _uniforms, split_body  # noqa: E402
from softfold.trainers.finetune.nets import small_cnn  # noqa: E402


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small", "resnet10t"])
def test_bodies_that_are_chains_are_cut_where_maps_are_small(arch):
    from softfold.vision.backbones import create_backbone

    body = create_backbone(arch, pretrained=False).body
    split = split_body(body, 64)
    assert split.shape[1:] == (4, 4)
    batch = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        body.eval()
        torch.testing.assert_close(split.last(split.first(batch)), body(batch))


def test_a_body_that_is_no_chain_is_not_cut():
    from softfold.vision.backbones import create_backbone

    body = create_backbone("vit_tiny_patch16_224", pretrained=False, size=64).body
    assert split_body(body, 64) is None
    assert split_body(small_cnn(), 8) is None


def test_cutting_leaves_the_body_and_random_numbers_as_they_were():
    from softfold.vision.backbones import create_backbone

    body = create_backbone("resnet18", pretrained=False).body.train()
    before = {name: value.clone() for name, value in body.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert split_body(body, 64) is not None
    torch.testing.assert_close(torch.rand(3), expected)
    assert body.training
    for name, value in body.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_the_crops_of_an_image_follow_from_its_key_and_the_view():
    keys = [bytes([i]) * 16 for i in range(200)]
    drawn = np.stack([_uniforms(key, 0) for key in keys])
    assert drawn.shape == (200, 5) and drawn.min() >= 0 and drawn.max() <= 1
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.1
    np.testing.assert_array_equal(_uniforms(keys[3], 0), drawn[3])
    assert (_uniforms(keys[3], 1) != drawn[3]).all()
