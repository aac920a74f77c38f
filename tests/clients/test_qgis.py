"""What geoseg writes, in QGIS itself: layers, legends, and renders that are compared class by class.

At one pixel of the screen for one of the map and without antialiasing a pixel's centre decides, so that every class
must lie exactly where the class map has it, in renders of polygons too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from PIL import Image

import geoseg
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import Legend
from geoseg.raster.cog import write_cog
from geoseg.raster.styles import write_styles
from geoseg.raster.zarr_spec import StoreSpec
from geoseg.raster.zarr_store import create_store, finish_store, open_store
from tests.polygons.maps import smooth

PYTHON = "/usr/bin/python3"
"""PyQGIS comes with the system and is for its Python, not for that of the tests."""

CHILD = Path(__file__).with_name("qgis_child.py")
SIDECARS = (".fgb", ".geojson")
"""Files of polygons that QGIS finds a ``.qml`` beside."""


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the tests' own Python, GDAL and PROJ, nothing of the user's QGIS."""
    home.mkdir(exist_ok=True, mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "LANG": "C.UTF-8",
        "QT_QPA_PLATFORM": "offscreen",
    }


def _has_qgis() -> bool:
    """True if QGIS starts and has what opens rasters and polygons; packages may be installed in part."""
    if not Path(PYTHON).exists():
        return False
    with tempfile.TemporaryDirectory() as home:
        command = [PYTHON, "-I", str(CHILD), "--ready"]
        environment = _environment(Path(home) / "home")
        try:
            ended = subprocess.run(command, env=environment, capture_output=True, timeout=200, check=False)
        except subprocess.TimeoutExpired:
            return False
    return ended.returncode == 0 and ended.stdout.endswith(b"ready\n")


