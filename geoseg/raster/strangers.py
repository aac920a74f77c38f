"""What lies beside an output under the same stem: QGIS draws every raster of a stem by the ``.qml`` of that stem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from geoseg.errors import GeosegError
from geoseg.raster.tags import LEGEND_TAG, QUICKLOOK_TAG, read_tags

_NO_RASTERS = (".gpkg", ".parquet", ".fgb", ".geojson", ".qml", ".sld", ".json", ".html", ".htm")
"""Suffixes of what geoseg writes besides; GDAL leaves an ``.aux.xml`` beside GeoPackages whose metadata it reads."""


def stranger_beside(data: Path) -> Path | None:
    """A raster of the stem of ``data``, other than ``data``, that is no map of geoseg's; None if there is none.

    A class map that says its legend is geoseg's own, and so is a quick look; a scene is not.
    """
    return next((path for path, tags in _rasters(data) if not {LEGEND_TAG, QUICKLOOK_TAG} & tags), None)


def has_own_map(data: Path) -> bool:
    """True if a COG of geoseg's, or a store of Zarr 2, lies at the stem of ``data``."""
    if (data.with_suffix(".zarr") / ".zgroup").is_file():
        return True
    return any(LEGEND_TAG in tags for _, tags in _rasters(data))


def _rasters(data: Path) -> Iterator[tuple[Path, set[str]]]:
    """Rasters of that stem, but not ``data``, and the names of their text items."""
    try:
        found = sorted(path for path in data.parent.iterdir() if path.stem == data.stem and path.name != data.name)
    except OSError:
        return
    for path in found:
        if path.suffix.lower() in _NO_RASTERS or not path.is_file():
            continue
        try:
            yield path, set(read_tags(path))
        except GeosegError:
            continue  # no raster
