"""Features: row i is image i's, computed once, the same whatever the batch."""

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.machine import runtime as runtime_module
from softfold.pixels.images import Images
from softfold.vision import features
from softfold.vision.features import image_features, image_stages

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from PIL import Image  # noqa: E402


@pytest.fixture(scope="module")
def encoded():
    rng = np.random.default_rng(0)
    out = []
    for _ in range(21):
        pixels = Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8))
        stream = io.BytesIO()
        pixels.resize((48, 40), Image.Resampling.BICUBIC).save(stream, "PNG")
        out.append(stream.getvalue())
    return out


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))


def exact(encoded, size):
    """What a plain float32 forward pass over one image at a time says."""
    from softfold.pixels.decoding import decode
    from softfold.vision.backbones import create_backbone

    net = create_backbone().module.eval()
    out = []
    for image in encoded:
        batch = torch.from_numpy(decode(image, size).copy()).permute(2, 0, 1)[None]
        with torch.inference_mode():
            out.append(net(batch.float() / 127.5 - 1)[0].numpy())
    return np.stack(out)


def test_row_i_is_image_i_within_the_noise_of_the_arithmetic(encoded):
    found = image_features(Images(encoded=encoded), size=64, batch_size=4)
    expected = exact(encoded, 64)
    assert found.shape == (21, 1280) and found.dtype == np.float32
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1)
    cosine /= np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.998
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert ((found @ unit.T).argmax(1) == np.arange(21)).all()


def test_a_second_run_computes_nothing_and_gives_the_same(encoded, monkeypatch):
    data = Images(encoded=encoded)
    first = image_features(data, size=64)
    monkeypatch.setattr(features, "create_backbone", lambda *a, **k: pytest.fail("computed"))
    assert np.array_equal(image_features(data, size=64), first)
    rows = np.array([20, 3, 3, 0])
    assert np.array_equal(image_features(data.take(rows), size=64), first[rows])


def test_the_device_of_features_is_not_that_of_the_process(encoded, monkeypatch):
    before = runtime_module.Runtime("cuda:0", 1, 1, True, False, "default")
    monkeypatch.setattr(runtime_module, "_chosen", before)
    for make in (image_features, image_stages):
        assert make(Images(encoded=encoded[:2]), size=64, device="cpu").shape[0] == 2
        assert runtime_module.setup() is before


def test_only_new_images_are_computed(encoded):
    first = image_features(Images(encoded=encoded[:15]), size=64)
    seen = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    both = image_features(Images(encoded=encoded), size=64, progress=progress)
    assert seen[-1] == (6, 6)
    assert np.array_equal(both[:15], first)


def test_sizes_backbones_and_weights_do_not_mix(encoded, tmp_path):
    from softfold.vision.backbones import create_backbone

    data = Images(encoded=encoded[:3])
    small, large = (image_features(data, size=s) for s in (64, 96))
    assert not np.allclose(small, large)
    for seed in (0, 1):
        torch.manual_seed(seed)
        body = create_backbone("resnet18", pretrained=False).body
        torch.save(body.state_dict(), tmp_path / f"{seed}.pth")
    given = [image_features(data, "resnet18", 64, weights=tmp_path / f"{s}.pth") for s in (0, 1)]
    assert given[0].shape == (3, 512)
    assert not np.allclose(*given)


