"""From a class map that is whole to files of polygons: what ``export`` and ``predict`` have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.ahead import in_order
from geoseg.geometry.windows import split
from geoseg.inference.machine import core_count, memory_bytes
from geoseg.legend import Legend
from geoseg.polygons.absorb import absorb, first_pixels
from geoseg.polygons.chains import Vertices
from geoseg.polygons.cleaned import cleaned_map
from geoseg.polygons.flow import ReadPadded, polygonise, survey
from geoseg.polygons.ground import LONGEST, Ground, ground_of
from geoseg.polygons.regions import Regions
from geoseg.polygons.simplify import simplified
from geoseg.polygons.survey import join_graph
from geoseg.raster.class_map import ClassMap
from geoseg.raster.locations import PLAN_DIGEST
from geoseg.raster.polygon_rows import RowMaker, row_maker
from geoseg.raster.styles import style_notes, write_styles
from geoseg.raster.vector import VectorLayer, geojson_notes, staged, write_vectors
from geoseg.verbs.export_options import ExportOptions, chosen_ids

OnStage = Callable[[str, int, int], None]
"""Told what is being done, and how many tiles of how many are."""

MIRRORED = "the map has no place: QGIS draws it downwards from 0, its polygons upwards, mirrored"
"""Rasters that are nowhere have rows at y = -row in QGIS, and at y = +row in rasterio, which polygons follow."""

_NOTHING = "the map holds no class at all: no polygons"
_NONE_OF_THESE = "the map holds no pixel of these classes: no polygons"

SIMPLIFY_SHARE = 0.5
"""Of the memory, what simplifying may take."""


class Totals:
    """What was written, counted on the way.

    Args:
        unit: ``m`` or ``px``.
        notes: what a user should know.
    """

    def __init__(self, unit: str, notes: tuple[str, ...]) -> None:
        self.unit, self.notes = unit, notes
        self.rows = 0
        self._regions = np.zeros(256, np.int64)
        self._areas = np.zeros(256)

    @property
    def regions(self) -> int:
        """Number of regions, before they are dissolved."""
        return int(self._regions.sum())

    @property
    def area_name(self) -> str:
        """Name of the attribute of areas."""
        return "area_m2" if self.unit == "m" else "area_px"

    def count(self, regions: Regions) -> None:
        """Counts regions."""
        self._regions += np.bincount(regions.facts.classes, minlength=256)

    def add(self, batch: Any) -> None:
        """Adds the areas of rows."""
        classes, areas = (batch.column(name).to_numpy() for name in ("class_id", self.area_name))
        self._areas += np.bincount(classes, weights=areas, minlength=256)

    def of_classes(self, legend: Legend) -> tuple[dict[str, Any], ...]:
        """Id, name, regions and area of each class that occurs."""
        return tuple(
            {"id": c.id, "name": c.name, "regions": int(n), self.area_name: float(self._areas[c.id])}
            for c in legend
            if (n := self._regions[c.id])
        )

    def present(self, legend: Legend) -> Legend | None:
        """The classes that occur; None if none does."""
        found = tuple(c for c in legend if self._regions[c.id])
        return Legend(found) if found else None


def write_polygons(
    source: ClassMap,
    targets: Sequence[Path],
    options: ExportOptions,
    *,
    check: Callable[[], None] = lambda: None,
    on_stage: OnStage = lambda _stage, _done, _all: None,
) -> Totals:
    """Writes the polygons of a whole class map, and styles beside them.

    Args:
        source: the map.
        targets: files, of suffixes that ``raster.vector`` knows; what is there is replaced.
        options: of the polygons; ``overwrite`` replaces styles, too.
        check: raises if the outputs' locks are lost; called before anything is replaced.
        on_stage: told how far it is.

    Raises:
        LegendError: if a class is asked for that the legend does not have.
        SceneError: if there is no way to the CRS asked for.
        PlanError: if there is too little memory to simplify.
        OutputError: if a file cannot be written.
    """
    ids = chosen_ids(options.classes, source.legend, where=source.name)
    ground, notes = ground_of(source.geobox)
    rows = row_maker(source, ground, dst_crs=options.dst_crs)
    mirrored = () if source.geobox.is_placed or source.geobox.crs else (MIRRORED,)
    notes = (*notes, *_pixel_notes(ground, options), *mirrored)
    totals = Totals(ground.unit, (*notes, *rows.notes, *geojson_notes(targets, rows.crs)))
    job = _Job(source=source, options=options, ground=ground, on_stage=on_stage)
    with ThreadPoolExecutor(core_count()) as pool, staged(targets[0], rows.schema) as stage:
        stage.fill(_batches(job.regions(pool, ids=ids), rows, pool, options=options, totals=totals))
        totals.rows = stage.rows
        if not totals.regions:
            totals.notes += (_NOTHING if not options.classes else _NONE_OF_THESE,)
        check()
        on_stage("writing", 0, len(targets))
        layer = _layer(source, rows, totals, options)
        write_vectors(stage, targets, layer)
    if layer.legend is not None:
        for target in targets:
            write_styles(target, layer.legend, kind="vector", overwrite=options.overwrite)
            totals.notes += style_notes(target, kind="vector")
    return totals


def _pixel_notes(ground: Ground, options: ExportOptions) -> list[str]:
    """Metres that were asked for where nothing tells what a metre is."""
    asked = {"--min-area": options.min_area, "--simplify": options.simplify}
    return [f"{name} {value:g} is taken as pixels" for name, value in asked.items() if value and ground.unit == "px"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One map and what is asked of it."""

    source: ClassMap
    options: ExportOptions
    ground: Ground
    on_stage: OnStage

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return int(np.prod([-(-length // self.options.tile) for length in self.source.geobox.shape]))

    def regions(self, pool: Executor, *, ids: frozenset[int]) -> Iterator[Regions]:
        """The regions that are wanted."""
        options, source = self.options, self.source
        reprojected = options.dst_crs is not None
        vertices = Vertices(
            junctions=reprojected or options.simplify > 0,  # or neighbours would move apart
            every=LONGEST if reprojected else 0,
        )
        found = polygonise(
            self._cleaned(pool) if options.min_area > 0 else source.padded,
            shape=source.geobox.shape,
            tile=options.tile,
            pool=pool,
            vertices=vertices,
            confidence=source.confidence,
            on_tile=partial(self._tell, "tracing"),
        )
        if options.simplify > 0:
            memory = SIMPLIFY_SHARE * memory_bytes()
            found = iter([simplified(found, tolerance=options.simplify, step=self.ground.step, memory=memory)])
        wanted = np.isin(np.arange(256), list(ids))
        for regions in found:
            kept = np.flatnonzero(wanted[regions.facts.classes])
            if len(kept):
                yield regions if len(kept) == len(regions) else regions.take(kept)

    def _cleaned(self, pool: Executor) -> ReadPadded:
        """What reads the map without its small regions."""
        source, side = self.source, self.options.tile
        windows = split(source.geobox.shape, size=(side, side))
        width = source.geobox.shape[1]
        tell = partial(self._tell, "surveying")
        tiles = list(survey(source.classes, windows, width=width, pool=pool, on_tile=tell))
        graph = join_graph(tiles)
        areas = graph.pixels * self.ground.pixel_areas(*first_pixels(graph, width))
        self.on_stage("absorbing", 0, 1)
        final = absorb(graph, areas=areas, least=self.options.min_area, step=self.ground.step)
        return cleaned_map(source.classes, tiles, side=side, final=final[graph.parts]).padded

    def _tell(self, stage: str, done: int) -> None:
        self.on_stage(stage, done, self.tiles)


def _batches(
    found: Iterator[Regions], rows: RowMaker, pool: Executor, *, options: ExportOptions, totals: Totals
) -> Iterator[Any]:
    """Rows of regions, in batches."""
    if options.dissolve:
        regions = Regions.concatenate(list(found))
        totals.count(regions)
        made = iter([rows.dissolved(regions)])
    else:
        made = in_order(pool, rows.batch, _counted(found, totals), ahead=4)
    for batch in made:
        totals.add(batch)
        yield batch


def _counted(found: Iterator[Regions], totals: Totals) -> Iterator[Regions]:
    for regions in found:
        totals.count(regions)
        yield regions


def _layer(source: ClassMap, rows: RowMaker, totals: Totals, options: ExportOptions) -> VectorLayer:
    return VectorLayer(
        crs=rows.crs,
        geometry="MultiPolygon" if options.dissolve else "Polygon",
        legend=source.legend if source.has_legend else totals.present(source.legend),
        metadata={} if source.digest is None else {PLAN_DIGEST: source.digest},
    )
