"""GeoParquet 1.1 (geoparquet.org): WKB, and a column ``bbox`` by which readers skip what they do not want."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from geoseg.errors import SceneReadError

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_BBOX = pa.struct([(side, pa.float64()) for side in _SIDES])

_ROWS = 65_536
"""Most rows of a row group, the least that is read."""


def write_geoparquet(
    reader: Any, path: Path, *, geometry: str, crs: str | None, kind: str, metadata: Mapping[str, str]
) -> None:
    """Writes batches with a column of WKB.

    Args:
        reader: Arrow batches.
        path: the file.
        geometry: name of the WKB column.
        crs: WKT; None is said to be unknown.
        kind: ``Polygon`` or ``MultiPolygon``.
        metadata: further text items.
    """
    schema = reader.schema.append(pa.field("bbox", _BBOX))
    around = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in reader:
            bounds = _bounds(batch.column(geometry))
            if len(bounds):
                around[:2] = np.minimum(around[:2], bounds[:, :2].min(axis=0))
                around[2:] = np.maximum(around[2:], bounds[:, 2:].max(axis=0))
            boxes = pa.StructArray.from_arrays([pa.array(side) for side in bounds.T], fields=list(_BBOX))
            full = pa.Table.from_arrays([*batch.columns, boxes], schema=schema)
            writer.write_table(full, row_group_size=_ROWS)
        items = {**metadata, "geo": json.dumps(_geo(geometry, crs=crs, kind=kind, around=around))}
        writer.add_key_value_metadata(items)


def read_items(path: Path) -> dict[str, str]:
    """The text items of a file; empty if it cannot be read."""
    try:
        found = parquet.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}
    return {key.decode(): value.decode(errors="replace") for key, value in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeoTable:
    """What was read of a GeoParquet file."""

    geometry: str
    """Name of the column."""
    crs: str | None
    """As text that pyproj understands."""
    wkb: npt.NDArray[Any]
    """(n,) bytes or None."""
    columns: Mapping[str, npt.NDArray[Any]]
    """(n,) each, of those that were asked for."""


def is_geoparquet(uri: str) -> bool:
    """By its name; GDAL's wheels do without a driver for them."""
    return Path(uri).suffix.lower() in (".parquet", ".geoparquet")


def column_names(path: str) -> tuple[str, ...]:
    """Columns of a GeoParquet file that are of a plain kind: neither geometries nor nested.

    Raises:
        SceneReadError: if it cannot be read, or is not one.
    """
    with _reading(path):
        schema = parquet.read_schema(path)
        geometries = _metadata(path)["columns"]
    return tuple(f.name for f in schema if f.name not in geometries and not pa.types.is_nested(f.type))


def read_geoparquet(path: str, *, columns: Sequence[str] = ()) -> GeoTable:
    """The primary geometry of a GeoParquet file (geoparquet.org, 1.x), and some of its columns.

    Raises:
        SceneReadError: if it cannot be read, or is not one.
    """
    with _reading(path):
        geo = _metadata(path)
        name = geo["primary_column"]
        about = geo["columns"][name]
        if about["encoding"] != "WKB":
            raise SceneReadError(f"{path}: its geometry is encoded as {about['encoding']}: write it as WKB")
        table = parquet.read_table(path, columns=[name, *columns])
        wkb, *found = (table.column(c).to_numpy() for c in (name, *columns))
    crs = about.get("crs", "OGC:CRS84")  # the specification's default; null is unknown
    crs = crs if crs is None or isinstance(crs, str) else json.dumps(crs)
    return GeoTable(geometry=name, crs=crs, wkb=wkb, columns=dict(zip(columns, found, strict=True)))


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, SceneReadError):
            raise
        raise SceneReadError(f"{path}: cannot be read as GeoParquet: {' '.join(str(error).split())}") from error


def _metadata(path: str) -> dict[str, Any]:
    """The item ``geo``, of the file rather than of its Arrow schema: what was streamed has it there alone."""
    text = (parquet.read_metadata(path).metadata or {}).get(b"geo")
    if text is None:
        raise SceneReadError(f"{path}: is Parquet without the metadata of GeoParquet")
    found: dict[str, Any] = json.loads(text)
    return found


def _bounds(column: pa.Array) -> Any:
    import shapely

    return shapely.bounds(shapely.from_wkb(column.to_numpy(zero_copy_only=False))).reshape(-1, 4)


def _geo(geometry: str, *, crs: str | None, kind: str, around: Any) -> dict[str, Any]:
    """The metadata of a file, item ``geo``."""
    import pyproj

    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [kind],
        "crs": None if crs is None else pyproj.CRS.from_wkt(crs).to_json_dict(),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
    }
    if np.isfinite(around).all():
        column["bbox"] = [float(value) for value in around]
    return {"version": "1.1.0", "primary_column": geometry, "columns": {geometry: column}}
