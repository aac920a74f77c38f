"""A STAC 1.1 item that describes what a run wrote, so that catalogues and their clients find and read it.

Extensions: projection 2.0, classification 2.0, processing 1.2, file 2.1, and, where the model is a file, machine
learning model (mlm) 1.4.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from geoseg.geometry.geobox import GeoBox
from geoseg.legend import IGNORE, Legend
from geoseg.raster.atomic import output_errors, part_path, put_in_place, remove
from geoseg.raster.crs import crs_name
from geoseg.raster.footprint import footprint_of

_BASE = "https://stac-extensions.github.io"
PROJECTION = f"{_BASE}/projection/v2.0.0/schema.json"
CLASSIFICATION = f"{_BASE}/classification/v2.0.0/schema.json"
PROCESSING = f"{_BASE}/processing/v1.2.0/schema.json"
FILE = f"{_BASE}/file/v2.1.0/schema.json"
MODEL = f"{_BASE}/mlm/v1.4.0/schema.json"

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"

_KINDS: Mapping[str, tuple[str, str, str]] = {
    **dict.fromkeys((".tif", ".tiff"), ("classes", _COG, "data")),
    ".zarr": ("zarr", "application/vnd.zarr", "data"),
    ".gpkg": ("polygons", "application/geopackage+sqlite3", "data"),
    ".parquet": ("polygons_parquet", "application/vnd.apache.parquet", "data"),
    ".fgb": ("polygons_flatgeobuf", "application/vnd.flatgeobuf", "data"),
    ".geojson": ("polygons_geojson", "application/geo+json", "data"),
    ".png": ("preview", "image/png", "overview"),
    **dict.fromkeys((".html", ".htm"), ("report", "text/html", "metadata")),
    ".qml": ("style_qgis", "application/xml", "style"),
    ".sld": ("style_sld", "application/vnd.ogc.sld+xml", "style"),
    ".polygons.sld": ("style_sld_polygons", "application/vnd.ogc.sld+xml", "style"),
    ".xml": ("classes_names", "application/xml", "metadata"),
}
"""By suffix: key, media type and role of an asset."""

_RASTERS = ("classes", "zarr")
_CHANGING = ("classes_names",)  # ``evaluate`` writes scores into it later: size and checksum would be false then


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemContent:
    """What an item tells."""

    id: str
    geobox: GeoBox
    legend: Legend
    made: datetime
    """When the run ended."""
    files: tuple[Path | str, ...]
    """Paths and URLs of what was written; companions of a ``.tif`` among them."""
    sources: tuple[str, ...]
    """The scene's files."""
    software: Mapping[str, str]
    """Names and versions of what computed."""
    zarr_format: int = 3
    model: Path | None = None
    """The bundle; None where the model is no file."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """Its card."""
    patch: tuple[int, int] = (0, 0)
    """(height, width) of the patches, pixels."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Further properties, of the ``geoseg`` prefix."""


def write_item(target: Path, content: ItemContent) -> None:
    """Writes the item as JSON; one that is there is replaced.

    A grid without a place on the earth has the geometry null, as STAC allows.

    Raises:
        OutputError: if it cannot be written.
    """
    text = json.dumps(item_of(target, content), indent=2, allow_nan=False)
    part = part_path(target)
    with output_errors(target):
        try:
            part.write_text(f"{text}\n", encoding="utf-8")
            put_in_place(part, target)
        finally:
            remove(part)


def item_of(target: Path, content: ItemContent) -> dict[str, Any]:
    """The item as plain values; files must be there, for their sizes and checksums."""
    import pystac  # not at the top: a fifth of a second

    place = footprint_of(content.geobox)
    extensions = [PROJECTION, CLASSIFICATION, PROCESSING, FILE]
    item = pystac.Item(
        id=content.id,
        geometry=None if place is None else place.geometry,
        bbox=None if place is None else list(place.bbox),
        datetime=content.made,
        properties={**_projection(content.geobox), **_processing(content), **dict(content.origin)},
        stac_extensions=extensions,
    )
    for path in content.files:
        key, asset = _asset(path, target, content)
        item.add_asset(_unused(key, item.assets), pystac.Asset.from_dict(asset))
    if content.model is not None and content.card:
        extensions.append(MODEL)
        item.properties.update(_model_properties(content))
        item.add_asset("model", pystac.Asset.from_dict(_model_asset(content, target)))
    for source in content.sources:
        item.add_link(pystac.Link(rel="derived_from", target=_href(source, target)))
    found: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return found


