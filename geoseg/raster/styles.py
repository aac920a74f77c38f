"""Styles of class maps for QGIS (QML) and for map servers (SLD): the legend's colours and names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from geoseg.errors import OutputError
from geoseg.legend import Color, Legend
from geoseg.raster.atomic import output_errors, part_path, put_in_place, remove
from geoseg.raster.strangers import has_own_map, stranger_beside

Kind = Literal["raster", "vector"]
"""Pixels of class ids in band 1, or polygons with a class id each."""

_KINDS: tuple[Kind, ...] = ("raster", "vector")

CLASS_FIELD = "class_id"
"""The attribute of polygons that holds the class id."""

_NAMESPACES = {
    "sld": "http://www.opengis.net/sld",
    "ogc": "http://www.opengis.net/ogc",
    "xlink": "http://www.w3.org/1999/xlink",
}


def qml(legend: Legend, *, kind: Kind | None = None) -> str:
    """A QGIS layer style: one entry per class.

    Args:
        legend: the classes.
        kind: of layers it is for; None for both: QGIS looks for the styles of ``map.tif`` and ``map.fgb`` under one
            name, and each kind of layer passes over the other's part.

    Raises:
        OutputError: for an unknown kind.
    """
    kinds = _KINDS if kind is None else (kind,)
    _refuse_unknown(*kinds)
    return _document(
        *([_paletted(legend)] if "raster" in kinds else []), *([_categorized(legend)] if "vector" in kinds else [])
    )


def gray_qml(*, highest: float) -> str:
    """A QGIS layer style: band 1 from black (0) to white (``highest``)."""
    pipe = ET.Element("pipe")
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        {"type": "singlebandgray", "grayBand": "1", "gradient": "BlackToWhite", "opacity": "1", "alphaBand": "-1"},
    )
    stretch = ET.SubElement(renderer, "contrastEnhancement")
    _fill(stretch, {"minValue": "0", "maxValue": f"{highest:g}", "algorithm": "StretchToMinimumMaximum"})
    return _document(pipe)


def sld(legend: Legend, *, kind: Kind = "vector") -> str:
    """A Styled Layer Descriptor 1.0 (OGC 02-070): a colour map of values, or a rule per class.

    Raises:
        OutputError: for an unknown kind.
    """
    _refuse_unknown(kind)
    root = ET.Element("StyledLayerDescriptor", {"version": "1.0.0", "xmlns": _NAMESPACES["sld"]})
    for prefix in ("ogc", "xlink"):
        root.set(f"xmlns:{prefix}", _NAMESPACES[prefix])
    layer = ET.SubElement(root, "NamedLayer")
    ET.SubElement(layer, "Name").text = "classes"
    style = ET.SubElement(layer, "UserStyle")
    ET.SubElement(style, "Name").text = "classes"
    rules = ET.SubElement(style, "FeatureTypeStyle")
    rules.extend([_raster_rule(legend)] if kind == "raster" else [_polygon_rule(c.id, c.name, c.color) for c in legend])
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_text(root)}'


def style_paths(data: Path, *, kind: Kind) -> tuple[Path, ...]:
    """Where the styles of a file lie.

    Returns:
        ``map.qml``, which QGIS loads with ``map.tif``, ``map.fgb`` and ``map.geojson``, and ``map.sld`` of rasters or
        ``map.polygons.sld``: one SLD cannot serve both. No ``.qml`` where a raster that is not geoseg's has that stem,
        because QGIS would draw it by that style. Of a Zarr store the ``.qml`` alone: no map server takes another.
    """
    found = () if stranger_beside(data) else (data.with_suffix(".qml"),)
    if data.suffix.lower() == ".zarr":
        return found
    return (*found, data.with_suffix(".sld" if kind == "raster" else ".polygons.sld"))


def style_notes(data: Path, *, kind: Kind) -> tuple[str, ...]:
    """Why a file has no ``.qml``, where QGIS would look for one; empty if it has, or needs none."""
    if kind == "vector" and data.suffix.lower() not in (".fgb", ".geojson"):
        return ()
    stranger = stranger_beside(data)
    if stranger is None:
        return ()
    style = data.with_suffix(".qml").name
    return (f"{style} is not written: QGIS would draw {stranger.name} by it; give {data.name} a name of its own",)


def write_styles(data: Path, legend: Legend, *, kind: Kind, overwrite: bool = False) -> tuple[Path, ...]:
    """Writes the styles of a file beside it; each is whole or not there.

    The ``.qml`` speaks of polygons, and of pixels where a map of geoseg's lies at that stem. A style that is there
    already may be somebody's own work: it stays, unless ``overwrite`` says otherwise, or it is word for word what
    geoseg writes of this legend for one kind.

    Returns:
        The paths.

    Raises:
        OutputError: if one cannot be written.
    """
    targets = style_paths(data, kind=kind)
    for target in targets:
        if target.suffix == ".sld":
            _write(target, sld(legend, kind=kind), overwrite=overwrite)
            continue
        text = qml(legend, kind=None if kind == "raster" or has_own_map(data) else "vector")
        own = [qml(legend, kind=each) for each in _KINDS]  # one for both is left
        _write(target, text, overwrite=overwrite or _text_of(target) in own)
    return targets


def write_qml(data: Path, text: str, *, overwrite: bool = False) -> None:
    """Writes a ``.qml`` of a raster beside it, whole or not at all, by the rules of ``write_styles``.

    Raises:
        OutputError: if it cannot be written.
    """
    if stranger_beside(data) is None:
        _write(data.with_suffix(".qml"), text, overwrite=overwrite)


def _write(target: Path, text: str, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        return
    part = part_path(target)
    with output_errors(target):
        try:
            part.write_text(text, encoding="utf-8")
            put_in_place(part, target)
        finally:
            remove(part)


def _text_of(path: Path) -> str | None:
    """The text of a file; None if it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _refuse_unknown(*kinds: str) -> None:
    for kind in kinds:
        if kind not in _KINDS:
            raise OutputError(f"no style for {kind!r}: there are raster and vector")


