"""What backbones cost: parameters, multiplications and seconds of an image.

    python benchmarks/backbones.py [NAME ...]

Networks are built with random weights, so that nothing is fetched. Multiplications are those of
convolutions and linear layers, counted as the network runs; attention's own products are not in.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from accuracy import machine

HERE = Path(__file__).parent
NAMES = (
    "efficientnet_lite0",
    "resnet50.a1_in1k",
    "convnext_tiny.fb_in22k",
    "vit_small_patch14_dinov2.lvd142m",
    "vit_base_patch16_clip_224.openai",
)
SIZE, IMAGES = 224, 2


def cost(name: str) -> tuple[int, float, float, int]:
    """Parameters, multiplications (giga), seconds an image, and features of a network."""
    import torch

    from softfold.vision.backbones import create_backbone

    net = create_backbone(name, pretrained=False, size=SIZE)
    body, total = net.module.eval(), 0

    def count(module, given, made) -> None:
        nonlocal total
        total += made[0].numel() * module.weight[0].numel()

    def count_linear(module, given, made) -> None:
        nonlocal total
        total += made[0].numel() * module.in_features

    hooks = [
        module.register_forward_hook(count if isinstance(module, torch.nn.Conv2d) else count_linear)
        for module in body.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    batch = torch.rand(IMAGES, 3, SIZE, SIZE)
    with torch.inference_mode():
        body(batch)
        for hook in hooks:
            hook.remove()
        begun = time.process_time()
        body(batch)
        spent = (time.process_time() - begun) / IMAGES
    return sum(p.numel() for p in body.parameters()), total / 1e9, spent, net.n_features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    about = machine()
    lines = [
        "# Backbones\n",
        f"Made by `python benchmarks/backbones.py` at {SIZE} pixels: random weights, float32, one "
        f"thread, seconds of the processor; {about['platform']}, {about['cores']} cores that "
        f"others used too, {about['versions']}. Attention's own products are not counted.\n",
        "| `--arch` | parameters, millions | multiplications, 10^9 | seconds an image | features |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in args.names:
        parameters, products, seconds, width = cost(name)
        lines.append(
            f"| `{name}` | {parameters / 1e6:.1f} | {products:.2f} | {seconds:.2f} | {width:,} |"
        )
        print(lines[-1], flush=True)
    (args.out / "backbones.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
