"""STAC documents as scenes: which raster of which item, in which order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from geoseg.errors import SceneError, SceneReadError
from geoseg.raster.stac import is_stac, stac_items

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def stac_rasters(path: str, *, asset: str | None = None) -> list[str]:
    return [found.raster for found in stac_items(path, asset=asset)]


def item(name: str, **assets: dict[str, Any]) -> pystac.Item:
    made = pystac.Item(id=name, geometry=None, bbox=None, datetime=datetime(2026, 1, 1, tzinfo=UTC), properties={})
    for key, fields in assets.items():
        made.add_asset(key, pystac.Asset(**fields))
    return made


def written(path: Path, *items: pystac.Item) -> str:
    features = [i.to_dict(include_self_link=False) for i in items]
    data = features[0] if len(features) == 1 else {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(data))
    return str(path)


def test_hrefs_relative_absolute_and_remote(tmp_path: Path) -> None:
    path = written(
        tmp_path / "items.json",
        item("c", image={"href": "./tiles/c.tif"}),
        item("a", image={"href": str(tmp_path / "a.tif")}),
        item("b", image={"href": "https://example.org/b.tif?x=1"}),
        item("d", image={"href": f"file://{tmp_path}/d.tif"}),
        item("e", image={"href": "/vsizip/e.zip/e.tif"}),
    )
    assert is_stac(path)
    assert stac_rasters(path) == [
        str(tmp_path / "tiles" / "c.tif"),
        str(tmp_path / "a.tif"),
        "https://example.org/b.tif?x=1",
        str(tmp_path / "d.tif"),
        "/vsizip/e.zip/e.tif",
    ]


@pytest.mark.parametrize(
    ("assets", "chosen"),
    [
        (
            {"thumbnail": {"href": "t.png", "media_type": "image/png"}, "cog": {"href": "x.tif", "media_type": COG}},
            "x.tif",
        ),
        ({"one": {"href": "1.tif"}, "two": {"href": "2.tif", "roles": ["data"]}}, "2.tif"),
        ({"one": {"href": "1.tif"}, "visual": {"href": "v.tif"}}, "v.tif"),
        ({"meta": {"href": "m.xml", "roles": ["data"]}, "one": {"href": "1.jp2"}}, "1.jp2"),
    ],
)
def test_the_asset_that_is_meant(tmp_path: Path, assets: dict[str, Any], chosen: str) -> None:
    assert stac_rasters(written(tmp_path / "item.json", item("i", **assets))) == [str(tmp_path / chosen)]


def test_ambiguity_is_named_and_settled(tmp_path: Path) -> None:
    path = written(tmp_path / "item.json", item("i", red={"href": "r.tif"}, green={"href": "g.tif"}))
    with pytest.raises(SceneError, match=r"item i has several rasters among its assets \(red, green\).*--asset"):
        stac_rasters(path)
    assert stac_rasters(path, asset="green") == [str(tmp_path / "g.tif")]
    with pytest.raises(SceneError, match="item i has no asset 'blue', there are red, green"):
        stac_rasters(path, asset="blue")
    with pytest.raises(SceneError, match="item n has no raster among its assets"):
        stac_rasters(written(tmp_path / "none.json", item("n", meta={"href": "m.xml"})))


@pytest.mark.parametrize("kind", ["collection", "catalog"])
def test_collections_and_catalogues_with_items_in_files_of_their_own(tmp_path: Path, kind: str) -> None:
    root: pystac.Catalog = pystac.Catalog(id="root", description="all")
    if kind == "collection":
        extent = pystac.Extent(pystac.SpatialExtent([[0, 0, 1, 1]]), pystac.TemporalExtent([[None, None]]))
        root = pystac.Collection(id="root", description="all", extent=extent)
    for name in ("b", "a"):
        root.add_item(item(name, image={"href": f"./{name}.tif", "roles": ["data"]}))
    root.normalize_and_save(str(tmp_path), catalog_type=pystac.CatalogType.SELF_CONTAINED)
    path = str(tmp_path / f"{kind}.json")
    assert is_stac(path)
    assert stac_rasters(path) == [str(tmp_path / name / f"{name}.tif") for name in ("b", "a")]


def test_what_is_no_stac(tmp_path: Path) -> None:
    plain = tmp_path / "area.geojson"
    plain.write_text(json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": None}]}))
    assert not is_stac(str(plain))
    assert not is_stac(str(tmp_path / "missing.json"))
    assert not is_stac(str(tmp_path))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(SceneReadError, match=r"broken.json: cannot be read as JSON"):
        is_stac(str(broken))
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    with pytest.raises(SceneError, match="this STAC FeatureCollection has no items"):
        stac_rasters(str(empty))
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"type": "Feature", "assets": {}}))
    with pytest.raises(SceneReadError, match=r"bad.json: cannot be read as STAC"):
        stac_rasters(str(bad))
