"""The verb ``export``: a class map as polygons, without seams."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import OutputError, OutputExistsError, SceneReadError
from geoseg.inference.plan import Plan
from geoseg.inference.sameness import PLAN_ATTRIBUTE
from geoseg.legend import Legend
from geoseg.raster.atomic import refuse_existing, refuse_unwritable
from geoseg.raster.class_map import open_class_map
from geoseg.raster.label_reading import is_store, open_class_store
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import CLAIM
from geoseg.raster.locks import hold
from geoseg.raster.places import is_store_url, location_of, part_of, was_created
from geoseg.raster.urls import refuse_credentials
from geoseg.verbs.class_maps import read_legend
from geoseg.verbs.export_options import ExportOptions
from geoseg.verbs.outputs import VECTOR_SUFFIXES
from geoseg.verbs.polygons import OnStage, Totals, write_polygons

_PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What ``export`` wrote."""

    source: str
    outputs: tuple[str, ...]
    polygons: int
    """Rows of the layer."""
    regions: int
    """Polygons before they are dissolved."""
    unit: str
    """``m`` or ``px``: of areas (squared) and lengths."""
    classes: tuple[dict[str, Any], ...]
    """Id, name, regions and area of each class that occurs."""
    seconds: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``export --json`` prints."""
        return {
            "source": self.source,
            "outputs": list(self.outputs),
            "polygons": self.polygons,
            "regions": self.regions,
            "unit": self.unit,
            "classes": list(self.classes),
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Regions and areas by class, under a header."""
        key = "area_m2" if self.unit == "m" else "area_px"
        rows: list[tuple[str, ...]] = [("class", "polygons", key)]
        rows += [(c["name"], f"{c['regions']:,}", f"{c[key]:,.1f}") for c in self.classes]
        return [*rows, ("all", f"{self.regions:,}", f"{sum(c[key] for c in self.classes):,.1f}")]


def export(
    source: _PathLike,
    outputs: Sequence[_PathLike] | _PathLike,
    *,
    legend: Legend | _PathLike | None = None,
    on_stage: OnStage = lambda _stage, _done, _all: None,
    **options: Any,
) -> ExportResult:
    """Writes a class map as polygons: one per region of pixels of one class that touch along an edge.

    Args:
        source: a class map, ``.zarr`` that geoseg wrote or any raster of class ids; nodata and 255 are no polygons.
        outputs: ``*.gpkg``, ``*.parquet`` (GeoParquet), ``*.fgb``, ``*.geojson``; one or several.
        legend: a legend, or a file with one: JSON, or a model bundle; None is the one in the map.
        on_stage: told what is being done, and how many tiles of how many are.
        **options: fields of :class:`geoseg.verbs.export_options.ExportOptions`.

    Raises:
        GeosegError: one line with what is wrong and the way out; nothing is left under a final name.
    """
    started = time.perf_counter()
    asked = ExportOptions(**options)
    uri = os.fspath(source)
    refuse_credentials(uri, what="the class map")
    targets = vector_targets([outputs] if isinstance(outputs, str | os.PathLike) else outputs)
    refuse_targets(targets, source=uri, overwrite=asked.overwrite)
    given = legend if legend is None or isinstance(legend, Legend) else read_legend(legend)
    if is_store(uri):
        refuse_incomplete(uri)
    found = open_class_map(uri, legend=given)
    with ExitStack() as held:
        for target in targets:
            LocalFolder(target).make_folder()
        locks = held.enter_context(hold([LocalFolder(target) for target in targets]))
        totals = write_polygons(found, targets, asked, check=locks.check, on_stage=on_stage)
    return ExportResult(
        source=uri,
        outputs=tuple(str(target) for target in targets),
        polygons=totals.rows,
        regions=totals.regions,
        unit=totals.unit,
        classes=totals.of_classes(found.legend),
        seconds=time.perf_counter() - started,
        notes=(*found.notes, *totals.notes),
    )


def vector_targets(outputs: Sequence[_PathLike]) -> list[Path]:
    """The files of polygons that are asked for.

    Raises:
        OutputError: for none, one twice, a URL or an unknown suffix.
    """
    found: list[Path] = []
    for output in outputs:
        refuse_credentials(output, what="the output", error=OutputError)
        if is_store_url(output):
            raise OutputError(f"polygons cannot be written to a URL ({os.fspath(output)}); give a local path")
        path = Path(output)
        if path.suffix.lower() not in VECTOR_SUFFIXES:
            raise OutputError(f"cannot tell what to write to {path}: polygons go to {', '.join(VECTOR_SUFFIXES)}")
        if path in found:
            raise OutputError(f"{path} is named twice")
        found.append(path)
    if not found:
        raise OutputError(f"name an output: a file that ends in {', '.join(VECTOR_SUFFIXES)}")
    return found


def refuse_targets(targets: Sequence[Path], *, source: str, overwrite: bool) -> None:
    """Refuses what may not be replaced, before any work.

    Raises:
        OutputExistsError: if a target is there.
        OutputError: if it is the map itself, a folder, or in a folder that cannot be written.
    """
    for target in targets:
        if target.resolve() == Path(source).resolve():
            raise OutputError(f"the output {target} is the class map itself; name another")
        refuse_existing(target, overwrite=overwrite)
        if target.is_dir():
            raise OutputExistsError(f"{target} is a folder; name another output")
        refuse_unwritable(target)


def refuse_incomplete(uri: str) -> None:
    """Refuses a store that a run has not finished, under its own name or still beside it.

    Raises:
        SceneReadError: naming the tiles that miss.
    """
    place = location_of(uri)
    with place.errors():
        begun = not place.exists() and was_created(part_of(place))
    store = open_class_store(str(part_of(place)) if begun else uri)
    with store.place.errors():
        if store.place.read(CLAIM) is None:
            return
    plan = store.attributes.get(PLAN_ATTRIBUTE)
    if plan is None:
        rows, cols = (-(-length // core) for length, core in zip(store.shape, store.spec.core, strict=True))
        wanted = [f"{row}.{col}" for row in range(rows) for col in range(cols)]
    else:
        wanted = [tile.key for tile in Plan.from_json(plan).tiles()]
    done = set(store.done_keys())
    missing = [key for key in wanted if key not in done]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise SceneReadError(
            f"{uri} is incomplete: {len(missing)} of {len(wanted)} tiles miss (row.column {shown}); give the command"
            " that writes it again, then export"
        )


__all__ = ["ExportOptions", "ExportResult", "Totals", "export"]
