"""Polygons to files: GeoPackage, FlatGeobuf, GeoJSON by GDAL, GeoParquet by Arrow.

Polygons are staged as Arrow batches beside the first target; every target is made from them, batch by batch, so that
memory does not grow with their number, and gets its name when all are whole.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from geoseg.errors import OutputError
from geoseg.legend import Legend
from geoseg.raster.atomic import failure, output_errors, part_path, put_in_place, remove
from geoseg.raster.crs import crs_name
from geoseg.raster.geopackage import GPKG_OPTIONS, add_style
from geoseg.raster.geoparquet import read_items, write_geoparquet
from geoseg.raster.styles import qml

LAYER = "classes"
"""Name of the layer."""

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".parquet": "Parquet"}
"""What writes a file of each suffix; Parquet is written without GDAL, whose wheels lack that driver."""

GEOMETRY = "geometry"
"""Name of the column of geometries (WKB)."""

_filters = threading.Lock()
"""The filters of ``warnings`` belong to the whole process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorLayer:
    """What a file of polygons says besides them."""

    crs: str | None
    """WKT."""
    geometry: str
    """``Polygon`` or ``MultiPolygon``."""
    legend: Legend | None
    """Of the style; None for none."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Text items, where a format has room for them."""


@contextmanager
def staged(target: Path, schema: pa.Schema) -> Iterator[Stage]:
    """A place for batches beside ``target``, gone when the block ends.

    Raises:
        OutputError: if the disk refuses.
    """
    folder = part_path(target, suffix=".polygons")
    try:
        with output_errors(target):
            remove(folder)
            folder.mkdir(parents=True)
        yield Stage(folder / "polygons.arrow", schema, target)
    finally:
        with output_errors(target):
            remove(folder)


class Stage:
    """Batches of polygons on disk; written once, then read as often as there are targets."""

    def __init__(self, path: Path, schema: pa.Schema, target: Path) -> None:
        self._path, self._target = path, target
        self.schema = schema
        self.rows = 0

    def fill(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Writes all batches."""
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with (
            output_errors(self._target),
            pa.OSFile(str(self._path), "wb") as file,
            pa.ipc.new_stream(file, self.schema, options=options) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
                self.rows += batch.num_rows

    @contextmanager
    def reader(self) -> Iterator[pa.RecordBatchReader]:
        """Reads them, one at a time."""
        with pa.OSFile(str(self._path), "rb") as file, pa.ipc.open_stream(file) as reader:
            yield reader


def write_vectors(stage: Stage, targets: Sequence[Path], layer: VectorLayer) -> None:
    """Makes every target of a filled stage; they get their names when all are whole.

    Raises:
        OutputError: if one cannot be written.
    """
    folders = {target: part_path(target) for target in targets}
    try:
        for target, folder in folders.items():
            with output_errors(target):
                remove(folder)
                folder.mkdir(parents=True)
                _write(stage, folder / target.name, layer, target=target)
        for target, folder in folders.items():
            put_in_place(folder / target.name, target)
    finally:
        for target, folder in folders.items():
            with output_errors(target):
                remove(folder)


def _write(stage: Stage, path: Path, layer: VectorLayer, *, target: Path) -> None:
    driver = DRIVERS[path.suffix.lower()]
    with stage.reader() as reader:
        if driver == "Parquet":
            write_geoparquet(
                reader, path, geometry=GEOMETRY, crs=layer.crs, kind=layer.geometry, metadata=layer.metadata
            )
            return
        _write_by_gdal(reader, path, driver=driver, layer=layer, target=target)
    if driver == "GPKG" and layer.legend is not None:
        add_style(path, layer=LAYER, style=qml(layer.legend, kind="vector"))
    _check_count(path, stage.rows, target=target)


def _write_by_gdal(reader: Any, path: Path, *, driver: str, layer: VectorLayer, target: Path) -> None:
    import pyogrio  # not at the top: GDAL a second time, a third of a second

    options: dict[str, Any] = {}
    if driver == "GPKG":
        options |= GPKG_OPTIONS
        if layer.metadata:  # not of the dataset: GDAL writes an .aux.xml when it reads those
            options["layer_metadata"] = dict(layer.metadata)
    try:
        with _filters, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # said as a note of our own
            pyogrio.write_arrow(
                reader,
                path,
                layer=LAYER,
                driver=driver,
                geometry_name=GEOMETRY,
                geometry_type=layer.geometry,
                crs=layer.crs,
                **options,
            )
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
        RuntimeError,
    ) as error:
        raise OutputError(failure(target, reason=str(error))) from error


def geojson_notes(targets: Sequence[Path], crs: str | None) -> tuple[str, ...]:
    """What those should know who take GeoJSON for longitudes and latitudes, as RFC 7946 does."""
    named = [str(target) for target in targets if target.suffix.lower() == ".geojson"]
    if not named or crs is None or crs_name(crs) in ("EPSG:4326", "OGC:CRS84"):
        return ()
    where = f"{', '.join(named)}: in {crs_name(crs)}, as GDAL and QGIS read it"
    return (f"{where}; web maps take GeoJSON for longitude and latitude: geoseg export --dst-crs EPSG:4326",)


def read_metadata(path: Path) -> dict[str, str]:
    """The text items of a finished file; empty where its format has no room for them, or it cannot be read."""
    if path.suffix.lower() == ".parquet":
        return read_items(path)
    import pyogrio

    try:
        found = pyogrio.read_info(path, layer=LAYER)["layer_metadata"]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return {}
    return dict(found or {})


def _check_count(path: Path, rows: int, *, target: Path) -> None:
    """GDAL loses what it is told when it closes a file on a full disk."""
    import pyogrio

    try:
        found = pyogrio.read_info(
            path, layer=None if path.suffix.lower() == ".geojson" else LAYER, force_feature_count=True
        )
        count = int(found["features"])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise OutputError(failure(target, reason=str(error))) from error
    if count != rows:
        raise OutputError(failure(target, reason=f"only {count} of {rows} polygons reached the disk"))
