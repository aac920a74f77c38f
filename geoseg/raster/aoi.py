"""The area of interest: polygons on a scene's grid, burnt window by window, and the tiles they touch.

A pixel is inside if its centre is; a centre exactly on an edge belongs to the pixel on the edge's right or below.
GDAL's own burning rounds relative to the window it works on, so that an edge through pixel centres could fall
differently in two windows; here each crossing of a row with an edge is computed in pixels of the whole grid, and
any window gives the bytes of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import GeoBox, Transform
from geoseg.geometry.windows import Window

_Float = npt.NDArray[np.float64]
_Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaOfInterest:
    """Polygons in the CRS of a grid. Picklable and hashable."""

    wkb: str
    """A valid polygon or multipolygon as hexadecimal WKB."""
    transform: Transform
    """Pixel to world of the grid that is read."""

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal."""
        return hashlib.sha256(f"{self.wkb} {self.transform}".encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The area as plain values; ``from_json`` is the inverse."""
        return {"wkb": self.wkb, "transform": list(self.transform)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AreaOfInterest:
        """An area from what ``to_json`` gave."""
        a, b, c, d, e, f = (float(value) for value in data["transform"])
        return cls(wkb=data["wkb"], transform=(a, b, c, d, e, f))

    def pixels(self, shape: tuple[int, int]) -> int:
        """Its area on a grid of ``shape`` (height, width), in pixels, rounded."""
        import shapely

        inside: float = shapely.intersection(_in_pixels(self), shapely.box(0, 0, shape[1], shape[0])).area
        return round(inside)


def inside(area: AreaOfInterest, window: Window) -> _Bool:
    """(h, w) True where the centre of a pixel lies inside the area."""
    flips = np.zeros((window.height, window.width + 1), dtype=np.uint8)
    x1, y1, x2, y2 = _edges(area)
    # A row at y crosses an edge if one end lies at or above it and the other strictly below: each vertex counts once.
    first = np.clip(np.ceil(np.minimum(y1, y2) - 0.5), window.row_off, window.row_stop).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y1, y2) - 0.5), window.row_off, window.row_stop).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    slope = (x2[edge] - x1[edge]) / (y2[edge] - y1[edge])
    crossing = x1[edge] + (rows + 0.5 - y1[edge]) * slope
    columns = np.clip(np.ceil(crossing - 0.5), window.col_off, window.col_stop).astype(np.int64) - window.col_off
    np.bitwise_xor.at(flips, (rows - window.row_off, columns), 1)
    return np.bitwise_xor.accumulate(flips[:, :-1], axis=1).astype(np.bool_)


def touched(area: AreaOfInterest, rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> _Bool:
    """(len(rows), len(columns)) True where the area meets the box of a row span and a column span, [start, stop)."""
    import shapely

    polygon = _in_pixels(area)
    shapely.prepare(polygon)
    left, right = np.array(columns, dtype=np.float64).T
    found = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    for index, (top, bottom) in enumerate(rows):
        found[index] = shapely.intersects(polygon, shapely.box(left, float(top), right, float(bottom)))
    return found


def area_on(polygon: Any, box: GeoBox) -> AreaOfInterest:
    """The area of a shapely polygon or multipolygon in the CRS of ``box``."""
    import shapely

    return AreaOfInterest(wkb=shapely.to_wkb(polygon, hex=True, output_dimension=2), transform=box.transform)


@lru_cache(maxsize=4)
def _in_pixels(area: AreaOfInterest) -> Any:
    """The polygon in pixels of the grid."""
    import shapely
    from rasterio.transform import Affine

    a, b, c, d, e, f = (~Affine(*area.transform))[:6]

    def to_pixels(points: _Float) -> _Float:
        x, y = points.T
        return np.column_stack([x * a + y * b + c, x * d + y * e + f])

    return shapely.transform(shapely.from_wkb(area.wkb), to_pixels)


@lru_cache(maxsize=4)
def _edges(area: AreaOfInterest) -> tuple[_Float, _Float, _Float, _Float]:
    """x1, y1, x2, y2 of all edges of all rings, pixels; horizontal ones cross no row and are left out."""
    import shapely

    rings = shapely.get_rings(shapely.get_parts(_in_pixels(area)))
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    together = ring[1:] == ring[:-1]
    start, end = coordinates[:-1][together], coordinates[1:][together]
    sloping = start[:, 1] != end[:, 1]
    start, end = start[sloping], end[sloping]
    return start[:, 0], start[:, 1], end[:, 0], end[:, 1]
