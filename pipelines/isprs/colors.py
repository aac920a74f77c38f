"""Between the colours of the ISPRS benchmarks and class ids: labels in, class maps out.

The distributed labels are not all of pure colours: ``top_potsdam_4_12_label.tif`` went through a lossy codec (tens of
thousands of colours, cyan as (9, 222, 221)), and ``top_potsdam_6_7_label.tif`` paints most cars (252, 255, 0). Read
exactly, the first would have no labels at all and the second hardly a car. So each colour goes to the nearest corner of
the RGB cube, within a tolerance, and what went where is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import GridError, SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import sized, split
from geoseg.legend import IGNORE, Legend
from geoseg.raster.datasets import open_dataset
from geoseg.raster.georeference import native_geobox
from geoseg.raster.geotiff import geotiff_writer
from geoseg.raster.label_codes import read_stored
from geoseg.raster.label_reading import label_reading, read_labels
from geoseg.raster.labels import inspect_labels
from isprs.benchmarks import LEGEND
from isprs.ledger import make_folder

Ids = npt.NDArray[np.uint8]

TOLERANCE = 96
"""Largest difference in any of red, green, blue from a pure colour. In the lossy label it stays below 88."""

MAX_SHIFT = 0.05
"""How far a label's georeference may lie from its image's, as a share of the side; it is taken pixel by pixel."""

_STRIP = 512
_BLACK, _NO_CLASS = 254, 253


def _corner_ids() -> Ids:
    """For each corner of the RGB cube (4 red + 2 green + 1 blue) the class id; black is a boundary."""
    table = np.full(8, _NO_CLASS, np.uint8)
    table[0] = _BLACK
    for c in LEGEND:
        table[sum(bit * (value == 255) for bit, value in zip((4, 2, 1), c.color, strict=True))] = c.id
    return table


_CORNERS = _corner_ids()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Pixel counts of a label."""

    classes: tuple[int, ...]
    """By class, in the legend's order."""
    boundary: int
    """Black: not scored."""
    snapped: int
    """Of a colour that is not pure, taken for the nearest one (black too)."""
    farthest: int
    """Largest difference in one channel among those."""
    unknown: int
    """Of no class's colour within the tolerance; not scored."""

    @classmethod
    def total(cls, tallies: Iterable[Tally]) -> Tally:
        """The counts of several together."""
        parts = list(tallies)
        return cls(
            classes=tuple(int(v) for v in np.sum([t.classes for t in parts], axis=0)) if parts else (0,) * len(LEGEND),
            boundary=sum(t.boundary for t in parts),
            snapped=sum(t.snapped for t in parts),
            farthest=max((t.farthest for t in parts), default=0),
            unknown=sum(t.unknown for t in parts),
        )

    def to_json(self) -> dict[str, Any]:
        """The counts as plain values, classes by name."""
        return {
            "classes": dict(zip(LEGEND.names, self.classes, strict=True)),
            "boundary": self.boundary,
            "snapped": self.snapped,
            "farthest": self.farthest,
            "unknown": self.unknown,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        """What ``to_json`` gave."""
        return cls(
            classes=tuple(data["classes"].values()),
            **{name: data[name] for name in ("boundary", "snapped", "farthest", "unknown")},
        )


def snap(colors: npt.NDArray[np.uint8], *, tolerance: int = TOLERANCE) -> tuple[Ids, Tally]:
    """Class ids (h, w) of colours (3, h, w), 255 where there is no class, and the counts."""
    high = colors >= 128
    found = _CORNERS[high[0] * np.uint8(4) + high[1] * np.uint8(2) + high[2]]
    distance = np.where(high, 255 - colors, colors).max(axis=0)
    found[distance > tolerance] = _NO_CLASS
    counts = np.bincount(found.ravel(), minlength=256)
    near = (distance > 0) & (found != _NO_CLASS)
    tally = Tally(
        classes=tuple(int(counts[i]) for i in LEGEND.ids),
        boundary=int(counts[_BLACK]),
        snapped=int(near.sum()),
        farthest=int(distance[near].max(initial=0)),
        unknown=int(counts[_NO_CLASS]),
    )
    return np.where(found >= _NO_CLASS, np.uint8(IGNORE), found), tally


def convert_label(path: Path, target: Path, *, grid: GeoBox, tolerance: int) -> tuple[Tally, float]:
    """Writes a colour-coded label as class ids on its image's grid, pixel by pixel, whole or not at all.

    Returns:
        The counts, and how many pixels the label's own georeference lies off its image's.

    Raises:
        SceneReadError: if the label cannot be read.
        SceneError: if it does not hold three bands of uint8, or no pixel has a class.
        GridError: if its size is not the image's, or it lies elsewhere.
        OutputError: if the target cannot be written.
    """
    with label_reading(str(path), None):
        dataset = open_dataset(path)
        own = native_geobox(dataset)
    shift = _shift(path, own, grid=grid)
    tallies = []
    colors = {c.id: c.color for c in LEGEND}
    make_folder(target)
    with geotiff_writer(target, geobox=grid, bands=1, dtype="uint8", nodata=IGNORE, colors=colors) as write:
        for window in split(grid.shape, size=(_STRIP, grid.shape[1])):
            with label_reading(str(path), window):
                values, _ = read_stored(dataset, window)
            if len(values) != 3 or values.dtype != np.uint8:
                raise SceneError(f"{path} has {len(values)} band(s) of {values.dtype}; the labels are RGB in uint8")
            ids, tally = snap(values, tolerance=tolerance)
            tallies.append(tally)
            write(ids[None], window)
        total = Tally.total(tallies)
        if not any(total.classes):
            raise SceneError(f"{path}: none of its {grid.shape[0] * grid.shape[1]:,} pixels has a colour of a class")
    return total, shift


def keep_classes(source: Path, target: Path, *, legend: Legend, grid: GeoBox) -> int:
    """Copies a label that ``convert_label`` wrote, 255 where its class is not of a legend.

    Returns:
        The pixels that keep a class.
    """
    full = inspect_labels(str(source), legend=LEGEND)
    kept = 0
    make_folder(target)
    colors = {c.id: c.color for c in legend}
    with geotiff_writer(target, geobox=grid, bands=1, dtype="uint8", nodata=IGNORE, colors=colors) as write:
        for window in split(grid.shape, size=(_STRIP, grid.shape[1])):
            ids = read_labels(full.recipe, window)
            known = np.isin(ids, legend.ids)
            kept += int(known.sum())
            write(np.where(known, ids, np.uint8(IGNORE))[None], window)
    return kept


def _shift(path: Path, own: GeoBox, *, grid: GeoBox) -> float:
    """Pixels between the corners of a label and of its image; 0 where one of them is not georeferenced."""
    if own.shape != grid.shape:
        raise GridError(
            f"{path} has {sized(own.shape)} pixels, its image {sized(grid.shape)}:"
            " unpack both again, or take the scene out of the folder"
        )
    if not (own.is_placed and grid.is_placed):
        return 0.0
    step = max(abs(v) for v in (*grid.transform[:2], *grid.transform[3:5]))
    height, width = grid.shape
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    moved = [abs(a - b) for c in corners for a, b in zip(own.world(*c), grid.world(*c), strict=True)]
    shift = max(moved) / step
    if shift > MAX_SHIFT * max(grid.shape) + 1:
        raise GridError(f"{path} lies {shift:,.0f} pixels off its image: is it the label of another scene?")
    return shift


def write_class_map(classes: Path, target: Path, *, grid: GeoBox) -> None:
    """Writes a class map in the benchmark's colours, RGB in uint8, on the scene's own grid; no class is black.

    Args:
        classes: what ``geoseg.predict`` wrote; taken by nearest neighbour if it is of another resolution.
        target: replaced when the new one is whole.
        grid: the scene's own grid.
    """
    table = np.zeros((3, 256), np.uint8)
    table[:, list(LEGEND.ids)] = np.transpose(LEGEND.colors)
    source = inspect_labels(str(classes), legend=LEGEND, onto=grid, native=grid)
    make_folder(target)
    with geotiff_writer(target, geobox=grid, bands=3, dtype="uint8") as write:
        for window in split(grid.shape, size=(_STRIP, grid.shape[1])):
            write(table[:, read_labels(source.recipe, window)], window)
