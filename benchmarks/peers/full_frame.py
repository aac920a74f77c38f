"""Full-frame inference: one forward pass of the whole scene, or of a large part of it where memory does not allow that.

    python benchmarks/peers/full_frame.py --scene SCENE --weights BUNDLE --out OUT.npz

Runs where geoseg runs. OUT holds ``classes`` (H, W) uint8 and ``origin`` (row, col), where they lie in the scene. A
part is the scene's middle: 2048 px compared, with 512 px more on every side for the network to see.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import psutil
import rasterio
import torch
from rasterio.windows import Window

import geoseg

PART, RIM = 2048, 512
"""Pixels compared, and those around them, where the whole does not fit."""

MARGIN = 1.5
"""Real memory over the activations that were counted: packed copies, the scene, the interpreter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    bundle = geoseg.open_bundle(asked.weights)
    with rasterio.open(asked.scene) as source:
        seen = inner = Window(0, 0, source.width, source.height)
        if not fits(source.width * source.height, bytes_per_pixel=bundle.card.activation_bytes_per_pixel or 1000.0):
            inner, seen = middle(source.height, source.width, multiple=bundle.card.multiple)
        pixels = source.read([1, 2, 3], window=seen)
    classes = forward(bundle, pixels)
    rows, cols = inner.row_off - seen.row_off, inner.col_off - seen.col_off
    classes = classes[rows : rows + inner.height, cols : cols + inner.width]
    np.savez(asked.out, classes=classes, origin=(inner.row_off, inner.col_off))


def fits(pixels: int, *, bytes_per_pixel: float) -> bool:
    """Whether a forward pass of that many pixels fits into the memory that is free now."""
    return pixels * bytes_per_pixel * MARGIN < psutil.virtual_memory().available


def middle(height: int, width: int, *, multiple: int) -> tuple[Window, Window]:
    """The middle of a scene: the window that is compared, and the one that the network sees.

    What the network sees begins at a multiple of its own: pooled networks answer differently elsewhere.
    """
    spans = []
    for side in (height, width):
        size = min(PART, side)
        start = (side - size) // 2 // multiple * multiple
        low = max(0, start - RIM // multiple * multiple)
        spans.append((start, size, low, min(side, start + size + RIM) - low))
    (row, rows, top, tall), (col, cols, left, wide) = spans
    return Window(col, row, cols, rows), Window(left, top, wide, tall)


def forward(bundle: geoseg.Bundle, pixels: np.ndarray) -> np.ndarray:
    """Classes (H, W) of one forward pass in float32, reflected on right and bottom to the network's multiple."""
    card = bundle.card
    height, width = pixels.shape[1:]
    rim = [(0, -side % card.multiple) for side in (height, width)]
    batch = torch.from_numpy(np.pad(pixels, [(0, 0), *rim], mode="reflect")[None])
    network = bundle.load_network().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        batch = batch.to(torch.float32, memory_format=torch.channels_last)
        shape = (1, len(card.normalisation.mean), 1, 1)
        batch.sub_(torch.tensor(card.normalisation.mean).view(shape)).div_(
            torch.tensor(card.normalisation.std).view(shape)
        )
        logits = network(batch)[0, :, :height, :width]
        return logits.argmax(0).to(torch.uint8).numpy()


if __name__ == "__main__":
    main()
