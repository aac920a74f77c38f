"""The legend a class map carries with it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

from geoseg.errors import LegendError
from geoseg.legend import IGNORE, Legend
from geoseg.raster.datasets import open_dataset
from geoseg.raster.label_reading import is_store, label_reading, open_class_store
from geoseg.raster.tags import LEGEND_TAG


def stored_legend(uri: str) -> Legend | None:
    """The legend geoseg wrote into a ``.zarr`` or a GeoTIFF; None if there is none.

    Raises:
        LegendError: if there is one that cannot be read.
        SceneReadError: if the file cannot be opened.
    """
    if is_store(uri):
        legend: Legend = open_class_store(uri).legend
        return legend
    with label_reading(uri, None):
        text = open_dataset(uri).tags().get(LEGEND_TAG)
    if text is None:
        return None
    try:
        return Legend.from_json(json.loads(text))
    except (ValueError, TypeError) as error:
        raise LegendError(f"the legend in {uri} cannot be read ({error}); give one") from error


def guessed_legend(uri: str, *, ids: Iterable[int]) -> Legend:
    """A legend of the ids found in a raster, with the names and colours that GDAL keeps beside it, where it does.

    Names are the ``CategoryNames`` of the raster's ``.aux.xml``, colours its colour table's.

    Raises:
        LegendError: if there is no id at all.
    """
    with label_reading(uri, None):
        dataset = open_dataset(uri)
        try:
            colors = dataset.colormap(1)
        except ValueError:  # rasterio's word for "none"
            colors = {}
    names = _category_names(Path(f"{uri}.aux.xml"))
    entries = []
    for i in sorted(set(ids) - {IGNORE}):
        name = names[i] if i < len(names) else ""
        entry = {"id": i, "name": name if name and names.count(name) == 1 else f"class {i}"}
        entries.append(entry | ({"color": list(colors[i][:3])} if i in colors else {}))
    if not entries:
        raise LegendError(f"{uri} holds no class at all, every pixel is {IGNORE} or nodata; there is nothing to score")
    return Legend.from_json(entries)


def _category_names(sidecar: Path) -> list[str]:
    """Category names of the first band, by value; empty if there are none to be read."""
    try:
        root = ET.parse(sidecar).getroot()  # noqa: S314 - expat itself bounds entities since 2.4.1
    except (OSError, ET.ParseError):
        return []
    band = root.find("PAMRasterBand[@band='1']/CategoryNames")
    return [] if band is None else [(item.text or "").strip() for item in band.findall("Category")]
