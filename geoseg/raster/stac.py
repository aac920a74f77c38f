"""The rasters that a STAC document names: an Item, an ItemCollection, or a Collection or Catalog with its items."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import SceneError, SceneReadError
from geoseg.raster.urls import is_url

if TYPE_CHECKING:
    import pystac

_KINDS = ("Feature", "FeatureCollection", "Collection", "Catalog")
_RASTER_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "application/x-geotiff", "image/jp2", "image/vrt")
_RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
_LABELS = {"reference", "labels", "label", "truth"}
"""Keys and roles of what is a scene's reference and no scene."""

_NAMED = 6
"""Assets that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StacItem:
    """What an item is taken for."""

    name: str
    """The item's id, as a file may be called."""
    raster: str
    """Path or URL of the scene."""
    labels: str | None
    """Path or URL of its reference."""


def is_stac(path: str) -> bool:
    """True if a local file is a STAC document, judged by its name and its first level."""
    return Path(path).suffix.lower() in (".json", ".geojson") and Path(path).is_file() and _kind(_load(path)) in _KINDS


def stac_items(path: str, *, asset: str | None = None) -> list[StacItem]:
    """One raster per item, in the document's order, and its reference where it has one.

    Args:
        path: local JSON; relative asset hrefs count from it (of items in files of their own, from theirs).
        asset: key of the asset to take; None takes the one with role ``data``, else the one called ``visual``, else
            the only raster.

    Raises:
        SceneReadError: if the document cannot be read.
        SceneError: if it is none of STAC, has no items, or an item has no such asset or several.
    """
    import pystac

    data = _load(path)
    if _kind(data) is None:
        raise SceneError(f"{path}: is no STAC Item, ItemCollection, Collection or Catalog")
    try:
        found = [
            StacItem(
                name=re.sub(r"[^\w.-]+", "_", item.id) or "item",
                raster=_href(item, _choose(item, asset, path)),
                labels=_labels(item),
            )
            for item in _items(path, data)
        ]
    except (pystac.STACError, pystac.STACTypeError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, SceneError):
            raise
        raise SceneReadError(f"{path}: cannot be read as STAC: {' '.join(str(error).split()) or error!r}") from error
    if not found:
        raise SceneError(f"{path}: this STAC {_kind(data)} has no items")
    return found


def _load(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneReadError(f"{path}: cannot be read as JSON: {' '.join(str(error).split())}") from error


def _kind(data: Any) -> str | None:
    """What kind of STAC document it is; None for other JSON (plain GeoJSON features have no assets)."""
    if not isinstance(data, dict):
        return None
    kind = data.get("type")
    if kind == "FeatureCollection":
        features = data.get("features")
        plain = not isinstance(features, list) or any("assets" not in f for f in features if isinstance(f, dict))
        return None if plain else kind
    if kind == "Feature":
        return kind if "assets" in data else None
    return kind if kind in ("Collection", "Catalog") and "stac_version" in data else None


def _items(path: str, data: Any) -> Iterator[pystac.Item]:
    import pystac

    href = str(Path(path).absolute())
    kind = _kind(data)
    if kind in ("Collection", "Catalog"):
        yield from (
            pystac.Catalog.from_file(href).get_items(recursive=True)
            if kind == "Catalog"
            else (pystac.Collection.from_file(href).get_items(recursive=True))
        )
        return
    for feature in [data] if kind == "Feature" else data["features"]:
        item = pystac.Item.from_dict(feature, preserve_dict=False)
        item.set_self_href(href)
        yield item


def _choose(item: pystac.Item, asset: str | None, path: str) -> pystac.Asset:
    there = ", ".join(list(item.assets)[:_NAMED]) or "none"
    if asset is not None:
        if asset not in item.assets:
            raise SceneError(f"{path}: item {item.id} has no asset {asset!r}, there are {there}")
        return item.assets[asset]
    rasters = [a for key, a in item.assets.items() if _is_raster(a) and not _is_label(key, a)]
    data = [a for a in rasters if "data" in (a.roles or ())]
    for found in (data, [a for key, a in item.assets.items() if key == "visual"], rasters):
        if len(found) == 1:
            return found[0]
    problem = "several rasters" if rasters else "no raster"
    raise SceneError(f"{path}: item {item.id} has {problem} among its assets ({there}): choose one with --asset")


def _labels(item: pystac.Item) -> str | None:
    return next((_href(item, a) for key, a in item.assets.items() if _is_label(key, a)), None)


def _is_label(key: str, asset: pystac.Asset) -> bool:
    return key.lower() in _LABELS or bool(_LABELS & set(asset.roles or ()))


def _is_raster(asset: pystac.Asset) -> bool:
    if asset.media_type is not None:
        return asset.media_type.split(";")[0].strip().lower() in _RASTER_TYPES
    return Path(asset.href.split("?")[0]).suffix.lower() in _RASTER_SUFFIXES


def _href(item: pystac.Item, asset: pystac.Asset) -> str:
    href = asset.href
    if href.startswith("file://"):
        return href.removeprefix("file://")
    if is_url(href) or href.startswith("/vsi"):
        return href
    absolute = asset.get_absolute_href()
    return absolute if absolute is not None else str(Path(item.get_self_href() or "").parent / href)
