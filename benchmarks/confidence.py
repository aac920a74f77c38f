"""How honest the default model's confidence is, and what a temperature fitted elsewhere does to it.

    python benchmarks/confidence.py DUBAI/

DUBAI/ holds tile4.tif and tile4_mask.png, the one real scene that the default model did not learn from. Prints a table
of ECE (see geoseg.evaluation.confidence) over whole scenes, rows by what the temperature was fitted on.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import rasterio
from rasterio.windows import Window

import geoseg
from geoseg.models.bundle import default_bundle_path

Pair = tuple[Path, Path]


def synthetic(folder: Path, seed: int, size: tuple[int, int]) -> Pair:
    scene, truth = folder / f"synth{seed}.tif", folder / f"synth{seed}_truth.tif"
    geoseg.synth(scene, width=size[1], height=size[0], seed=seed, truth=truth)
    return scene, truth


def half(folder: Path, pair: Pair, side: str) -> Pair:
    """The west or east half of a scene and its truth."""
    made = []
    for path in pair:
        with rasterio.open(path) as source:
            middle = source.width // 2
            start, stop = (0, middle) if side == "west" else (middle, source.width)
            values = source.read(window=Window(start, 0, stop - start, source.height))
        target = folder / f"{side}_{path.stem}.tif"
        bands, height, width = values.shape
        with rasterio.open(
            target, "w", driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype
        ) as out:
            out.write(values)
        made.append(target)
    return made[0], made[1]


def error(folder: Path, model: Path, pair: Pair) -> tuple[float, float]:
    """ECE and mIoU of a scene."""
    store = folder / "map.zarr"
    geoseg.predict(pair[0], outputs=store, model=model, confidence=True, overwrite=True, restart=True)
    metrics = geoseg.evaluate(store, pair[1], calibration=True, write=False).metrics
    return metrics["calibration"]["ece"], metrics["miou"]


def main(dubai: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tile4 = (dubai / "tile4.tif", dubai / "tile4_mask.png")
        scenes = {
            "tile4": tile4,
            "tile4, east half": half(folder, tile4, "east"),
            "synthetic, seed 2026": synthetic(folder, 2026, (2000, 3000)),
        }
        sources = {
            "nothing": None,
            "synthetic, seed 101": synthetic(folder, 101, (1600, 1600)),
            "tile4, west half": half(folder, tile4, "west"),
        }
        print("| fitted on | temperature |", " | ".join(scenes), "|")
        print("| --- " * (len(scenes) + 2) + "|")
        for title, source in sources.items():
            model = default_bundle_path()
            if source is not None:
                model = folder / "fitted.safetensors"
                geoseg.calibrate(default_bundle_path(), scenes=[source], fit="temperature", output=model)
            found = [error(folder, model, pair) for pair in scenes.values()]
            cells = " | ".join(f"{ece:.4f} (mIoU {miou:.4f})" for ece, miou in found)
            print(f"| {title} | {geoseg.open_bundle(model).card.temperature:.3f} | {cells} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
