"""From a class map that is whole to files of polygons: what ``export`` and ``predict`` have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.inference.machine import core_count
from geoseg.legend import Legend
from geoseg.polygons.chains import Vertices
from geoseg.polygons.flow import in_order, polygonise
from geoseg.polygons.ground import LONGEST, Ground, ground_of
from geoseg.polygons.regions import Regions
from geoseg.raster.class_map import ClassMap
from geoseg.raster.polygon_rows import RowMaker, row_maker
from geoseg.raster.vector import VectorLayer, staged, write_vectors
from geoseg.verbs.export_options import ExportOptions, chosen_ids

OnStage = Callable[[str, int, int], None]


@dataclass(slots=True, kw_only=True)
class Totals:
    """What was written, counted on the way."""

    unit: str = "m"
    rows: int = 0
    regions: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    """Regions of each class id."""
    areas: Counter[int] = field(default_factory=Counter)
    """Area of each class id."""
    notes: tuple[str, ...] = ()

    def of_classes(self, legend: Legend) -> tuple[dict[str, Any], ...]:
        """Id, name, regions and area of each class that occurs."""
        return tuple(
            {
                "id": c.id,
                "name": c.name,
                "regions": self.counts[c.id],
                f"area_{self.unit}{_SQUARE[self.unit]}": self.areas[c.id],
            }
            for c in legend
            if self.counts[c.id]
        )


_SQUARE = {"m": "2", "px": ""}


def write_polygons(
    source: ClassMap,
    targets: Sequence[Path],
    options: ExportOptions,
    *,
    check: Callable[[], None] = lambda: None,
    on_progress: OnStage | None = None,
) -> Totals:
    """Writes the polygons of a whole class map.

    Args:
        source: the map.
        targets: files, of suffixes that ``raster.vector`` knows; what is there is replaced.
        options: of the polygons.
        check: raises if the outputs' locks are lost; called before anything is replaced.
        on_progress: called with what is being done, and how many tiles of how many are.

    Raises:
        LegendError: if a class is asked for that the legend does not have.
        SceneError: if there is no way to the CRS asked for.
        OutputError: if a file cannot be written.
    """
    ids = chosen_ids(options.classes, source.legend, where=source.recipe.uri)
    ground, notes = ground_of(source.geobox)
    rows = row_maker(source, ground, dst_crs=options.dst_crs)
    totals = Totals(unit=ground.unit, notes=(*notes, *rows.notes))
    with ThreadPoolExecutor(core_count()) as pool, staged(targets[0], rows.schema) as stage:
        regions = _regions(source, options, ground, pool, ids=ids)
        stage.fill(_batches(_counted(regions, totals), rows, pool, options, totals))
        totals.rows = stage.rows
        check()
        write_vectors(stage, targets, _layer(source, rows, totals, options))
    return totals


def _regions(
    source: ClassMap, options: ExportOptions, ground: Ground, pool: Executor, *, ids: frozenset[int]
) -> Iterator[Regions]:
    """The regions that are wanted."""
    shared = options.dst_crs is not None
    vertices = Vertices(junctions=shared, every=LONGEST if shared else 0)
    found = polygonise(
        source.padded,
        shape=source.geobox.shape,
        tile=options.tile,
        pool=pool,
        vertices=vertices,
        confidence=source.confidence if source.has_confidence else None,
    )
    wanted = np.isin(np.arange(256), list(ids))
    for regions in found:
        kept = np.flatnonzero(wanted[regions.facts.classes])
        if len(kept):
            yield regions if len(kept) == len(regions) else regions.take(kept)


def _counted(found: Iterable[Regions], totals: Totals) -> Iterator[Regions]:
    for regions in found:
        totals.regions += len(regions)
        totals.counts.update(Counter(dict(enumerate(np.bincount(regions.facts.classes).tolist()))))
        yield regions


def _batches(
    found: Iterator[Regions], rows: RowMaker, pool: Executor, options: ExportOptions, totals: Totals
) -> Iterator[Any]:
    """Rows of regions."""
    made = in_order(pool, rows.batch, found, ahead=4)
    if options.dissolve:
        made = iter([rows.dissolved(Regions.concatenate(list(found)))])
    for batch in made:
        for class_id, area in zip(batch.column(0).to_pylist(), batch.column(2).to_pylist(), strict=True):
            totals.areas[class_id] += area
        yield batch


def _layer(source: ClassMap, rows: RowMaker, totals: Totals, options: ExportOptions) -> VectorLayer:
    return VectorLayer(crs=rows.crs, geometry="MultiPolygon" if options.dissolve else "Polygon", legend=source.legend)
