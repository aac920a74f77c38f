"""The stitch table: four ways to join patches, on a held-out real scene, against full-frame inference.

    python benchmarks/stitch.py SCENE TRUTH [--model BUNDLE] [--rounds 3]

Disagreement is the share of pixels whose class differs from one forward pass of the whole scene (reflected to a
multiple of the network's). Seconds are the median wall time of `predict_array`, the stitches alternating.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import machine, median, table

import geoseg
from geoseg.choices import STITCHES
from geoseg.evaluation.compare import evaluate_windows
from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.tiles import make_tiles
from geoseg.geometry.windows import Window
from geoseg.models.runtimes import make_predictor
from geoseg.raster.labels import inspect_labels, read_labels
from geoseg.raster.reading import read_window
from geoseg.raster.scene import inspect_scene

OVERLAPS = (0, 64, 128)


def main() -> None:
    """One row per stitch and overlap."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("truth")
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    bundle = geoseg.open_bundle(asked.model)
    card = bundle.card
    info = inspect_scene(asked.scene, bands=len(card.bands))
    pixels, valid = read_window(info.recipe, Window.whole(info.geobox.shape))
    truth = inspect_labels(asked.truth, legend=card.legend, onto=info.geobox)

    def miou(classes: np.ndarray) -> float:
        whole = Window.whole(info.geobox.shape)
        found = evaluate_windows(
            lambda window: classes[window.within(whole)],
            lambda window: read_labels(truth.recipe, window),
            info.geobox.shape,
            legend=card.legend,
        )
        return float(found["miou"])

    rim = [(0, -side % card.multiple) for side in info.geobox.shape]
    padded = np.pad(pixels, [(0, 0), *rim], mode="reflect")[None]
    full = make_predictor(bundle).logits(padded, np.ones((1, *padded.shape[2:]), bool))[0]
    height, width = info.geobox.shape
    whole = torch.argmax(full[:, :height, :width], dim=0).numpy().astype(np.uint8)
    del full

    cases = [(stitch, overlap) for overlap in OVERLAPS for stitch in STITCHES if overlap or stitch == "crop"]
    seconds: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    found = {}
    for _ in range(asked.rounds):
        for stitch, overlap in cases:
            started = time.perf_counter()
            classes = geoseg.predict_array(pixels, bundle, stitch=stitch, overlap=overlap)
            seconds[stitch, overlap].append(time.perf_counter() - started)
            found[stitch, overlap] = classes
    rows = []
    for stitch, overlap in cases:
        lattice = make_lattice(info.geobox.shape, context=card.context, halo=overlap // 2, multiple=card.multiple)
        grid = make_tiles(lattice, stitch=stitch, tile=max(info.geobox.shape))
        classes = found[stitch, overlap]
        rows.append(
            [
                stitch,
                overlap,
                f"{(classes != whole)[valid].mean():.3%}",
                f"{miou(classes):.4f}",
                f"{median(seconds[stitch, overlap]):.1f}",
                f"{grid.lattice.count * lattice.patch[0] * lattice.patch[1] / (height * width):.3f}",
            ]
        )
    print(f"{machine()}; {asked.scene}, {width} x {height} px, model {card.name} {bundle.digest[:12]}\n")
    print(f"Full-frame inference: mIoU {miou(whole):.4f}\n")
    print(table(["stitch", "overlap px", "disagreement", "mIoU", "seconds", "computed/scene"], rows))


if __name__ == "__main__":
    main()
