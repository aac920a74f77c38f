"""Regions as rows of a table: geometry in the CRS that is asked for, and the attributes of polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geoseg.errors import SceneError
from geoseg.legend import Legend
from geoseg.polygons.ground import Ground
from geoseg.polygons.regions import Regions
from geoseg.polygons.shapes import collected, polygons_of, turns_over
from geoseg.raster.class_map import ClassMap
from geoseg.raster.crs import area_around, crs_name, operation_between, same_crs, transformer_of, turn_of, wkt_of_user
from geoseg.raster.styles import CLASS_FIELD

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMaker:
    """Makes rows of regions; made by ``row_maker``."""

    ground: Ground
    schema: pa.Schema
    crs: str | None
    """WKT of the polygons' CRS; None for none."""
    operation: str | None
    """PROJ's pipeline to it; None where it is the map's own."""
    turn: float | None
    """A full turn in that CRS, if it is in longitude and latitude and not the map's own."""
    middle: float
    """x of the scene's middle in it."""
    legend: Legend
    scene: str
    model: str | None
    notes: tuple[str, ...]

    def batch(self, regions: Regions) -> pa.RecordBatch:
        """One row per region.

        Raises:
            SceneError: if a polygon has no place in the CRS that is asked for.
        """
        areas, perimeters = self.ground.measure(regions)
        facts = regions.facts
        return self._rows(self._shapes(regions), facts.classes, areas, perimeters, facts.percent, facts.measured)

    def dissolved(self, regions: Regions) -> pa.RecordBatch:
        """One row per class: a multipolygon, with sums over its regions.

        Raises:
            SceneError: if a polygon has no place in the CRS that is asked for.
        """
        areas, perimeters = self.ground.measure(regions)
        facts = regions.facts
        classes, group = np.unique(facts.classes, return_inverse=True)
        area, perimeter, percent, measured = (
            np.bincount(group, weights=part, minlength=len(classes))
            for part in (areas, perimeters, facts.percent, facts.measured)
        )
        shapes = collected(self._shapes(regions), group, count=len(classes))
        return self._rows(shapes, classes, area, perimeter, percent, measured)

    def _shapes(self, regions: Regions) -> Any:
        return polygons_of(regions, self._place, flip=turns_over(self.ground.transform))

    def _rows(
        self,
        shapes: Any,
        classes: npt.NDArray[np.uint8],
        areas: npt.NDArray[Any],
        perimeters: npt.NDArray[Any],
        percent: npt.NDArray[Any],
        measured: npt.NDArray[Any],
    ) -> pa.RecordBatch:
        import shapely

        count = len(classes)
        names = np.full(256, None, object)
        for c in self.legend:
            names[c.id] = c.name
        columns = [
            pa.array(classes, pa.int32()),
            pa.array(names[classes], pa.string()),
            pa.array(areas, pa.float64()),
            pa.array(perimeters, pa.float64()),
        ]
        if "confidence" in self.schema.names:
            known = measured > 0
            columns.append(pa.array(percent / np.where(known, measured, 1), pa.float64(), mask=~known))
        columns += [
            pa.array([self.scene] * count, pa.string()),
            pa.array([self.model] * count, pa.string()),
            pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _place(self, corners: npt.NDArray[Any]) -> Points:
        """Pixel corners (n, 2) in the CRS of the polygons."""
        places = self.ground.world(corners)
        if self.operation is None:
            return places
        x, y = transformer_of(self.operation).transform(places[:, 0], places[:, 1])
        found = np.column_stack([x, y])
        if not np.isfinite(found).all():
            raise SceneError(f"--dst-crs {crs_name(self.crs)}: parts of the map have no place in it; choose another")
        if self.turn is not None:
            found[:, 0] -= np.round((found[:, 0] - self.middle) / self.turn) * self.turn
        return found


def row_maker(source: ClassMap, ground: Ground, *, dst_crs: str | None) -> RowMaker:
    """What makes the rows of a map's regions.

    Args:
        source: the map.
        ground: of its grid.
        dst_crs: CRS of the polygons as a user names it; None: the map's own.

    Raises:
        SceneError: if it is unknown, there is no way to it, or the map is nowhere.
    """
    box = source.geobox
    own = None if box.gcps or box.rpcs else box.crs
    fields = [
        (CLASS_FIELD, pa.int32()),
        ("name", pa.string()),
        ("area_m2" if ground.unit == "m" else "area_px", pa.float64()),
        (f"perimeter_{ground.unit}", pa.float64()),
        *([("confidence", pa.float64())] if source.confidence is not None else []),
        ("scene", pa.string()),
        ("model", pa.string()),
        ("geometry", pa.binary()),
    ]
    crs, operation, turn, middle = own, None, None, 0.0
    notes: tuple[str, ...] = ()
    if dst_crs is not None:
        if own is None:
            raise SceneError(f"--dst-crs {dst_crs}: the map has no CRS to come from; leave it out")
        crs = wkt_of_user(dst_crs)
        if not same_crs(own, crs):
            operation, notes = operation_between(own, crs, area_around(box))
            turn = turn_of(crs)
            height, width = box.shape
            middle = float(transformer_of(operation).transform(*box.world(width / 2, height / 2))[0])
    return RowMaker(
        ground=ground,
        schema=pa.schema(fields),
        crs=crs,
        operation=operation,
        turn=turn,
        middle=middle,
        legend=source.legend,
        scene=source.scene,
        model=source.model,
        notes=notes,
    )
