"""Opens files in QGIS and renders them; run by ``test_qgis.py`` with the Python that has QGIS, without a screen.

``python3 qgis_child.py REQUESTS.json ANSWERS.json``. A request has ``uri``, ``kind`` (``raster`` or ``vector``),
``style`` (a ``.qml`` or ``.sld`` to load by hand, or null for what QGIS finds by itself), ``extent`` (west, south,
east, north), ``size`` (width, height in pixels) and ``image``, where the render goes.
``python3 qgis_child.py --ready`` says ``ready`` if QGIS starts and has what opens both kinds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor, QImage

PROVIDERS = {"raster": "gdal", "vector": "ogr"}


def open_layer(uri: str, kind: str) -> Any:
    """The layer as dropping the file on QGIS makes it, default style included."""
    return (QgsRasterLayer if kind == "raster" else QgsVectorLayer)(uri, "layer", PROVIDERS[kind])


def load_style(layer: Any, path: str) -> bool:
    """Loads a style by hand; False if QGIS refuses it."""
    if path.endswith(".sld"):
        _, loaded = layer.loadSldStyle(path)
    else:
        _, loaded = layer.loadNamedStyle(path)
    return bool(loaded)


def legend_of(layer: Any) -> list[list[Any]]:
    """Value, label and colour of each entry of a renderer of classes; empty for other renderers."""
    renderer = layer.renderer()
    kind = type(renderer).__name__
    if kind == "QgsPalettedRasterRenderer":
        return [[int(c.value), c.label, c.color.name()] for c in renderer.classes()]
    if kind == "QgsCategorizedSymbolRenderer":
        return [[int(c.value()), c.label(), c.symbol().color().name()] for c in renderer.categories()]
    if kind == "QgsRuleBasedRenderer":
        rules = renderer.rootRule().children()
        return [[r.filterExpression(), r.label(), r.symbol().color().name()] for r in rules]
    return []


def render(layer: Any, request: dict[str, Any]) -> bool:
    """Draws the layer alone on nothing, without antialiasing; False if the image could not be saved."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(QgsRectangle(*request["extent"]))
    settings.setOutputSize(QSize(*request["size"]))
    settings.setBackgroundColor(QColor(0, 0, 0, 0))
    settings.setOutputImageFormat(QImage.Format_ARGB32)
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    return bool(job.renderedImage().save(request["image"]))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What QGIS makes of one file."""
    layer = open_layer(request["uri"], request["kind"])
    found: dict[str, Any] = {"valid": layer.isValid(), "qgis": Qgis.QGIS_VERSION}
    if not layer.isValid():
        return found
    if request["style"] is not None:
        found["styled"] = load_style(layer, request["style"])
    extent = layer.extent()
    found["crs"] = layer.crs().authid()
    found["extent"] = [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
    found["renderer"] = type(layer.renderer()).__name__
    found["legend"] = legend_of(layer)
    found["rendered"] = render(layer, request)
    return found


def main(requests: str, answers: str = "") -> None:
    """Answers every request of a file, or says that it could."""
    application = QgsApplication([], False)
    application.initQgis()
    if requests == "--ready":
        has = QgsProviderRegistry.instance().providerList()
        missing = [name for name in PROVIDERS.values() if name not in has]
        application.exitQgis()
        if missing:
            sys.exit(f"QGIS has no provider {missing[0]}")
        sys.stdout.write("ready\n")
        return
    found = [answer(request) for request in json.loads(Path(requests).read_text(encoding="utf-8"))]
    Path(answers).write_text(json.dumps(found), encoding="utf-8")
    application.exitQgis()


if __name__ == "__main__":
    main(*sys.argv[1:])
