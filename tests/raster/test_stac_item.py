"""STAC items: judged by the specification's schema, by pystac's readers of the extensions, and by pyproj."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyproj
import pystac
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from geoseg.geometry.geobox import GeoBox, GroundControlPoint
from geoseg.legend import Legend
from geoseg.raster.footprint import footprint_of
from geoseg.raster.stac_item import ItemContent, item_of, write_item

LEGEND = Legend.from_json([{"id": 0, "name": "bare soil"}, {"id": 7, "name": "bare-soil"}, {"id": 9, "name": "łąka ✓"}])
CARD = {"name": "räumlich/1", "architecture": "Unet", "bands": ["red", "green", "blue"]}


def wkt(code: str) -> str:
    return str(pyproj.CRS.from_user_input(code).to_wkt())


def utm(*, shape: tuple[int, int] = (300, 200), zone: int = 33) -> GeoBox:
    return GeoBox(shape=shape, transform=(2.0, 0.0, 500_000.0, 0.0, -2.0, 4_000_000.0), crs=wkt(f"EPSG:326{zone}"))


def refuse_invalid(item: dict[str, Any]) -> None:
    """Raises what the schema of STAC items (as it comes with pystac) does not allow."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(s)) for uri, s in schemas.items()])
    schema = next(s for uri, s in schemas.items() if uri.endswith("/item.json"))
    jsonschema.Draft7Validator(schema, registry=registry).validate(item)


def refuse_incomplete(item: dict[str, Any]) -> None:
    """Raises if a field is missing or malformed that the schema of an extension, in the version named, requires.

    The schemas themselves are on the network; these are their rules, read there.
    """
    words, hexes = re.compile(r"[0-9A-Za-z_-]+"), re.compile(r"[0-9A-F]{6}")
    properties, assets = item["properties"], item["assets"]
    lists = [a["classification:classes"] for a in assets.values() if "classification:classes" in a]
    lists += [output["classification:classes"] for output in properties.get("mlm:output", ())]
    for entry in (entry for classes in lists for entry in classes):
        assert isinstance(entry["value"], int)
        assert words.fullmatch(entry["name"])
        assert entry["description"]  # of version 1.1.0, which mlm refers to
        assert hexes.fullmatch(entry.get("color_hint", "000000"))
    for asset in assets.values():
        assert re.fullmatch("1220[0-9a-f]{64}", asset.get("file:checksum", "1220" + 64 * "0"))
        assert asset.get("file:size", 0) >= 0
    code = properties["proj:code"]
    assert code is None or re.fullmatch(r"[A-Za-z0-9]+:[A-Za-z0-9]+", code)
    assert len(properties.get("proj:transform", range(6))) in (6, 9)
    assert re.fullmatch("L[0-4][A-C]?", properties["processing:level"])
    assert all(isinstance(found, str) for found in properties["processing:software"].values())
    if any("/mlm/" in uri for uri in item["stac_extensions"]):
        _refuse_incomplete_model(properties, assets)


def _refuse_incomplete_model(properties: dict[str, Any], assets: dict[str, Any]) -> None:
    assert re.fullmatch(r"[A-Za-z][\w.\-\s]+[A-Za-z0-9]", properties["mlm:name"], re.ASCII)
    assert properties["mlm:architecture"]
    assert len(set(properties["mlm:tasks"])) == len(properties["mlm:tasks"]) > 0
    known = {band["name"] for band in properties["bands"]}  # which a model with named bands must have
    for taken in properties["mlm:input"]:
        assert {"name", "bands", "input"} <= set(taken)
        assert known.issuperset(taken["bands"])
        assert {"shape", "dim_order", "data_type"} <= set(taken["input"])
        assert len(taken["input"]["shape"]) == len(set(taken["input"]["dim_order"]))
    for made in properties["mlm:output"]:
        assert {"name", "tasks", "result"} <= set(made)
        assert {"shape", "dim_order", "data_type"} <= set(made["result"])
        assert len(made["result"]["shape"]) == len(set(made["result"]["dim_order"]))
    models = [asset for asset in assets.values() if "mlm:model" in asset["roles"]]
    assert len(models) == 1
    assert models[0]["mlm:artifact_type"]


