"""What lies in the folder in which a document's blocks run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from rasterio.windows import Window, transform

import geoseg


def furnish(folder: Path, bundle: Path) -> Path:
    """Fills a folder with small synthetic scenes and all that is made of them; gives it back.

    - ``scene.tif`` and ``truth.tif``, 480 x 320; ``held_out.tif`` and ``held_out_labels.tif``, the same elsewhere;
    - ``north.tif``, ``south.tif`` and ``tiles/``: the scene in two parts; ``scenes.csv`` lists the first two;
      ``truths/`` has their truths;
    - ``fields.gpkg``: a square of the scene, layer 2026; ``buildings.gpkg``, ``footprints.gpkg``: two squares each;
    - ``my.safetensors``: the untrained bundle.
    """
    shutil.copy(bundle, folder / "my.safetensors")
    for scene, truth, seed in (("scene", "truth", 5), ("held_out", "held_out_labels", 6)):
        geoseg.synth(folder / f"{scene}.tif", width=480, height=320, seed=seed, truth=folder / f"{truth}.tif")
    (folder / "tiles").mkdir()
    (folder / "truths").mkdir()
    shutil.copy(folder / "truth.tif", folder / "truths" / "scene.tif")
    for name, top in (("north", 0), ("south", 160)):
        part(folder / "scene.tif", folder / f"{name}.tif", top=top)
        part(folder / "truth.tif", folder / "truths" / f"{name}.tif", top=top)
        shutil.copy(folder / f"{name}.tif", folder / "tiles")
    (folder / "scenes.csv").write_text("scene\nnorth.tif\nsouth.tif\n")
    with rasterio.open(folder / "scene.tif") as scene:
        left, _, _, top = scene.bounds
    squares(folder / "fields.gpkg", [(left + 20, top - 120, left + 220, top - 20)], layer="2026")
    for name in ("buildings", "footprints"):
        squares(folder / f"{name}.gpkg", [(left, top - 5, left + 5, top), (left + 9, top - 5, left + 12, top)])
    return folder


def part(source: Path, target: Path, *, top: int) -> None:
    """Half of a raster: 160 rows from ``top`` on."""
    with rasterio.open(source) as scene:
        window = Window(0, top, scene.width, 160)
        profile = {**scene.profile, "height": 160, "transform": transform(window, scene.transform)}
        with rasterio.open(target, "w", **profile) as half:
            half.write(scene.read(window=window))


def squares(path: Path, boxes: list[tuple[float, float, float, float]], *, layer: str | None = None) -> None:
    """Rectangles (left, bottom, right, top) as polygons in the scenes' CRS."""
    shapes = shapely.to_wkb(np.array([shapely.box(*box) for box in boxes], object))
    numbers = [np.arange(len(boxes))]
    pyogrio.raw.write(path, shapes, numbers, ["n"], geometry_type="Polygon", crs="EPSG:32640", layer=layer)