def _projection(box: GeoBox) -> dict[str, Any]:
    """Of the projection extension; ``proj:code`` is null for a CRS that has no code, whose WKT says it all."""
    found: dict[str, Any] = {"proj:shape": list(box.shape)}
    if box.crs is None:
        return {"proj:code": None, **found}
    name = crs_name(box.crs)
    coded = re.fullmatch(r"[A-Za-z0-9]+:[A-Za-z0-9]+", name)
    found |= {"proj:code": name} if coded else {"proj:code": None, "proj:wkt2": box.crs}
    if box.is_placed and not box.gcps:
        found["proj:transform"] = list(box.transform)
    return found


def _processing(content: ItemContent) -> dict[str, Any]:
    return {
        "processing:level": "L4",  # model output, in the words of the extension
        "processing:datetime": content.made.isoformat().replace("+00:00", "Z"),
        "processing:software": dict(content.software),
        "processing:lineage": "Semantic segmentation of a raster into classes",
    }


def _asset(path: Path | str, target: Path, content: ItemContent) -> tuple[str, dict[str, Any]]:
    name = Path(path).name.lower()
    key, media_type, role = _KINDS[".polygons.sld" if name.endswith(".polygons.sld") else Path(name).suffix]
    if key == "zarr":
        media_type = f"{media_type}; version={content.zarr_format}"
    asset: dict[str, Any] = {"href": _href(path, target), "type": media_type, "roles": [role]}
    if key in _RASTERS:
        asset["bands"] = [{"name": "classes", "data_type": "uint8", "nodata": IGNORE}]
        asset["classification:classes"] = _classes(content.legend)
    if isinstance(path, Path) and path.is_file() and key not in _CHANGING:
        asset |= _file(path)
    return key, asset


def _unused(key: str, taken: Container[str]) -> str:
    """The key, numbered where files of two stems have styles each."""
    names = (key if number == 1 else f"{key}_{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _classes(legend: Legend) -> list[dict[str, Any]]:
    """Of the classification extension, whose names are words without spaces; ``title`` is the name as it is."""
    found: list[dict[str, Any]] = []
    for c in legend:
        name = re.sub(r"[^0-9A-Za-z_-]+", "_", c.name).strip("_") or f"class_{c.id}"
        if any(other["name"] == name for other in found):
            name = f"{name}_{c.id}"
        color = "{:02X}{:02X}{:02X}".format(*c.color)
        named = {"value": c.id, "name": name, "title": c.name, "description": c.name}  # mlm demands a description
        found.append({**named, "color_hint": color})
    nodata = {"value": IGNORE, "name": "nodata", "title": "no class", "description": "no class", "nodata": True}
    return [*found, nodata]


def _file(path: Path) -> dict[str, Any]:
    """Size and SHA-256 as a multihash (1220: SHA-256 of 32 bytes)."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"file:size": path.stat().st_size, "file:checksum": f"1220{digest}"}


def _model_properties(content: ItemContent) -> dict[str, Any]:
    card, (height, width) = content.card, content.patch
    bands, classes = [str(b) for b in card["bands"]], len(content.legend)
    return {
        "bands": [{"name": band} for band in bands],  # what mlm:input names must be told of in STAC's own words too
        "mlm:name": _plain_name(str(card["name"])),
        "mlm:architecture": str(card["architecture"]),
        "mlm:framework": "PyTorch",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [
            {
                "name": "patch",
                "bands": bands,
                "input": {
                    "shape": [-1, len(bands), height, width],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, classes, height, width],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": _classes(content.legend)[:-1],
                "post_processing_function": None,
            }
        ],
    }


def _model_asset(content: ItemContent, target: Path) -> dict[str, Any]:
    assert content.model is not None
    return {
        "href": _href(content.model, target),
        "type": "application/octet-stream; framework=pytorch",
        "title": f"{content.card['name']}: weights and card",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors",
        "bands": [{"name": str(band)} for band in content.card["bands"]],
        **_file(content.model),
    }


def _plain_name(name: str) -> str:
    """A name as the extension's schema wants it: letters, digits, ``_``, ``.``, ``-`` and spaces, a letter first."""
    plain = re.sub(r"[^0-9A-Za-z_.\-\s]+", "-", name).strip(" _.-")
    return plain if re.fullmatch(r"[A-Za-z][\w.\-\s]+[A-Za-z0-9]", plain, re.ASCII) else f"model {plain or 'x'}"


def _href(path: Path | str, target: Path) -> str:
    """Relative to the item where a file lies in its folder or below, so that both may move together; else absolute."""
    text = str(path)
    if "://" in text or text.startswith("/vsi"):
        return text
    absolute, folder = Path(text).absolute(), target.absolute().parent
    return f"./{absolute.relative_to(folder).as_posix()}" if absolute.is_relative_to(folder) else absolute.as_posix()
