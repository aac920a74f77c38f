"""How a class map lies in a Zarr group so that xarray, rioxarray, CF tools and GDAL take it for a map.

CF conventions 1.11, sections 3.5 (flags) and 5.6 (grid mappings); rioxarray's reading of ``GeoTransform`` and ``gcps``;
GDAL's of ``_ARRAY_DIMENSIONS`` and ``_CRS`` (Zarr 2).
"""

from __future__ import annotations

import itertools
import json
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from geoseg.geometry.geobox import IDENTITY, GeoBox
from geoseg.legend import IGNORE, Legend
from geoseg.raster.locations import Location

GRID_MAPPING = "spatial_ref"
"""Name of the scalar array that carries CRS, transform, GCPs and RPCs."""

_filters = threading.Lock()
"""The filters of ``warnings`` belong to the whole process."""

_ZSTD_LEVEL = 3
"""Classes shrink 30-fold at the speed of level 1; LZ4 is no faster here and leaves five times the bytes."""


def add_map(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, int],
    chunk: tuple[int, int],
    shard: tuple[int, int],
    attributes: dict[str, Any],
    bands: int = 0,
) -> None:
    """Add an empty uint8 array (height, width), or (bands, height, width), whose unwritten pixels read as 255."""
    lead = (bands,) if bands else ()
    piece = (1,) if bands else ()
    _add_array(
        group,
        name,
        dimensions=("class", "y", "x") if bands else ("y", "x"),
        attributes=attributes,
        shape=(*lead, *shape),
        dtype="uint8",
        chunks=(*piece, *chunk),
        shards=(*lead, *shard) if group.metadata.zarr_format == 3 else None,
        fill_value=IGNORE,
    )


def add_coordinates(group: zarr.Group, geobox: GeoBox) -> None:
    """Add what places ``geobox``: ``spatial_ref``, and ``y`` and ``x`` where the grid runs along the axes."""
    fill = None if group.metadata.zarr_format == 2 else 0  # in Zarr 2 xarray would read a fill value as NaN
    if has_grid_mapping(geobox):
        attributes = grid_mapping_attributes(geobox)
        scalar = _add_array(
            group, GRID_MAPPING, dimensions=(), attributes=attributes, shape=(), dtype="int64", fill_value=fill
        )
        scalar[...] = 0
    for name, (values, attributes) in axis_coordinates(geobox).items():
        array = _add_array(
            group,
            name,
            dimensions=(name,),
            attributes=attributes,
            shape=values.shape,
            dtype="float64",
            chunks=values.shape,
            fill_value=fill,
        )
        array[:] = values


def open_group(place: Location) -> zarr.Group:
    """The root group as it is stored now."""
    with place.errors():
        return zarr.open_group(place.zarr_store(), mode="r+", use_consolidated=False)


def consolidate(place: Location, *, overviews: Iterable[str]) -> None:
    """Copy all metadata into the root's, and those of the groups ``overviews`` into their own.

    xarray warns about the lack of them.
    """
    store = place.zarr_store()
    with _filters, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")  # no part of Zarr 3's specification yet
        for path in overviews:
            zarr.consolidate_metadata(store, path=path)
        zarr.consolidate_metadata(store)


def is_consolidated(place: Location) -> bool:
    """True if ``consolidate`` was called: any change to metadata must be followed by it again."""
    root = place.read("zarr.json")
    if root is not None:
        return "consolidated_metadata" in json.loads(root)
    return place.read(".zmetadata") is not None


def get_array(group: zarr.Group, path: str) -> Any:
    """The array at ``path``; ``Any``, as zarr's own types say less than NumPy's."""
    return group[path]


