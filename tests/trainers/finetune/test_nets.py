"""Networks of the fine-tune trainer: body and head, precision, and statistics that stay."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from torch import nn  # noqa: E402

from softfold.trainers.finetune.nets import BodyAndHead, parameter_groups, small_cnn  # noqa: E402


def net(dtype=torch.float32, n_features=16):
    body = small_cnn(n_features).eval()
    with torch.no_grad():
        width = body(torch.zeros(1, 3, 8, 8)).shape[1]
    return BodyAndHead(body, nn.Linear(width, 3), dtype).eval()


@pytest.mark.parametrize("size", [8, 15, 32])
def test_a_small_net_has_as_many_features_whatever_the_size_of_the_images(size):
    model = net()
    with torch.no_grad():
        assert model(torch.rand(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float32, torch.float16])
def test_logits_are_float32_whatever_the_body_computes_in_and_the_cache_holds(dtype, given):
    model = net(dtype)
    batch = torch.rand(4, 3, 8, 8).to(given)
    with torch.no_grad():
        logits = model(batch)
        exact = model.head(model.body(batch.float()))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact, atol=0.05, rtol=0.05)


def test_body_and_head_are_two_groups_and_every_parameter_is_in_one():
    model = net()
    body, head = parameter_groups(model)
    assert {id(p) for p in head} == {id(p) for p in model.head.parameters()}
    assert {id(p) for p in body} | {id(p) for p in head} == {id(p) for p in model.parameters()}
    assert not {id(p) for p in body} & {id(p) for p in head}
