"""Seam test: pixels whose class differs from full-frame inference, for a network of finite receptive field.

    python benchmarks/seam.py

An untrained network of eight convolutions, receptive field 15 px, zero padding; 1500 x 1500 px, patches of 256,
overlap 64, as in the comparison this repeats for geoseg.
"""

from __future__ import annotations

import numpy as np
import torch
from common import machine, table
from torch import nn

import geoseg
from geoseg.choices import STITCHES


def network(classes: int = 6) -> nn.Module:
    """Seven 3 x 3 convolutions and a 1 x 1: radius 7."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(7):
        layers += [nn.Conv2d(3 if number == 0 else 16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(16, classes, 1)).eval()


def main() -> None:
    """One row per stitch."""
    net = network()
    pixels = np.random.default_rng(0).normal(size=(3, 1500, 1500)).astype(np.float32)
    with torch.inference_mode():
        logits = net(torch.from_numpy(pixels)[None])[0].numpy()
    whole = logits.argmax(0)
    rows = []
    for stitch in STITCHES:
        options = {"patch_size": 256, "overlap": 64, "stitch": stitch, "exact": True}
        classes = geoseg.predict_array(pixels, net, **options)
        ours = geoseg.predict_array(pixels, net, **options, return_logits=True)
        different = int((classes != whole).sum())
        rows.append([stitch, different, f"{different / whole.size:.4%}", f"{np.abs(ours - logits).max():.1e}"])
    print(f"{machine()}\n")
    print(table(["stitch", "different px", "share", "largest logit difference"], rows))


if __name__ == "__main__":
    main()