def content(box: GeoBox, folder: Path, **fields: Any) -> ItemContent:
    folder.mkdir(exist_ok=True)
    written = [folder / name for name in ("map.tif", "map.tif.aux.xml", "map.qml", "map.sld", "look.png", "map.html")]
    for path in written:
        path.write_bytes(path.name.encode())
    (folder / "map.zarr").mkdir(exist_ok=True)
    defaults: dict[str, Any] = {
        "id": "map", "geobox": box, "legend": LEGEND, "made": datetime(2026, 11, 26, 8, 0, tzinfo=UTC),
        "files": (*written, folder / "map.zarr", folder / "p.gpkg"),
        "sources": ("https://example.org/scene.tif",), "software": {"geoseg": "0.1.0"},
    }  # fmt: skip
    (folder / "p.gpkg").write_bytes(b"")
    return ItemContent(**{**defaults, **fields})


def test_an_item_is_valid_and_says_what_lies_where(tmp_path: Path) -> None:
    bundle = tmp_path / "elsewhere.safetensors"
    bundle.write_bytes(b"weights")
    target = tmp_path / "out" / "map.json"
    box = utm()
    write_item(target, content(box, target.parent, model=bundle, card=CARD, patch=(64, 96)))
    data = json.loads(target.read_text())
    refuse_invalid(data)
    refuse_incomplete(data)
    item = pystac.Item.from_dict(data)
    assert item.to_dict(include_self_link=False) == data
    placed = ProjectionExtension.ext(item)
    assert placed.code == "EPSG:32633"
    assert placed.shape == [300, 200]
    assert placed.transform == list(box.transform)
    assert item.datetime == datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
    for key in ("classes", "zarr"):
        classes = ClassificationExtension.ext(item.assets[key]).classes
        assert classes is not None
        assert {c.value: c.title for c in classes} == {
            **dict(zip(LEGEND.ids, LEGEND.names, strict=True)),
            255: "no class",
        }
        assert len({c.name for c in classes}) == len(classes)
        assert [c.color_hint for c in classes[:-1]] == [bytes(c).hex().upper() for c in LEGEND.colors]
    cog = item.assets["classes"]
    assert cog.href == "./map.tif"
    assert cog.media_type == pystac.MediaType.COG
    assert FileExtension.ext(cog).size == len(b"map.tif")
    assert "file:checksum" not in item.assets["classes_names"].extra_fields  # `evaluate` writes into that file
    assert FileExtension.ext(cog).checksum == "1220" + hashlib.sha256(b"map.tif").hexdigest()
    assert item.assets["zarr"].media_type == "application/vnd.zarr; version=3"
    assert item.assets["model"].href == str(bundle)
    assert {r for a in item.assets.values() for r in a.roles or ()} >= {
        "data",
        "overview",
        "style",
        "metadata",
        "mlm:model",
    }
    assert [link.target for link in item.get_links("derived_from")] == ["https://example.org/scene.tif"]
    assert data["properties"]["mlm:input"][0]["input"]["shape"] == [-1, 3, 64, 96]
    assert data["properties"]["processing:software"] == {"geoseg": "0.1.0"}


def test_styles_of_several_files_are_an_asset_each(tmp_path: Path) -> None:
    names = ("a.tif", "a.qml", "a.sld", "a.polygons.sld", "b.qml", "b.polygons.sld")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    item = item_of(tmp_path / "m.json", content(utm(), tmp_path / "x", files=tuple(tmp_path / n for n in names)))
    refuse_invalid(item)
    assert {key: asset["href"] for key, asset in item["assets"].items()} == {
        "classes": "./a.tif", "style_qgis": "./a.qml", "style_sld": "./a.sld", "style_qgis_2": "./b.qml",
        "style_sld_polygons": "./a.polygons.sld", "style_sld_polygons_2": "./b.polygons.sld",
    }  # fmt: skip


def test_the_model_fields_read_as_a_model(tmp_path: Path) -> None:
    mlm = pytest.importorskip("pystac.extensions.mlm")
    bundle = tmp_path / "m.safetensors"
    bundle.write_bytes(b"weights")
    made = content(utm(), tmp_path, model=bundle, card=CARD, patch=(64, 96))
    item = pystac.Item.from_dict(item_of(tmp_path / "map.json", made))
    model = mlm.MLMExtension.ext(item)
    assert model.mlm_name == "r-umlich-1"
    assert model.architecture == "Unet"
    assert [str(getattr(task, "value", task)) for task in model.tasks] == ["semantic-segmentation"]
    assert model.input[0].bands == CARD["bands"]
    assert model.output[0].result.shape == [-1, 3, 64, 96]


