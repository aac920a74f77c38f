"""GeoParquet 1.1 (geoparquet.org): WKB, and a column ``bbox`` by which readers skip what they do not want."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

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
