"""Where a pixel grid lies on the ground: CRS, affine transform, shape, and GCPs or RPCs if that is all there is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from geoseg.geometry.windows import sized

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x = a*col + b*row + c, y = d*col + e*row + f; (0, 0) is the corner of the first pixel."""

IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundControlPoint:
    """One tie between a pixel position and a place."""

    row: float
    col: float
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoBox:
    """The grid of a raster: everything but its pixels."""

    shape: tuple[int, int]
    """(height, width) in pixels."""
    transform: Transform = IDENTITY
    """Pixel to world; ``IDENTITY`` where the raster has none (then world coordinates are pixels)."""
    crs: str | None = None
    """Coordinate reference system as WKT, None if unknown; also the CRS of the GCPs where there are any."""
    gcps: tuple[GroundControlPoint, ...] = ()
    """Ground control points, in place of a transform."""
    rpcs: tuple[tuple[str, str], ...] = ()
    """Rational polynomial coefficients as GDAL's RPC metadata items, sorted by name."""

    @property
    def is_rotated(self) -> bool:
        """True if rows and columns do not run along the world's axes."""
        return self.transform[1] != 0.0 or self.transform[3] != 0.0

    @property
    def is_placed(self) -> bool:
        """True if anything ties pixels to a world beyond their own numbers."""
        return self.transform != IDENTITY or bool(self.gcps) or bool(self.rpcs)

    def world(self, col: float, row: float) -> tuple[float, float]:
        """(x, y) of a pixel position."""
        a, b, c, d, e, f = self.transform
        return a * col + b * row + c, d * col + e * row + f

    def gsd(self) -> tuple[float, float] | None:
        """Ground metres per pixel (along columns, along rows) at the scene's centre; None if nothing tells.

        The steps to the next column and row are measured on the CRS's own ellipsoid, which is cos(latitude) for
        EPSG:3857, a geodesic for degrees, and the plain step (to the projection's scale) for metres or feet.
        """
        if self.crs is None or self.transform == IDENTITY or self.gcps:
            return None
        import pyproj  # not at the top: 0.1 s that `import geoseg` need not pay

        height, width = self.shape
        col, row = width / 2, height / 2
        points = [self.world(col, row), self.world(col + 1, row), self.world(col, row + 1)]
        try:
            crs = pyproj.CRS.from_wkt(self.crs)
            geodetic, geod = crs.geodetic_crs, crs.get_geod()
            if geodetic is None or geod is None:
                return None
            to_degrees = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True)
            lon, lat = to_degrees.transform([p[0] for p in points], [p[1] for p in points])
            _, _, metres = geod.inv([lon[0]] * 2, [lat[0]] * 2, lon[1:], lat[1:])
        except (pyproj.exceptions.ProjError, ValueError):
            return None
        across, down = float(metres[0]), float(metres[1])
        if not (math.isfinite(across) and math.isfinite(down)) or across <= 0 or down <= 0:
            return None
        return across, down

    def resampled(self, *, ratio_x: float, ratio_y: float) -> GeoBox:
        """The same ground with pixels ``ratio_x`` times as wide and ``ratio_y`` times as high; sizes round up.

        GCPs and RPCs speak of the old pixels and are left out.
        """
        a, b, c, d, e, f = self.transform
        height, width = self.shape
        return replace(
            self,
            shape=(max(1, math.ceil(height / ratio_y)), max(1, math.ceil(width / ratio_x))),
            transform=(a * ratio_x, b * ratio_y, c, d * ratio_x, e * ratio_y, f),
            gcps=(),
            rpcs=(),
        )

    def difference(self, other: GeoBox) -> str | None:
        """How two grids differ, in words with numbers; None if they are the same.

        Transforms count as equal when no corner of the scene moves by more than a hundredth of a pixel. A grid that
        is not placed at all is compared by shape only. CRS are compared as pyproj does.
        """
        if self.shape != other.shape:
            return f"{sized(self.shape)} pixels against {sized(other.shape)}"
        if not (self.is_placed and other.is_placed) or (self.gcps or other.gcps):
            return None
        if self.crs is not None and other.crs is not None and self.crs != other.crs:
            import pyproj

            left, right = pyproj.CRS.from_wkt(self.crs), pyproj.CRS.from_wkt(other.crs)
            if not left.equals(right, ignore_axis_order=True):
                return f"CRS {left.name!r} against {right.name!r}"
        step = max(abs(self.transform[0]), abs(self.transform[1]), abs(self.transform[3]), abs(self.transform[4]))
        for col, row in ((0, 0), (0, self.shape[0]), (self.shape[1], 0), (self.shape[1], self.shape[0])):
            (x0, y0), (x1, y1) = self.world(col, row), other.world(col, row)
            moved = max(abs(x0 - x1), abs(y0 - y1)) / step
            if moved > 0.01:
                return f"the corner at column {col}, row {row} lies {moved:.2f} pixels apart"
        return None

    def to_json(self) -> dict[str, Any]:
        """The grid as plain values; ``from_json`` is the inverse."""
        return {
            "shape": list(self.shape),
            "transform": list(self.transform),
            "crs": self.crs,
            "gcps": [[p.row, p.col, p.x, p.y, p.z] for p in self.gcps],
            "rpcs": [list(item) for item in self.rpcs],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GeoBox:
        """A grid from what ``to_json`` gave."""
        a, b, c, d, e, f = (float(v) for v in data["transform"])
        return cls(
            shape=(int(data["shape"][0]), int(data["shape"][1])),
            transform=(a, b, c, d, e, f),
            crs=data["crs"],
            gcps=tuple(
                GroundControlPoint(row=row, col=col, x=x, y=y, z=z) for row, col, x, y, z in data.get("gcps", [])
            ),
            rpcs=tuple((str(k), str(v)) for k, v in data.get("rpcs", [])),
        )
