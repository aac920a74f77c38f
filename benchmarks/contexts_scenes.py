"""The scenes of `benchmarks/contexts.py`: which there are, how they are split, and those that are made once.

Splits are by place, never by window of one scene:

- *dubai* (1 m): test tile4; calibration tile8, which nothing is learnt from; training tiles 1, 2, 6, 7. Of the other
  scenes tile8 is nearest to tile4: class shares (building 21 %, land 47, road 12, vegetation 15, water 6; tile4 40, 29,
  13, 7, 11) and manner of labelling (a built-up plot is a building; tiles 1 and 2 have houses one by one), and tile7,
  labelled in that manner too, is left to learn from. Tile6 has hardly a building or a road.
- *dubai2m*: the same at half the resolution.
- *monterey*: the photographs lie on a grid of 608 px along a coast; runs of grid rows with a gap between them are
  blocks. No two photographs of different parts adjoin.
- *synthetic*: small procedural scenes, for trying the script.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from contexts_grid import Dataset, LabelledPair
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.windows import Window

import geoseg

IGNORE = 255
_STRIP = 1024  # rows that are read at once; even, and whole blocks of the files
_PHOTO = 608  # side of a Monterey photograph, pixels
_DARK = 16  # a Monterey pixel darker than this in every band, and not labelled, is a hole, black but for JPEG noise

_DUBAI_LEGEND = [
    {"id": 0, "name": "building", "color": [200, 60, 50]},
    {"id": 1, "name": "land", "color": [222, 200, 150]},
    {"id": 2, "name": "road", "color": [110, 110, 120]},
    {"id": 3, "name": "vegetation", "color": [80, 150, 70]},
    {"id": 4, "name": "water", "color": [60, 120, 190]},
]
_MONTEREY_LEGEND = [
    {"id": 1, "name": "water", "color": [60, 120, 190]},
    {"id": 2, "name": "marsh", "color": [60, 150, 140]},
    {"id": 3, "name": "agriculture", "color": [190, 200, 90]},
    {"id": 4, "name": "beach", "color": [240, 225, 170]},
    {"id": 5, "name": "foredune", "color": [200, 190, 120]},
    {"id": 6, "name": "dense dune", "color": [70, 120, 60]},
    {"id": 7, "name": "sparse dune", "color": [150, 170, 100]},
    {"id": 8, "name": "bare dune", "color": [225, 200, 150]},
    {"id": 9, "name": "iceplant", "color": [160, 90, 110]},
    {"id": 10, "name": "pavement", "color": [110, 110, 120]},
    {"id": 11, "name": "other", "color": [200, 60, 50]},
]
MONTEREY_ROWS = {
    "train": ((1, 5), (8, 9), (30, 37), (46, 49), (60, 67), (70, 74), (76, 78)),
    "calibration": ((16, 19),),
    "test": ((12, 14), (40, 44)),
}
"""First and last grid row of each block. Marsh is only in rows 8, 12: one block to learn from, one to test on."""


def dataset(name: str, *, data: Path, scenes: Path) -> Dataset:
    """A dataset by name, its files made or not.

    Args:
        name: a key of ``MAKERS``.
        data: the folder of real scenes.
        scenes: where those that are made lie.
    """
    if name == "dubai":
        folder = data / "dubai"
        return _dubai(name, "at 1 m", 1.0, lambda n: (folder / f"tile{n}.tif", folder / f"tile{n}_mask.png"))
    if name == "dubai2m":
        made = scenes / name
        return _dubai(name, "at 2 m", 2.0, lambda n: (made / f"tile{n}.tif", made / f"tile{n}_labels.tif"))
    made = scenes / name
    if name == "monterey":
        parts = {
            part: tuple(_made(made, f"rows_{first:02}_{last:02}", weight=last - first + 1) for first, last in blocks)
            for part, blocks in MONTEREY_ROWS.items()
        }
        about = (
            "monterey, 0.4-0.5 m, eleven classes; split by runs of grid rows along the coast:"
            f" test {MONTEREY_ROWS['test']}, calibration {MONTEREY_ROWS['calibration']}, training the others"
        )
        return Dataset(name=name, about=about, gsd=None, legend=_MONTEREY_LEGEND, **parts)
    from geoseg.synthesis.legend import LEGEND

    return Dataset(
        name="synthetic",
        about="procedural scenes of 192 x 192 px: says nothing of the method",
        gsd=None,
        legend=LEGEND.to_json(),
        train=(_made(made, "seed_54"),),  # small as they are, these seeds have every class
        calibration=(_made(made, "seed_55"),),
        test=(_made(made, "seed_36"), _made(made, "seed_25")),
    )


def prepare(found: Dataset, *, data: Path) -> None:
    """Makes the files of a dataset that are not there; a real one that is missing is an error."""
    missing = [pair for pair in found.pairs if not (pair.image.exists() and pair.labels.exists())]
    maker = MAKERS[found.name]
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    for pair in missing:
        if maker is None:
            raise SystemExit(f"{pair.image} or {pair.labels} is missing: give the folder of real scenes with --data")
        pair.image.parent.mkdir(parents=True, exist_ok=True)
        parts = LabelledPair(image=_part(pair.image), labels=_part(pair.labels))
        maker(pair.image.stem, parts, data)
        parts.labels.replace(pair.labels)
        parts.image.replace(pair.image)


def halved(pair: LabelledPair, *, image: Path, labels: Path) -> None:
    """Writes a pair at half the resolution: means of 2 x 2 pixels, and the label of the first of them.

    An odd last row or column is left out. The files have no georeferencing; they get a nominal place on a metric grid,
    so that their 2 m are known.
    """
    with rasterio.open(image) as source, rasterio.open(labels) as truth:
        height, width = (n // 2 for n in source.shape)
        with _create(pair.image, shape=(height, width), bands=3, pixel=2.0) as target:
            for rows, window in _strips(height, width):
                full = source.read([1, 2, 3], window=window).astype(np.uint16)
                sums = full.reshape(3, rows.height, 2, width, 2).sum(axis=(2, 4))
                target.write(((sums + 2) // 4).astype(np.uint8), window=rows)
        with _create(pair.labels, shape=(height, width), bands=1, pixel=2.0, nodata=IGNORE) as target:
            for rows, window in _strips(height, width):
                target.write(truth.read(1, window=window)[::2, ::2], 1, window=rows)


def _make_dubai2m(stem: str, pair: LabelledPair, data: Path) -> None:
    halved(pair, image=data / "dubai" / f"{stem}.tif", labels=data / "dubai" / f"{stem}_mask.png")


def _make_monterey(stem: str, pair: LabelledPair, data: Path) -> None:
    """The photographs of a block on their common grid, holes between them; holes are 0 in every band."""
    first, last = (int(v) for v in stem.split("_")[1:])
    folder = data / "monterey"
    found = {}
    for path in sorted((folder / "images").glob("ortho_*.jpg")):
        col, row = (int(v) // _PHOTO for v in path.stem.split("_")[1:3])
        if first <= row <= last:
            found[row, col] = path
    top, left = (min(place[axis] for place in found) for axis in (0, 1))
    bottom, right = (max(place[axis] for place in found) for axis in (0, 1))
    shape = ((bottom - top + 1) * _PHOTO, (right - left + 1) * _PHOTO)
    pixels, labels = np.zeros((3, *shape), np.uint8), np.full(shape, IGNORE, np.uint8)
    for (row, col), path in found.items():
        at = np.s_[(row - top) * _PHOTO : (row - top + 1) * _PHOTO, (col - left) * _PHOTO : (col - left + 1) * _PHOTO]
        with rasterio.open(path) as source, rasterio.open(folder / "labels" / f"{path.stem}.png") as truth:
            colours, ids = source.read(), truth.read(1)
        hole = (colours.max(axis=0) < _DARK) & (ids == IGNORE)
        pixels[:, at[0], at[1]] = np.where(hole, 0, colours)
        labels[at] = ids
    _write(pair, pixels, labels)


def _make_synthetic(stem: str, pair: LabelledPair, data: Path) -> None:
    del data
    seed = int(stem.split("_")[1])
    geoseg.synth(pair.image, width=192, height=192, seed=seed, truth=pair.labels, overwrite=True)


MAKERS: Mapping[str, Callable[[str, LabelledPair, Path], None] | None] = {
    "dubai": None,
    "dubai2m": _make_dubai2m,
    "monterey": _make_monterey,
    "synthetic": _make_synthetic,
}
"""How the files of a dataset are made; None: they are there or they are not."""


def _dubai(name: str, resolution: str, gsd: float, files: Callable[[int], tuple[Path, Path]]) -> Dataset:
    def pair(number: int, weight: float = 1.0) -> LabelledPair:
        image, labels = files(number)
        return LabelledPair(image=image, labels=labels, weight=weight)

    return Dataset(
        name=name,
        about=f"dubai {resolution}, five classes; test tile4, calibration tile8, training tiles 1, 2, 6, 7",
        gsd=gsd,
        legend=_DUBAI_LEGEND,
        train=(pair(1, 0.18), pair(2, 0.12), pair(6, 0.15), pair(7, 0.55)),
        calibration=(pair(8),),
        test=(pair(4),),
    )


def _made(folder: Path, stem: str, *, weight: float = 1.0) -> LabelledPair:
    return LabelledPair(image=folder / f"{stem}.tif", labels=folder / f"{stem}_labels.tif", weight=float(weight))


def _part(path: Path) -> Path:
    return path.with_name(f"part_{path.name}")


def _strips(height: int, width: int) -> list[tuple[Window, Window]]:
    """Strips of the halved scene, each with its window of the full one."""
    half = _STRIP // 2
    return [
        (Window(0, top, width, n), Window(0, 2 * top, 2 * width, 2 * n))
        for top in range(0, height, half)
        for n in [min(half, height - top)]
    ]


def _write(pair: LabelledPair, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
    with _create(pair.image, shape=labels.shape, bands=3, nodata=0) as target:
        target.write(pixels)
    with _create(pair.labels, shape=labels.shape, bands=1, nodata=IGNORE) as target:
        target.write(labels, 1)


def _create(path: Path, *, shape: tuple[int, ...], bands: int, pixel: float | None = None, **profile: Any) -> Any:
    """A tiled GeoTIFF of uint8, deflated; with a pixel size in metres also a nominal place in UTM zone 40N."""
    place = {} if pixel is None else {"crs": "EPSG:32640", "transform": Affine(pixel, 0, 3e5, 0, -pixel, 2.8e6)}
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=shape[0],
        width=shape[1],
        dtype="uint8",
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        predictor=2 if bands > 1 else 1,
        **place,
        **profile,
    )
