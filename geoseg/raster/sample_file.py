"""Samples of a map as GeoPackages: a layer ``sample`` to interpret, a table ``strata`` that says what it stands for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import OutputError, SampleError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.raster.atomic import output_errors, put_in_place, refuse_existing, refuse_unwritable, remove
from geoseg.raster.geopackage import GPKG_OPTIONS

SAMPLE, STRATA = "sample", "strata"
"""The layers."""

REFERENCE = "reference"
"""The column that people fill in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """A class of the map, and how much of the map it is."""

    id: int
    name: str
    pixels: int
    area_m2: float | None
    """None where pixels have no area."""
    sampled: int
    """Units that were drawn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleTable:
    """The units of a sample as they stand in a file."""

    classes: tuple[int, ...]
    """The map's class of each unit."""
    references: tuple[Any, ...]
    """What was filled in: text, a number, or None."""


def refuse_sample_path(target: Path, *, overwrite: bool) -> None:
    """Refuses a target that cannot be, before any work.

    Raises:
        OutputError: if it is no ``.gpkg``, or in a folder that cannot be written.
        OutputExistsError: if it is there: an interpreted sample is days of work.
    """
    if target.suffix.lower() != ".gpkg":
        raise OutputError(f"a sample is two layers, so it is a GeoPackage: {target} must end in .gpkg")
    refuse_unwritable(target)
    refuse_existing(target, overwrite=overwrite)


def write_sample(
    target: Path,
    *,
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    strata: Sequence[Stratum],
    box: GeoBox,
    polygons: bool,
    about: Mapping[str, str],
) -> None:
    """Writes a sample, whole or not at all; an existing file is replaced.

    Args:
        target: ``*.gpkg``.
        rows: (n,) of the pixels.
        cols: (n,).
        classes: (n,) of the map.
        strata: every class of the legend, those that the map lacks too.
        box: the map's grid.
        polygons: pixels as squares; else points at their centres.
        about: how it was drawn, for the layer's metadata.

    Raises:
        OutputError: if it cannot be written.
    """
    import pyogrio

    names = {stratum.id: stratum.name for stratum in strata}
    part = target.with_name(f".{target.stem}.part.gpkg")  # GDAL grumbles at other endings
    nobody = np.full(rows.size, None, object)
    fields: dict[str, npt.NDArray[Any]] = {
        "unit": np.arange(1, rows.size + 1, dtype=np.int32),
        "map_class": classes.astype(np.int32),
        "map_name": np.array([names[int(c)] for c in classes], object),
        REFERENCE: nobody,
        "row": rows,
        "col": cols,
    }
    with output_errors(target), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided", category=UserWarning)  # maps without one
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(part)
        try:
            pyogrio.raw.write(
                part,
                _geometries(rows, cols, box=box, polygons=polygons),
                list(fields.values()),
                list(fields),
                layer=SAMPLE,
                driver="GPKG",
                geometry_type="Polygon" if polygons else "Point",
                crs=box.crs,
                layer_metadata=dict(about),
                **GPKG_OPTIONS,
            )
            columns = _strata_columns(strata)
            pyogrio.raw.write(
                part, None, list(columns.values()), list(columns), layer=STRATA, driver="GPKG", append=True
            )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError) as error:
            remove(part)
            raise OutputError(f"cannot write {target}: {' '.join(str(error).split())}") from error
        put_in_place(part, target)


def read_sample(path: Path) -> SampleTable:
    """The units of a sample.

    Raises:
        SceneReadError: if the file cannot be read.
        SampleError: if there is no layer of units, or it lacks a column.
    """
    layers = [name for name in _layers(path) if name != STRATA]
    layer = SAMPLE if SAMPLE in layers else layers[0] if len(layers) == 1 else None
    if layer is None:
        raise SampleError(f"{path} has no layer {SAMPLE!r}; there are {', '.join(layers) or 'none'}")
    columns = _columns(path, layer)
    for name in ("map_class", REFERENCE):
        if name not in columns:
            raise SampleError(
                f"layer {layer!r} of {path} has no column {name!r}, it has {', '.join(columns) or 'none'}:"
                " interpret the file that `geoseg assess design` wrote"
            )
    if any(value is None or value != value for value in columns["map_class"].tolist()):
        raise SampleError(f"units of {path} have no map_class: give only units that `geoseg assess design` drew")
    return SampleTable(
        classes=tuple(int(c) for c in columns["map_class"]), references=tuple(columns[REFERENCE].tolist())
    )


def read_strata(path: Path) -> tuple[Stratum, ...]:
    """The strata of a sample, ascending by id.

    Raises:
        SceneReadError: if the file cannot be read.
        SampleError: if it has no such table, or a damaged one.
    """
    if STRATA not in _layers(path):
        raise SampleError(
            f"{path} has no table {STRATA!r}, so nobody knows how much of the map a unit stands for:"
            " give the file that `geoseg assess design` wrote with --strata"
        )
    columns = _columns(path, STRATA)
    try:
        found = [
            Stratum(
                id=int(i), name=str(name), pixels=int(pixels), sampled=int(sampled),
                area_m2=None if area is None or area != area else float(area),
            )
            for i, name, pixels, area, sampled in zip(
                *(columns[c].tolist() for c in ("map_class", "map_name", "pixels", "area_m2", "sampled")), strict=True
            )
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise SampleError(f"the table {STRATA!r} of {path} is damaged ({error}): give another with --strata") from error
    return tuple(sorted(found, key=lambda stratum: stratum.id))


def _strata_columns(strata: Sequence[Stratum]) -> dict[str, npt.NDArray[Any]]:
    areas = [np.nan if s.area_m2 is None else s.area_m2 for s in strata]
    return {
        "map_class": np.array([s.id for s in strata], np.int32),
        "map_name": np.array([s.name for s in strata], object),
        "pixels": np.array([s.pixels for s in strata], np.int64),
        "area_m2": np.array(areas, np.float64),
        "sampled": np.array([s.sampled for s in strata], np.int32),
    }


def _geometries(
    rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], *, box: GeoBox, polygons: bool
) -> npt.NDArray[Any]:
    """WKB of the pixels' centres, or of the pixels."""
    import shapely

    if not polygons:
        x, y = box.world(cols + 0.5, rows + 0.5)  # type: ignore[arg-type]
        return np.asarray(shapely.to_wkb(shapely.points(x, y)))
    corners = [box.world(cols + dx, rows + dy) for dx, dy in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0))]  # type: ignore[arg-type]
    return np.asarray(shapely.to_wkb(shapely.polygons(np.array(corners).transpose(2, 0, 1))))


def _layers(path: Path) -> list[str]:
    import pyogrio

    if not path.exists():
        raise SceneReadError(f"{path}: no such file")
    try:
        return [str(name) for name, _ in pyogrio.list_layers(path)]
    except pyogrio.errors.DataSourceError as error:
        raise SceneReadError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _columns(path: Path, layer: str) -> dict[str, npt.NDArray[Any]]:
    import pyogrio

    try:
        meta, _, _, data = pyogrio.raw.read(path, layer=layer, read_geometry=False)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise SceneReadError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return dict(zip((str(f) for f in meta["fields"]), data, strict=True))
