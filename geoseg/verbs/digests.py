"""Whose maps lie at outputs: the digest of the plan that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geoseg.errors import SceneReadError
from geoseg.raster.locations import PLAN_DIGEST, Location, root_attributes
from geoseg.raster.places import location_of
from geoseg.raster.tags import PLAN_DIGEST_TAG, read_tags

MAP_ENDING = "_classes"
"""What the stems of maps end in where nothing else is asked for."""

_VECTORS = (".gpkg", ".parquet")

UNSIGNED = (".png", ".fgb", ".geojson", ".qml", ".sld", ".json", ".html", ".htm")
"""Suffixes of outputs that carry no digest."""


def is_own(store: Location, plan_digest: str) -> bool:
    """True if the plan of that digest made the store."""
    return root_attributes(store).get(PLAN_DIGEST) == plan_digest


def carries(path: Path, plan_digest: str) -> bool:
    """True if a COG, GeoPackage or GeoParquet was made by the plan of that digest."""
    return path.suffix.lower() not in UNSIGNED and path.is_file() and digest_of(path) == plan_digest


def digest_of(path: Path | str) -> str | None:
    """Of the plan that made a map; None if there is none, or it does not say."""
    if str(path).endswith(".zarr"):
        found = root_attributes(location_of(path)).get(PLAN_DIGEST)
        return None if found is None else str(found)
    if Path(path).suffix.lower() in _VECTORS:
        from geoseg.raster.vector import read_metadata  # not at the top: Arrow is for those who want polygons

        return read_metadata(Path(path)).get(PLAN_DIGEST)
    try:
        return read_tags(Path(path)).get(PLAN_DIGEST_TAG)
    except SceneReadError:
        return None


def without_maps(paths: Sequence[str]) -> tuple[list[str], int]:
    """Files that a pattern found, without the maps that geoseg wrote beside scenes; and how many those are.

    Only files of the default names are looked into: opening ten thousand scenes takes long.
    """
    kept = [p for p in paths if not Path(p).stem.endswith(MAP_ENDING) or digest_of(p) is None]
    return kept, len(paths) - len(kept)