def test_without_a_model_file_nothing_is_claimed_of_one(tmp_path: Path) -> None:
    item = item_of(tmp_path / "map.json", content(utm(), tmp_path))
    refuse_incomplete(item)
    assert not [name for name in item["properties"] if name.startswith("mlm:")]
    assert not [uri for uri in item["stac_extensions"] if "/mlm/" in uri]


POINTS = (GroundControlPoint(row=0, col=0, x=1, y=2),)


@pytest.mark.parametrize(
    "box",
    [
        GeoBox(shape=(3, 4)),
        GeoBox(shape=(3, 4), transform=(2.0, 0, 5, 0, -2.0, 7)),
        GeoBox(shape=(3, 4), crs=wkt("EPSG:4326"), gcps=POINTS),
        GeoBox(shape=(3, 4), transform=(1e7, 0, 0, 0, -1e7, 0), crs=wkt("EPSG:32633")),
    ],
    ids=["nothing", "no CRS", "GCPs", "off the earth"],
)
def test_a_grid_without_a_place_has_no_geometry(tmp_path: Path, box: GeoBox) -> None:
    item = item_of(tmp_path / "map.json", content(box, tmp_path))
    refuse_invalid(item)
    refuse_incomplete(item)
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["proj:shape"] == [3, 4]


@given(
    st.integers(1, 60),
    st.floats(-80, 80),
    st.floats(0.1, 500),
    st.floats(0, 360),
    st.integers(1, 300),
    st.integers(1, 300),
)
@example(60, 10.0, 500.0, 0.0, 300, 300)
@example(33, 0.0, 0.1, 215.8288102991798, 1, 1)
@example(60, -79.0, 0.1, 80.35326871681751, 1, 1)
def test_every_pixel_corner_lies_in_the_footprint(
    zone: int, lat: float, size: float, turn: float, height: int, width: int
) -> None:
    """Rotated grids too, and those across the antimeridian."""
    crs = wkt(f"EPSG:{32600 + zone if lat >= 0 else 32700 + zone}")
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_utm.transform(-180 + 6 * zone - 0.001, lat)  # the zone's eastern edge
    cos, sin = size * np.cos(np.radians(turn)), size * np.sin(np.radians(turn))
    box = GeoBox(shape=(height, width), transform=(cos, sin, x, sin, -cos, y), crs=crs)
    found = footprint_of(box)
    assert found is not None
    shape = shapely.geometry.shape(found.geometry)
    assert shape.is_valid
    assert all(part.exterior.is_ccw for part in getattr(shape, "geoms", [shape]))
    corners = [box.world(col, row) for row in (0, height / 2, height) for col in (0, width / 2, width)]
    lon, lats = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*zip(*corners, strict=True))
    around = shapely.buffer(shape, 0.02 * size * max(height, width) / 111_000 + 1e-6)
    assert shapely.covers(around, shapely.points(lon, lats)).all()
    west, south, east, north = found.bbox
    assert -180 <= west <= 180
    assert -180 <= east <= 180
    assert south <= north
    assert (east - west) % 360 < 30  # 150 km at 80 degrees are 8
    assert (west > east) == (found.geometry["type"] == "MultiPolygon")


def test_outlines_run_anticlockwise_on_both_sides_of_the_antimeridian() -> None:
    box = GeoBox(shape=(10, 40), transform=(0.1, 0, 178.0, 0, -0.1, 5.0), crs=wkt("EPSG:4326"))
    found = footprint_of(box)
    assert found is not None
    assert found.bbox == (178.0, 4.0, -178.0, 5.0)
    parts = shapely.geometry.shape(found.geometry).geoms
    assert sorted(part.bounds for part in parts) == [(-180.0, 4.0, -178.0, 5.0), (178.0, 4.0, 180.0, 5.0)]
    assert all(part.exterior.is_ccw for part in parts)
    assert sum(part.area for part in parts) == pytest.approx(4.0)
