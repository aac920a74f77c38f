"""What reading a scene costs that is stored in strips: in square tiles, and in tiles as wide as the scene.

    python benchmarks/strips.py [--width 16384] [--height 4096]

Three threads read, as in a run; processor seconds of reading alone, alternating, medians of three.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from common import WORK, machine, median, synthetic_scene, table

from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.tiles import TileGrid, make_tiles, make_wide_tiles
from geoseg.inference.tasks import SLOTS
from geoseg.raster.reading import read_window
from geoseg.raster.scene import SceneInfo, inspect_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--height", type=int, default=4096)
    asked = parser.parse_args()
    info = inspect_scene(_in_strips(asked.height, asked.width), bands=3, resolution="native")
    lattice = make_lattice(info.geobox.shape, context=768, halo=32, multiple=32)
    grids = {
        "square, 2048 px": make_tiles(lattice, stitch="crop", tile=2048),
        "as wide as the scene": make_wide_tiles(lattice, stitch="crop", tile=2048),
    }
    found: dict[str, list[float]] = {name: [] for name in grids}
    for _ in range(3):
        for name, grid in grids.items():
            found[name].append(_read(info, grid))
    print(f"{machine()}\n")
    rows = [(name, grids[name].count, f"{median(s):.2f} s") for name, s in found.items()]
    print(table(["tiles", "how many", "processor time of reading"], rows))


def _read(info: SceneInfo, grid: TileGrid) -> float:
    """Processor seconds of reading all tiles."""
    started = time.process_time()
    with ThreadPoolExecutor(SLOTS) as pool:
        list(pool.map(lambda tile: read_window(info.recipe, tile.read)[1].any(), grid))
    return time.process_time() - started


def _in_strips(height: int, width: int) -> Path:
    """A synthetic scene again and again side by side, deflated, in strips of GDAL's own height."""
    path = WORK / f"strips_{height}x{width}.tif"
    if not path.exists():
        with rasterio.open(synthetic_scene(1024)) as dataset:
            pixels = dataset.read()
        whole = np.tile(pixels, (1, -(-height // 1024), -(-width // 1024)))[:, :height, :width]
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", compress="deflate"
        ) as dataset:
            dataset.write(whole)
    return path


if __name__ == "__main__":
    main()