def test_stages_come_of_the_same_pass_as_features(encoded, monkeypatch):
    from softfold.pixels.decoding import decode
    from softfold.vision.backbones import create_backbone

    images = Images(encoded=encoded)
    before = image_features(images, size=64)
    monkeypatch.setattr(features, "create_backbone", None)  # nothing is computed any more
    stages = image_stages(images, size=64)
    np.testing.assert_array_equal(image_features(images, size=64), before)
    maps = []
    net = create_backbone().body.eval()
    for name in ("blocks.2", "blocks.4", "blocks.6"):  # where strides 8, 16 and 32 end
        hook = lambda module, given, out: maps.append(out.mean((2, 3))[0])  # noqa: E731
        net.get_submodule(name).register_forward_hook(hook)
    batch = torch.from_numpy(decode(encoded[3], 64).copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        net(batch.float() / 127.5 - 1)
    expected = torch.cat(maps).numpy()
    assert stages.shape == (21, len(expected)) and stages.dtype == np.float32
    assert np.corrcoef(stages[3], expected)[0, 1] > 0.999


def test_networks_that_do_not_tell_their_stages_have_none(encoded, tmp_path):
    from softfold.vision.backbones import create_backbone, with_stages

    assert image_stages(Images(encoded=encoded), "resnet18", 64).shape == (21, 0)
    net = create_backbone("resnet18", pretrained=False)
    assert with_stages(net) is net.body


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mobilenetv3_small_100"])
def test_stages_follow_the_pooled_features(name):
    from softfold.vision.backbones import create_backbone, with_stages

    net = create_backbone(name, pretrained=False)
    batch = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        pooled, both = net.body.eval()(batch), with_stages(net).eval()(batch)
    assert both.shape[1] > net.n_features == pooled.shape[1]
    torch.testing.assert_close(both[:, : net.n_features], pooled, rtol=1e-3, atol=1e-3)


def test_what_has_no_images_is_refused():
    table = LabelTable(
        item=np.array(["a", "b"], object),
        given=np.array([0, 1]),
        vocab=("x", "y"),
        valid=np.zeros(2, bool),
        truth=None,
        group=None,
        data=np.zeros((2, 3)),
        name="table.csv",
    )
    with pytest.raises(InputError, match="features of images"):
        image_features(table)


@pytest.mark.parametrize("damage", ["zeroed", "one byte"])
def test_features_that_were_damaged_on_disk_are_made_again_and_said(encoded, damage, monkeypatch):
    from softfold.cache import folder
    from softfold.cache import rows as rows_module

    data = Images(encoded=encoded)
    first = image_features(data, size=64)
    for file in folder.cache_dir().glob("features/*/*.rows.npy"):
        content = np.load(file)
        if damage == "zeroed":
            content[:] = 0
        else:
            content.view(np.uint16)[7, 11] ^= 0x7C00  # an exponent of ones: infinite
        np.save(file, content)
    monkeypatch.setattr(rows_module, "_checked", {})  # as a new process
    with pytest.warns(UserWarning, match="rows of features that are not what was written"):
        again = image_features(data, size=64)
    np.testing.assert_allclose(again, first, rtol=2e-2, atol=2e-2)


def test_features_are_the_same_bytes_whatever_images_come_with_them(encoded):
    together = image_features(Images(encoded=encoded), size=64, batch_size=8)
    for rows in ([20], [3, 19, 4], list(range(20, 5, -1))):
        cache_dir_rows = [encoded[row] for row in rows]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOFTFOLD_CACHE", f"{os.environ['SOFTFOLD_CACHE']}-{rows[0]}-{len(rows)}")
            alone = image_features(Images(encoded=cache_dir_rows), size=64, batch_size=8)
        assert np.array_equal(alone, together[rows])


def test_features_are_the_same_bytes_on_one_core_and_on_several(encoded, monkeypatch):
    """Each core passes its own images; afterwards an operation has all threads again."""
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        monkeypatch.setattr(runtime_module, "_chosen", None)
        monkeypatch.setenv("SOFTFOLD_CACHE", f"{os.environ['SOFTFOLD_CACHE']}-{threads}")
        runtime_module.setup("cpu", threads=threads)
        found.append(image_features(Images(encoded=encoded), size=64, batch_size=4))
        with ThreadPoolExecutor(1) as new:
            assert new.submit(torch.get_num_threads).result() == threads
    torch.set_num_threads(before)
    assert np.array_equal(*found)
