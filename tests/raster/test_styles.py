"""Styles say what the legend says, whatever the names are, and never replace what nobody gave up."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import OutputError
from geoseg.legend import Legend
from geoseg.raster.styles import CLASS_FIELD, qml, sld, style_paths, write_styles

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


def test_unknown_kinds_are_refused() -> None:
    for make in (qml, sld):
        with pytest.raises(OutputError, match="raster and vector"):
            make(Legend.numbered(1), kind="mesh")  # type: ignore[arg-type]
