"""Styles say what the legend says, whatever the names are, and never replace what nobody gave up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import OutputError
from geoseg.legend import Legend
from geoseg.raster.preview import write_preview
from geoseg.raster.styles import CLASS_FIELD, qml, sld, style_notes, style_paths, write_styles
from geoseg.raster.tags import LEGEND_TAG

SLD, OGC = "{http://www.opengis.net/sld}", "{http://www.opengis.net/ogc}"

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
legends = st.lists(names, min_size=1, max_size=6, unique=True).map(
    lambda found: Legend.from_json(
        [{"id": 3 * i, "name": name, "color": [i, 40 * i, 255 - i]} for i, name in enumerate(found)]
    )
)


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + bytes(color).hex()


@given(legends)
def test_rasters_have_an_entry_per_class(legend: Legend) -> None:
    wanted = [(str(c.id), _hex(c.color), c.name) for c in legend]
    for text in (qml(legend, kind="raster"), qml(legend)):
        entries = ET.fromstring(text).findall("pipe/rasterrenderer/colorPalette/paletteEntry")
        assert [(e.get("value"), e.get("color"), e.get("label")) for e in entries] == wanted
    entries = list(ET.fromstring(sld(legend, kind="raster").encode()).iter(f"{SLD}ColorMapEntry"))
    assert [(e.get("quantity"), e.get("color"), e.get("label")) for e in entries] == wanted


@given(legends)
def test_polygons_have_a_rule_per_class(legend: Legend) -> None:
    root = ET.fromstring(qml(legend))
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert renderer.get("attr") == CLASS_FIELD
    found = []
    for category in renderer.iter("category"):
        symbol = renderer.find(f"symbols/symbol[@name='{category.get('symbol')}']")
        assert symbol is not None
        color = symbol.find(".//Option[@name='color']")
        assert color is not None
        found.append((int(category.get("value", "")), category.get("label"), color.get("value")))
    assert found == [(c.id, c.name, ",".join(map(str, (*c.color, 255)))) for c in legend]
    rules = list(ET.fromstring(sld(legend).encode()).iter(f"{SLD}Rule"))
    assert [
        (r.findtext(f".//{OGC}Literal"), r.findtext(f"{SLD}Name"), r.findtext(f".//{SLD}CssParameter")) for r in rules
    ] == [(str(c.id), c.name, _hex(c.color)) for c in legend]
    assert {r.findtext(f".//{OGC}PropertyName") for r in rules} == {CLASS_FIELD}


def test_a_style_for_one_kind_says_nothing_of_the_other() -> None:
    found = {kind: {e.tag for e in ET.fromstring(qml(Legend.numbered(2), kind=kind))} for kind in ("raster", "vector")}
    assert found["raster"] == {"pipe", "blendMode"}
    assert found["vector"] == {"renderer-v2", "blendMode"}


@pytest.mark.parametrize("suffixes", [(".tif", ".gpkg"), (".gpkg", ".tif")])
def test_a_raster_and_polygons_of_one_stem_share_a_qml_and_not_an_sld(
    tmp_path: Path, suffixes: tuple[str, str]
) -> None:
    """Whichever comes first: the second finds a style there, and leaves it."""
    legend = Legend.numbered(3)
    for suffix in suffixes:
        write_styles(tmp_path / f"map.2{suffix}", legend, kind="raster" if suffix == ".tif" else "vector")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.2.polygons.sld", "map.2.qml", "map.2.sld"]
    assert {"pipe", "renderer-v2"} < {e.tag for e in ET.parse(tmp_path / "map.2.qml").getroot()}
    assert (tmp_path / "map.2.sld").read_text() == sld(legend, kind="raster")
    assert (tmp_path / "map.2.polygons.sld").read_text() == sld(legend)


def test_a_style_of_somebody_else_stays(tmp_path: Path) -> None:
    legend, target = Legend.numbered(2), tmp_path / "map.tif"
    own = tmp_path / "map.sld"
    own.write_text("mine")
    write_styles(target, legend, kind="raster")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.qml", "map.sld"]
    assert own.read_text() == "mine"
    assert write_styles(target, legend, kind="raster", overwrite=True) == style_paths(target, kind="raster")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.qml", "map.sld"]
    assert own.read_text() == sld(legend, kind="raster")


def raster(path: Path, **tags: str) -> Path:
    place: dict[str, Any] = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 5_000_000)}
    driver = {".png": "PNG", ".img": "HFA", "": "ENVI"}.get(path.suffix, "GTiff")
    with rasterio.open(path, "w", driver=driver, width=8, height=8, count=1, dtype="uint8", **place) as out:
        out.write(np.ones((1, 8, 8), np.uint8))
        out.update_tags(**tags)
    return path


@pytest.mark.parametrize("name", ["scene.tif", "scene.TIFF", "scene.img", "scene.png", "scene", "where.2.tif"])
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".zarr"])
def test_a_raster_of_somebody_else_is_not_restyled(tmp_path: Path, name: str, suffix: str) -> None:
    """Be it the scene or another: QGIS would draw it by the class map's style."""
    beside = raster(tmp_path / name, GEOSEG_BLOCK="512")
    target = tmp_path / f"{beside.stem}{suffix}"
    mine = target.with_suffix(".qml")
    kind: Any = "raster" if suffix == ".zarr" else "vector"
    for text in (None, "mine"):
        if text is not None:
            mine.write_text(text)
        written = write_styles(target, Legend.numbered(2), kind=kind, overwrite=True)
        assert written == style_paths(target, kind=kind)
        assert mine not in written
        assert (mine.read_text() if mine.exists() else None) == text
    assert all(path.exists() for path in written)
    assert bool(style_notes(target, kind=kind)) == (suffix != ".gpkg")  # that one has its style inside
    assert not style_notes(tmp_path / f"other{suffix}", kind=kind)


def test_polygons_style_pixels_only_where_a_map_of_geosegs_lies(tmp_path: Path) -> None:
    legend = Legend.numbered(3)
    write_preview(tmp_path / "map.png", classes=np.zeros((9, 9), np.uint8), pixels=None, legend=legend)
    (tmp_path / "map.txt").write_text("no raster")
    write_styles(tmp_path / "map.fgb", legend, kind="vector")
    assert (tmp_path / "map.qml").read_text() == qml(legend, kind="vector")
    raster(tmp_path / "map.tif", **{LEGEND_TAG: json.dumps(legend.to_json())})
    write_styles(tmp_path / "map.fgb", legend, kind="vector")
    assert (tmp_path / "map.qml").read_text() == qml(legend)
    (tmp_path / "map.tif").unlink()
    write_styles(tmp_path / "map.fgb", legend, kind="vector")
    assert (tmp_path / "map.qml").read_text() == qml(legend)  # there already
    write_styles(tmp_path / "map.fgb", Legend.numbered(2), kind="vector")
    assert (tmp_path / "map.qml").read_text() == qml(legend)  # of another legend: whose is it?


def test_a_store_has_a_qml_alone(tmp_path: Path) -> None:
    legend = Legend.numbered(2)
    assert write_styles(tmp_path / "map.zarr", legend, kind="raster") == (tmp_path / "map.qml",)
    assert [path.name for path in tmp_path.iterdir()] == ["map.qml"]
    assert (tmp_path / "map.qml").read_text() == qml(legend)


def test_unknown_kinds_are_refused() -> None:
    for make in (qml, sld):
        with pytest.raises(OutputError, match="raster and vector"):
            make(Legend.numbered(1), kind="mesh")  # type: ignore[arg-type]