pytestmark = pytest.mark.skipif(not _has_qgis(), reason=f"no QGIS starts in {PYTHON} (Debian's python3-qgis)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Written:
    """A class map in every format, all of one stem."""

    folder: Path
    classes: npt.NDArray[np.uint8]
    """(height, width)."""
    geobox: GeoBox
    legend: Legend
    code: str
    """Of the CRS, as QGIS calls it."""
    answers: dict[str, tuple[dict[str, Any], npt.NDArray[np.uint8]]] = field(default_factory=dict)
    """What QGIS said and drew (height, width, RGBA), by what it was asked."""

    @property
    def extent(self) -> tuple[float, float, float, float]:
        a, _, west, _, e, north = self.geobox.transform
        height, width = self.geobox.shape
        return west, north + e * height, west + a * width, north

    def requests(self) -> dict[str, dict[str, Any]]:
        """What is opened, and how."""
        path = self.folder / "map"
        geoseg.evaluate(f"{path}.tif", f"{path}.tif", by_tile=self.folder / "where.tif", tile=64, write=False)
        height, width = self.classes.shape
        alone = self.folder / "alone" / "map.gpkg"
        alone.parent.mkdir()
        shutil.copy(path.with_suffix(".gpkg"), alone)  # without a .qml beside it: the style must come from within
        asked: dict[str, tuple[str, str, Path | None]] = {
            "cog": ("raster", f"{path}.tif", None),
            "zarr": ("raster", f'ZARR:"{path}.zarr":/classes', path.with_suffix(".qml")),
            "where": ("raster", str(self.folder / "where.tif"), None),
            "gpkg": ("vector", str(alone), None),
            "gpkg with the .qml": ("vector", str(alone), path.with_suffix(".qml")),
            "gpkg with the .sld": ("vector", str(alone), path.with_suffix(".polygons.sld")),
            **{suffix[1:]: ("vector", f"{path}{suffix}", None) for suffix in SIDECARS},
        }
        common = {"extent": self.extent, "size": [width, height]}
        found = {
            name: {"kind": kind, "uri": uri, "style": None if style is None else str(style), **common}
            for name, (kind, uri, style) in asked.items()
        }
        return {**found, "cog from afar": {**found["cog"], "size": [width // 4, height // 4]}}


def predicted(folder: Path) -> Written:
    """All of it by one run: a synthetic scene with a hole of nodata, the default model."""
    scene, path = folder / "scene.tif", folder / "map"
    geoseg.synth(scene, width=640, height=540)
    with rasterio.open(scene, "r+") as raster:
        raster.nodata = 0
        raster.write(np.zeros((3, 90, 150), np.uint8), window=rasterio.windows.Window(200, 60, 150, 90))
    targets = [f"{path}{suffix}" for suffix in (".tif", ".zarr", ".gpkg", *SIDECARS)]
    geoseg.predict(scene, outputs=targets, zarr_format=2, confidence=True, runtime="eager")
    with rasterio.open(f"{path}.tif") as raster:
        classes, transform = raster.read(1), tuple(raster.transform)[:6]
    legend = open_store(folder / "map.zarr").legend
    box = GeoBox(shape=classes.shape, transform=transform, crs=None)
    return Written(folder=folder, classes=classes, geobox=box, legend=legend, code="EPSG:32640")


def in_degrees(folder: Path) -> Written:
    """A map in EPSG:4326 whose ids have gaps and whose names are hard on XML."""
    legend = Legend.from_json(
        [
            {"id": 0, "name": "łąka ✓"},
            {"id": 3, "name": "a < b & 'c'"},
            {"id": 7, "name": '"quoted"'},
            {"id": 254, "name": "d"},
        ]
    )
    ids = np.array([*legend.ids, *[255] * 252], np.uint8)
    classes = ids[smooth(520, seed=4, classes=5)]
    box = GeoBox(
        shape=classes.shape, transform=(1e-5, 0.0, 10.1, 0.0, -1e-5, 50.7), crs=rasterio.CRS.from_epsg(4326).to_wkt()
    )
    path = folder / "map"
    spec = StoreSpec(geobox=box, core=(256, 256), chunk=(64, 64), legend=legend, confidence=True, zarr_format=2)
    store = create_store(folder / "part.zarr", spec)
    store.write_classes(Window.whole(box.shape), classes)
    store.add_overviews()
    write_cog(store, path.with_suffix(".tif"), tags={})
    write_styles(path.with_suffix(".tif"), legend, kind="raster")
    finish_store(store.path, path.with_suffix(".zarr"))
    geoseg.export(f"{path}.zarr", [f"{path}{suffix}" for suffix in (".gpkg", *SIDECARS)])
    return Written(folder=folder, classes=classes, geobox=box, legend=legend, code="EPSG:4326")


def ask(requests: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What QGIS answers; one process for all."""
    asked, answers = folder / "requests.json", folder / "answers.json"
    asked.write_text(json.dumps(requests))
    command = [PYTHON, "-I", str(CHILD), str(asked), str(answers)]
    ended = subprocess.run(
        command, env=_environment(folder / "home"), capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(answers.read_text())
    return found


@pytest.fixture(scope="module", params=[predicted, in_degrees])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    made: Written = request.param(tmp_path_factory.mktemp("qgis"))
    asked = {name: {**values, "image": str(made.folder / f"{name}.png")} for name, values in made.requests().items()}
    for name, found in zip(asked, ask(list(asked.values()), made.folder), strict=True):
        picture = np.zeros((0, 0, 4), np.uint8)
        if found.get("rendered"):
            with Image.open(asked[name]["image"]) as image:
                picture = np.asarray(image.convert("RGBA"))
        made.answers[name] = (found, picture)
    return made


EVERY = ("cog", "zarr", "gpkg", "gpkg with the .qml", "gpkg with the .sld", "fgb", "geojson")


@pytest.mark.parametrize("name", EVERY)
def test_the_layer_lies_where_it_should_and_has_the_legend(written: Written, name: str) -> None:
    found, _ = written.answers[name]
    assert found["valid"]
    assert found.get("styled", True)
    assert found["crs"] == written.code
    assert found["extent"] == pytest.approx(written.extent, rel=1e-12)
    wanted = [[c.id, c.name, "#" + bytes(c.color).hex()] for c in written.legend]
    if name.endswith(".sld"):
        wanted = [[f"class_id = {number}", *shown] for number, *shown in wanted]
    assert found["legend"] == wanted


@pytest.mark.parametrize("name", EVERY)
def test_every_class_is_drawn_where_the_map_has_it(written: Written, name: str) -> None:
    _, picture = written.answers[name]
    assert picture.shape == (*written.classes.shape, 4)
    differing = {}
    for c in written.legend:
        drawn = (picture == np.array([*c.color, 255], np.uint8)).all(axis=-1)
        differing[c.name] = int(np.count_nonzero(drawn != (written.classes == c.id)))
    differing["nodata"] = int(np.count_nonzero((picture[..., 3] == 0) != (written.classes == 255)))
    assert differing == dict.fromkeys(differing, 0)


def test_scores_of_blocks_are_no_composite(written: Written) -> None:
    """Bands of figures are not red, green and blue: the accuracy, 1 everywhere here, is white."""
    found, picture = written.answers["where"]
    assert found["renderer"] == "QgsSingleBandGrayRenderer"
    drawn = picture[picture[..., 3] != 0]
    assert len(drawn)
    assert (drawn == 255).all()


def test_there_is_something_to_compare(written: Written) -> None:
    found = set(np.unique(written.classes).tolist())
    assert 255 in found
    assert len(found) >= 4


def test_from_afar_no_colour_is_a_mixture(written: Written) -> None:
    """QGIS takes an overview then; neither it nor QGIS's resampling may invent classes."""
    _, picture = written.answers["cog from afar"]
    drawn = {tuple(color) for color in picture.reshape(-1, 4).tolist()}
    assert drawn <= {(*c.color, 255) for c in written.legend} | {(0, 0, 0, 0)}
    assert len(drawn) >= 4
