"""Folders laid out as the ISPRS archives unpack, of a few small scenes that a network can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine
from scipy import ndimage

COLORS = np.array(
    [(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0), (0, 0, 0)], np.uint8
)
"""Of the six classes, then of eroded boundaries (6)."""

LOOKS = np.array([(110, 110, 115), (180, 70, 60), (120, 160, 80), (40, 90, 40), (220, 220, 235), (150, 120, 200)])
"""Mean pixel of each class in the images."""

Ids = npt.NDArray[np.uint8]


def truth(seed: int, *, shape: tuple[int, int]) -> Ids:
    """Class ids (h, w): cells around random points, every class among them."""
    random = np.random.default_rng(seed)
    count = 30
    points = random.uniform(0, 1, (count, 2)) * shape
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    nearest = np.argmin([(rows - y) ** 2 + (cols - x) ** 2 for y, x in points], axis=0)
    return random.permutation(np.arange(count) % 6).astype(np.uint8)[nearest]


def eroded(ids: Ids) -> Ids:
    """The same with 6 within three pixels of a boundary, as the benchmark's discs do."""
    same = ndimage.maximum_filter(ids, 3) == ndimage.minimum_filter(ids, 3)
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2.3
    return np.where(ndimage.binary_erosion(same, disc, border_value=1), ids, np.uint8(6))


def write(path: Path, pixels: npt.NDArray[np.uint8], *, gsd: float, crs: str | None, shift: float = 0.0) -> Path:
    """An RGB TIFF of pixels (3, h, w)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"transform": Affine(gsd, 0, 366_676.0 + shift * gsd, 0, -gsd, 5_807_000.0), "crs": crs}
    options = {"height": pixels.shape[1], "width": pixels.shape[2], "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", driver="GTiff", **options, **place) as target:
        target.write(pixels)
    return path


def picture(ids: Ids, *, seed: int) -> npt.NDArray[np.uint8]:
    """An image (3, h, w) of a scene."""
    noise = np.random.default_rng(seed).normal(0, 12, (*ids.shape, 3))
    return (LOOKS[ids] + noise).clip(1, 254).astype(np.uint8).transpose(2, 0, 1)


def paint(ids: Ids) -> npt.NDArray[np.uint8]:
    """A label (3, h, w) in the benchmark's colours."""
    return COLORS[ids].transpose(2, 0, 1)


def impure(label: npt.NDArray[np.uint8], *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """What a lossy codec leaves of a label: every channel off by up to 60, none of the pixels unchanged."""
    off = np.random.default_rng(seed).integers(1, 61, label.shape)
    return np.where(label > 127, 255 - off, off).astype(np.uint8)


def potsdam(folder: Path) -> dict[str, Ids]:
    """A Potsdam folder; the truth of every scene by id.

    Three training scenes with labels (4_12 in impure colours and 0.4 px off its image, without a CRS), one without,
    and three test scenes: one with both labels, one without the eroded one, one without any.
    """
    scenes = {}
    shapes = {"2_10": (96, 128), "2_11": (128, 128), "4_12": (128, 112), "7_7": (64, 64)}
    shapes |= {"2_13": (112, 160), "3_13": (96, 96), "7_13": (100, 90)}
    for seed, (name, shape) in enumerate(shapes.items()):
        ids = scenes[name] = truth(seed, shape=shape)
        image = folder / "2_Ortho_RGB" / f"top_potsdam_{name}_RGB.tif"
        write(image, picture(ids, seed=seed), gsd=0.05, crs="EPSG:32633")
        if name in ("7_7", "7_13"):
            continue
        label = impure(paint(ids)) if name == "4_12" else paint(ids)
        where = {"crs": None, "shift": 0.4} if name == "4_12" else {"crs": "EPSG:32633"}
        write(folder / "5_Labels_all" / f"top_potsdam_{name}_label.tif", label, gsd=0.05, **where)  # type: ignore[arg-type]
        if name != "3_13":
            place = folder / "5_Labels_all_noBoundary" / f"top_potsdam_{name}_label_noBoundary.tif"
            write(place, paint(eroded(ids)), gsd=0.05, crs="EPSG:32633")
    return scenes


def vaihingen(folder: Path) -> dict[str, Ids]:
    """A Vaihingen folder: images and labels of one name, nothing georeferenced by a CRS; the truth by id."""
    scenes = {}
    for seed, name in enumerate(("1", "3", "5", "2", "38")):
        ids = scenes[name] = truth(40 + seed, shape=(96 + 8 * seed, 112))
        file = f"top_mosaic_09cm_area{name}"
        write(folder / "top" / f"{file}.tif", picture(ids, seed=seed), gsd=0.09, crs=None)
        write(folder / "gts_for_participants" / f"{file}.tif", paint(ids), gsd=0.09, crs=None)
        place = folder / "gts_eroded_for_participants" / f"{file}_noBoundary.tif"
        write(place, paint(eroded(ids)), gsd=0.09, crs=None)
    return scenes
