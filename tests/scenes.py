"""Small scenes that tests write for themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine

UTM = Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 4_000_000.0)


def write_scene(
    path: Path, pixels: npt.NDArray[Any], *, valid: npt.NDArray[np.bool_] | None = None, **profile: Any
) -> Path:
    """A GeoTIFF of pixels (C, H, W), in UTM zone 33N at 2 m unless said otherwise."""
    bands, height, width = pixels.shape
    settings = {"crs": "EPSG:32633", "transform": UTM, "tiled": True, "blockxsize": 64, "blockysize": 64, **profile}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype, **settings
    ) as target:
        target.write(pixels)
        if valid is not None:
            target.write_mask(valid)
    return path


def random_pixels(shape: tuple[int, int], *, seed: int = 0, bands: int = 3) -> npt.NDArray[np.uint8]:
    """Smooth random colours (C, H, W): patches differ, neighbours do not."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (bands, -(-shape[0] // 7), -(-shape[1] // 7)), dtype=np.uint8)
    fine = coarse.repeat(7, axis=1).repeat(7, axis=2)[:, : shape[0], : shape[1]]
    return (fine // 2 + random.integers(0, 127, fine.shape, dtype=np.uint8)).astype(np.uint8)
