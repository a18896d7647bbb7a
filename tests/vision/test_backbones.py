"""Backbones: weights that fit, heads that can be replaced, one clear line where they cannot."""

from pathlib import Path

import numpy as np
import pytest

from softfold.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from softfold.vision import backbones  # noqa: E402

VALIDATION = next(
    (
        folder
        for folder in (
            Path(__file__).parents[3] / "data/imagewoof2-160/val",
            Path.home() / ".fastai/data/imagewoof2-160/val",
        )
        if folder.is_dir()
    ),
    None,
)


@pytest.fixture(scope="module")
def lite0():
    return backbones.create_backbone("efficientnet_lite0")


def test_lite0_gives_pooled_features(lite0):
    assert lite0.n_features == 1280
    assert lite0.mean == lite0.std == (0.5, 0.5, 0.5)
    with torch.inference_mode():
        assert lite0.module.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1280)
    assert len(lite0.batchnorms()) == 49


def test_every_tensor_of_the_bundled_file_is_used(lite0):
    published = backbones._read_weights(backbones.bundled_weights())
    values = [v for k, v in published.items() if "num_batches" not in k]
    ours = [v for k, v in lite0.body.state_dict().items() if "num_batches" not in k]
    assert len(values) == 247 and len(ours) == 245
    assert all(torch.equal(a, b) for a, b in zip(ours, values))


@pytest.mark.skipif(VALIDATION is None, reason="imagewoof2-160/val is not unpacked")
def test_lite0_knows_dogs(lite0):
    """The converted net puts Imagewoof's dogs into their ImageNet classes."""
    from timm.data import ImageNetInfo

    from softfold.pixels.decoding import decode

    net = backbones.create_backbone("efficientnet_lite0", n_classes=1000)
    published = list(backbones._read_weights(backbones.bundled_weights()).values())
    net.head.load_state_dict({"weight": published[-2], "bias": published[-1]})
    synsets = ImageNetInfo().label_names()
    right = []
    for folder in sorted(VALIDATION.iterdir()):
        files = sorted(folder.iterdir())[:4]
        pixels = np.stack([decode(file.read_bytes(), 224) for file in files])
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            found = net.module.eval()(batch).argmax(1).tolist()
        right += [synsets[k] == folder.name for k in found]
    assert np.mean(right) > 0.6


def test_a_head_of_any_width_takes_a_file_with_another_head(tmp_path):
    from safetensors.torch import save_file

    first = backbones.create_backbone("resnet18", pretrained=False, n_classes=7)
    save_file(first.body.state_dict(), tmp_path / "body.safetensors")
    torch.save({"state_dict": first.module.state_dict()}, tmp_path / "net.pth")
    for file in ("body.safetensors", "net.pth"):
        again = backbones.create_backbone("resnet18", weights=tmp_path / file, n_classes=3)
        assert again.head.out_features == 3
        assert torch.equal(again.body.conv1.weight, first.body.conv1.weight)
        assert torch.equal(again.body.bn1.running_var, first.body.bn1.running_var)


def test_torchvision_file_with_its_own_head_fits(tmp_path):
    from torchvision.models import resnet18

    net = resnet18(num_classes=11)
    torch.save(net.state_dict(), tmp_path / "r18.pth")
    ours = backbones.create_backbone("resnet18", weights=tmp_path / "r18.pth")
    batch = torch.randn(2, 3, 64, 64)
    net.fc = torch.nn.Identity()
    with torch.inference_mode():
        assert torch.allclose(ours.module.eval()(batch), net.eval()(batch))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit_b_16", "regnet_y_400mf", "resnet10t"])
def test_families_give_the_width_they_promise(name):
    net = backbones.create_backbone(name, pretrained=False)
    with torch.inference_mode():
        out = net.module.eval()(torch.zeros(1, 3, net.size, net.size))
    assert out.shape == (1, net.n_features)


def test_a_transformer_is_built_for_the_size_asked_for():
    net = backbones.create_backbone("vit_tiny_patch16_224", pretrained=False, size=64)
    with torch.inference_mode():
        assert net.module.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 192)


def test_unknown_name_names_close_ones():
    with pytest.raises(InputError, match=r"unknown backbone 'resnet81'.*resnet18"):
        backbones.create_backbone("resnet81")
    with pytest.raises(InputError, match=r"; names with it: vit_base_patch14_dinov2, .* in all\)"):
        backbones.create_backbone("dinov2")


@pytest.mark.parametrize("name", ["resnet10t", "squeezenet1_0x"])
def test_errors_are_one_line(name, tmp_path):
    file = tmp_path / "x.pth"
    file.write_bytes(b"not a pickle")
    with pytest.raises(InputError) as caught:
        backbones.create_backbone(name, weights=file)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(
        backbones.create_backbone("resnet18", pretrained=False).body.state_dict(),
        tmp_path / "r18.pth",
    )
    with pytest.raises(InputError, match=r"r18.pth: .*network"):
        backbones.create_backbone("efficientnet_lite0", weights=tmp_path / "r18.pth")
    with pytest.raises(InputError, match=r"no such file"):
        backbones.create_backbone("resnet18", weights=tmp_path / "absent.pth")


def test_without_a_network_the_line_names_the_way_out(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", offline)
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    monkeypatch.setattr("os.makedirs", lambda *args, **kwargs: None)
    with pytest.raises(InputError, match=r"resnet50 could not be fetched.*--weights FILE"):
        backbones.create_backbone("resnet50")
