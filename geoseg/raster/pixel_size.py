"""The grid a scene is read on: its own, or one with pixels of the model's size."""

from __future__ import annotations

import math

from geoseg.geometry.geobox import GeoBox

GSD_RATIO = 1.25
"""A scene whose pixels are more than this factor larger or smaller than the model's is read resampled."""

SQUARE = 0.02
"""Pixels whose ground sides differ by less than this share keep their shape (in EPSG:3857 by half a percent)."""

MAX_ENLARGEMENT = 16.0
"""Pixels this many times the model's are not cut into the model's: there would be nothing in them to see."""


def choose_grid(
    native: GeoBox, *, native_gsd: tuple[float, float] | None, gsd: float | None, resolution: str
) -> tuple[GeoBox | None, list[str]]:
    """The grid to resample to, None for the file's own; and notes."""
    notes = [] if native.crs is not None else ["no CRS: its pixel grid is kept as it is"]
    if gsd is None:
        return None, notes
    model = f"the model's {_metres(gsd)} m"
    if native_gsd is None or native.gcps or native.rpcs:
        why = "placed by GCPs or RPCs" if native.gcps or native.rpcs else "of unknown ground resolution"
        return None, [*notes, f"{why}: read as it is, not resampled to {model}"]
    across, down = native_gsd
    if abs(across / down - 1) < SQUARE:
        across = down = math.sqrt(across * down)
    ratio_x, ratio_y = gsd / across, gsd / down
    if all(1 / GSD_RATIO <= ratio <= GSD_RATIO for ratio in (ratio_x, ratio_y)):
        return None, notes
    found = f"{_metres(native_gsd[0])} x {_metres(native_gsd[1])} m per pixel"
    if resolution == "native":
        return None, [*notes, f"{found} against {model}: not resampled (--resolution native)"]
    if min(ratio_x, ratio_y) < 1 / MAX_ENLARGEMENT:
        return None, [*notes, f"{found} is too coarse for {model}: not resampled, expect little"]
    grid = native.resampled(ratio_x=ratio_x, ratio_y=ratio_y)
    return grid, [*notes, f"resampled from {found} to {model}: {grid.shape[1]} x {grid.shape[0]} pixels"]


def _metres(length: float) -> str:
    """Three figures, and no powers of ten."""
    return f"{length:,.0f}" if length >= 999.5 else f"{length:.3g}"