def keys_of(array: Any, rows: slice, cols: slice) -> Iterator[str]:
    """Names below an array of the files that hold whole cores of a map, of all its bands."""
    *lead, high, wide = array.shards or array.chunks
    bands = [range(-(-array.shape[0] // lead[0]))] if lead else []
    down, across = range(rows.start // high, -(-rows.stop // high)), range(cols.start // wide, -(-cols.stop // wide))
    yield from map(array.metadata.encode_chunk_key, itertools.product(*bands, down, across))


def _add_array(
    group: zarr.Group, name: str, *, dimensions: tuple[str, ...], attributes: dict[str, Any], **options: Any
) -> Any:
    if group.metadata.zarr_format == 2:
        attributes = {**attributes, "_ARRAY_DIMENSIONS": list(dimensions)}
    else:
        options |= {"dimension_names": dimensions, "compressors": ZstdCodec(level=_ZSTD_LEVEL)}
    return group.create_array(name, attributes=attributes, **options)


def map_attributes(geobox: GeoBox, *, zarr_format: int = 3) -> dict[str, Any]:
    """Attributes of every map of a store.

    ``nodata`` and no ``_FillValue``: xarray would turn classes into float32 to make room for NaN. ``coordinates``
    besides ``grid_mapping``: without it rioxarray finds no CRS. ``_CRS`` in Zarr 2: GDAL 3.6, which comes with QGIS on
    Debian 12, does not follow grid mappings.
    """
    attributes: dict[str, Any] = {"nodata": IGNORE}
    if has_grid_mapping(geobox):
        attributes |= {"grid_mapping": GRID_MAPPING, "coordinates": GRID_MAPPING}
    if zarr_format == 2 and geobox.crs is not None:
        attributes["_CRS"] = {"wkt": geobox.crs}
    return attributes


def has_grid_mapping(geobox: GeoBox) -> bool:
    """True if there is anything to say about where the grid lies."""
    return geobox.crs is not None or geobox.is_placed


def legend_attributes(legend: Legend) -> dict[str, Any]:
    """CF's flags, their colours, and the legend in full."""
    return {
        "long_name": "class",
        "flag_values": list(legend.ids),
        "flag_meanings": " ".join("_".join(name.split()) for name in legend.names),
        "flag_colors": " ".join(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in legend.colors),
        "legend": legend.to_json(),
    }


def context_attributes(contexts: tuple[int, ...]) -> dict[str, Any]:
    """CF's flags of the layer that says which contexts had a say: independent bits, ``flag_masks`` (3.5)."""
    return {
        "long_name": "contexts (patch sizes) that decided",
        "flag_masks": [1 << k for k in range(len(contexts))],
        "flag_meanings": " ".join(f"context_{size}_px" for size in contexts),
        "contexts": list(contexts),
    }


def grid_mapping_attributes(geobox: GeoBox) -> dict[str, Any]:
    """Attributes of ``spatial_ref``: WKT twice (for CF and GDAL), transform in GDAL's order, GCPs as GeoJSON, RPCs."""
    attributes: dict[str, Any] = {}
    if geobox.crs is not None:
        attributes |= {"crs_wkt": geobox.crs, "spatial_ref": geobox.crs}
    if geobox.transform != IDENTITY:
        a, b, c, d, e, f = geobox.transform
        attributes["GeoTransform"] = " ".join(repr(float(v)) for v in (c, a, b, f, d, e))
    if geobox.gcps:
        points = [
            {
                "type": "Feature",
                "properties": {"id": str(i), "info": "", "row": p.row, "col": p.col},
                "geometry": {"type": "Point", "coordinates": [p.x, p.y, p.z]},
            }
            for i, p in enumerate(geobox.gcps, start=1)
        ]
        attributes["gcps"] = json.dumps({"type": "FeatureCollection", "features": points})  # text: rioxarray's way
    if geobox.rpcs:
        attributes["rpcs"] = dict(geobox.rpcs)
    return attributes


def axis_coordinates(geobox: GeoBox) -> dict[str, tuple[npt.NDArray[np.float64], dict[str, Any]]]:
    """``{"y": (values, attributes), "x": …}`` at pixel centres; empty for a grid that is rotated or not placed."""
    if geobox.is_rotated or geobox.transform == IDENTITY:
        return {}
    a, _, c, _, e, f = geobox.transform
    height, width = geobox.shape
    down = np.asarray(f + e * (np.arange(height) + 0.5), dtype=np.float64)
    across = np.asarray(c + a * (np.arange(width) + 0.5), dtype=np.float64)
    y: dict[str, Any] = {"axis": "Y", "standard_name": "projection_y_coordinate"}
    x: dict[str, Any] = {"axis": "X", "standard_name": "projection_x_coordinate"}
    if _is_geographic(geobox):
        y |= {"standard_name": "latitude", "units": "degrees_north"}
        x |= {"standard_name": "longitude", "units": "degrees_east"}
    return {"y": (down, y), "x": (across, x)}


def _is_geographic(geobox: GeoBox) -> bool:
    if geobox.crs is None:
        return False
    import pyproj  # not at the top: a tenth of a second

    return bool(pyproj.CRS.from_wkt(geobox.crs).is_geographic)