def _paletted(legend: Legend) -> ET.Element:
    """QGIS's renderer of pixel values."""
    pipe = ET.Element("pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    ET.SubElement(renderer, "rasterTransparency")
    palette = ET.SubElement(renderer, "colorPalette")
    for c in legend:
        ET.SubElement(palette, "paletteEntry", value=str(c.id), color=_hex(c.color), label=c.name, alpha="255")
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return pipe


def _categorized(legend: Legend) -> ET.Element:
    """QGIS's renderer of polygons by an attribute."""
    renderer = ET.Element(
        "renderer-v2", type="categorizedSymbol", attr=CLASS_FIELD, symbollevels="0", enableorderby="0"
    )
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, c in enumerate(legend):
        ET.SubElement(
            categories, "category", value=str(c.id), type="long", label=c.name, symbol=str(number), render="true"
        )
        symbol = ET.SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1", clip_to_extent="1")
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
        options = ET.SubElement(layer, "Option", type="Map")
        color = ",".join(str(v) for v in (*c.color, 255))
        for name, value in (("color", color), ("style", "solid"), ("outline_style", "no")):
            ET.SubElement(options, "Option", type="QString", name=name, value=value)
    return renderer


def _raster_rule(legend: Legend) -> ET.Element:
    rule = ET.Element("Rule")
    symbolizer = ET.SubElement(rule, "RasterSymbolizer")
    gray = ET.SubElement(ET.SubElement(symbolizer, "ChannelSelection"), "GrayChannel")
    ET.SubElement(gray, "SourceChannelName").text = "1"
    colors = ET.SubElement(symbolizer, "ColorMap", type="values")
    for c in legend:
        ET.SubElement(colors, "ColorMapEntry", color=_hex(c.color), quantity=str(c.id), label=c.name, opacity="1")
    return rule


def _polygon_rule(class_id: int, name: str, color: Color) -> ET.Element:
    rule = ET.Element("Rule")
    _fill(rule, {"Name": name, "Title": name})
    equal = ET.SubElement(ET.SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
    _fill(equal, {"ogc:PropertyName": CLASS_FIELD, "ogc:Literal": str(class_id)})
    fill = ET.SubElement(ET.SubElement(rule, "PolygonSymbolizer"), "Fill")
    ET.SubElement(fill, "CssParameter", name="fill").text = _hex(color)
    return rule


def _document(*parts: ET.Element) -> str:
    """A layer style of QGIS."""
    root = ET.Element("qgis", version="3.28.0", styleCategories="Symbology")
    root.extend(parts)
    ET.SubElement(root, "blendMode").text = "0"
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{_text(root)}"


def _fill(element: ET.Element, items: Mapping[str, str]) -> None:
    for name, value in items.items():
        ET.SubElement(element, name).text = value


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return f"{ET.tostring(root, encoding='unicode')}\n"


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
