"""Styles for QGIS: the legend's colours and names."""

from __future__ import annotations

from typing import Literal
from xml.etree import ElementTree as ET

from geoseg.errors import OutputError
from geoseg.legend import Legend

CLASS_FIELD = "class_id"
"""The attribute of polygons that holds the class id."""


def qml(legend: Legend, *, kind: Literal["vector"] = "vector") -> str:
    """A QGIS layer style: one category per class, by ``class_id``.

    Raises:
        OutputError: for another kind.
    """
    if kind != "vector":
        raise OutputError(f"no style for {kind!r}: there is one for vector")
    root = ET.Element("qgis", version="3.28.0", styleCategories="Symbology")
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr=CLASS_FIELD, symbollevels="0", enableorderby="0"
    )
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for number, c in enumerate(legend):
        ET.SubElement(
            categories, "category", value=str(c.id), type="long", label=c.name, symbol=str(number), render="true"
        )
        symbol = ET.SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1", clip_to_extent="1")
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
        options = ET.SubElement(layer, "Option", type="Map")
        for name, value in (("color", _rgba(c.color)), ("style", "solid"), ("outline_style", "no")):
            ET.SubElement(options, "Option", type="QString", name=name, value=value)
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{ET.tostring(root, encoding='unicode')}"


def _rgba(color: tuple[int, int, int]) -> str:
    return ",".join(str(v) for v in (*color, 255))
