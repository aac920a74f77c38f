"""What a user may ask of polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geoseg.errors import LegendError, PlanError
from geoseg.legend import Legend


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Options of ``export``.

    Raises:
        PlanError: if a number cannot be.
    """

    min_area: float = 0.0
    """Square metres (pixels where nothing tells their size); smaller regions go to a neighbour."""
    simplify: float = 0.0
    """Tolerance of simplified borders, metres (or pixels); 0 keeps the pixels' steps."""
    classes: Sequence[str | int] = ()
    """Ids or names of the classes to write; empty for all."""
    dissolve: bool = False
    """One multipolygon per class."""
    dst_crs: str | None = None
    """CRS of the polygons, e.g. ``EPSG:4326`` or WKT; None: the map's own."""
    overwrite: bool = False
    """Replace existing outputs."""
    tile: int = 1024
    """Side of the tiles that are traced at once, pixels; changes nothing but memory and the order of polygons."""

    def __post_init__(self) -> None:
        for name in ("min_area", "simplify"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise PlanError(f"{name} {value!r}: give a number from 0")
        if self.tile < 1:
            raise PlanError(f"tile {self.tile}: give 1 or more pixels")


def chosen_ids(wanted: Sequence[str | int], legend: Legend, *, where: str) -> frozenset[int]:
    """Ids of classes that are named by id or name; all of them if none is.

    Raises:
        LegendError: for one that the legend does not have.
    """
    by_name = {c.name: c.id for c in legend}
    found = set()
    for word in wanted:
        text = str(word).strip()
        if text in by_name:
            found.add(by_name[text])
        elif text.isdecimal() and int(text) in legend.ids:
            found.add(int(text))
        else:
            known = ", ".join(f"{c.id} {c.name}" for c in legend.classes[:8]) + (", …" if len(legend) > 8 else "")
            raise LegendError(f"class {text!r} is not in the legend of {where}: there are {known}")
    return frozenset(found or legend.ids)
