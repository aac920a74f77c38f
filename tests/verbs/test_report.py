"""Reports, STAC items and styles of real runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest

import geoseg
from geoseg.errors import GridError, OutputError, OutputExistsError, SceneError, SceneReadError
from geoseg.geometry.ground import row_areas
from geoseg.legend import Legend
from geoseg.raster.styles import qml
from geoseg.raster.zarr_store import open_store
from tests.raster.test_stac_item import refuse_incomplete, refuse_invalid
from tests.reporting.test_page import Parsed
from tests.scenes import random_pixels, write_scene

SMALL: dict[str, Any] = {
    "patch_size": 64, "exact": True, "tile": 64, "device": "cpu", "threads": 1, "runtime": "eager", "confidence": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """A folder with a scene, a truth, and all that a run can write of them."""
    folder = tmp_path_factory.mktemp("run")
    scene = write_scene(folder / "scene.tif", random_pixels((150, 210)))
    truth = np.random.default_rng(2).integers(0, 5, (1, 150, 210)).astype(np.uint8)
    write_scene(folder / "truth.tif", truth)
    result = geoseg.predict(
        scene,
        outputs=[folder / "map.tif", folder / "map.zarr"],
        model=tiny_bundle,
        reference=folder / "truth.tif",
        report=folder / "map.html",
        stac=folder / "map.json",
        **SMALL,
    )
    assert [Path(p).name for p in result.outputs] == ["map.tif", "map.zarr", "map.json", "map.html"]
    return folder


def texts(page: Path) -> list[str]:
    return Parsed(page.read_text(encoding="utf-8")).text


def test_a_run_writes_all_of_it_and_nothing_else(run: Path) -> None:
    assert sorted(p.name for p in run.iterdir()) == [
        "map.html", "map.json", "map.qml", "map.sld", "map.tif", "map.tif.aux.xml", "map.zarr", "scene.tif",
        "truth.tif",
    ]  # fmt: skip
    legend = open_store(run / "map.zarr").legend
    assert (run / "map.qml").read_text() == qml(legend)


def test_the_item_describes_the_outputs(run: Path, tiny_bundle: Path) -> None:
    data = json.loads((run / "map.json").read_text())
    refuse_invalid(data)
    refuse_incomplete(data)
    item = pystac.Item.from_file(str(run / "map.json"))
    found = {key: Path(str(asset.get_absolute_href())) for key, asset in item.assets.items()}
    assert {key: path.name for key, path in found.items() if key != "model"} == {
        "classes": "map.tif", "classes_names": "map.tif.aux.xml", "style_qgis": "map.qml", "style_sld": "map.sld",
        "zarr": "map.zarr", "report": "map.html",
    }  # fmt: skip
    assert found["model"] == tiny_bundle
    assert all(path.exists() for path in found.values())
    assert item.assets["classes"].extra_fields["file:size"] == (run / "map.tif").stat().st_size
    assert item.properties["geoseg:plan_digest"] == open_store(run / "map.zarr").attributes["geoseg_plan_digest"]
    assert [link.get_absolute_href() for link in item.get_links("derived_from")] == [str(run / "scene.tif")]


def test_the_page_of_the_run_has_its_figures(run: Path) -> None:
    store = open_store(run / "map.zarr")
    shown = texts(run / "map.html")
    classes = store.read_classes(_whole(store.shape))
    for c in store.legend:
        assert f"{int((classes == c.id).sum()):,}" in shown
    ground = row_areas(store.geobox)
    assert ground is not None
    hectares = float(ground(_whole(store.shape)).sum()) * 210 / 1e4
    assert hectares == pytest.approx(12.6, rel=0.01)  # pixels of 2 m in UTM
    assert f"{hectares:,.2f}" in shown
    assert f"{store.attributes['metrics']['miou']:.3f}" in shown
    assert store.attributes["geoseg_plan_digest"] in shown
    timing = store.attributes["geoseg_timing"]
    assert timing["predicted_pixels"] == 150 * 210
    assert timing["tiles"] > 0
    assert f"{timing['tiles']:.1f} s" in shown
    images = Parsed((run / "map.html").read_text()).of("img")
    assert [image["alt"] for image in images] == [
        "The scene", "The class map", "Where map and reference differ", "Confidence of the class map",
    ]  # fmt: skip


def test_a_report_afterwards_is_the_same_page(run: Path, tmp_path: Path) -> None:
    made = geoseg.report(run / "map.zarr", tmp_path / "again.html")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        geoseg.report(run / "map.zarr", made.path)
    again, first = Parsed(made.path.read_text()), Parsed((run / "map.html").read_text())
    alt = "Where map and reference differ"
    assert [i for i in first.of("img") if i["alt"] != alt] == again.of("img")  # errors need the reference
    assert [text for text in first.text if text not in again.text] == ["Errors", "right", "half wrong", "wrong"]
    assert "Accuracy" in again.text  # the scores are in the store


def test_a_reference_given_afterwards_is_scored_in_full(run: Path, tmp_path: Path) -> None:
    """What the page shows is what ``evaluate`` counts."""
    made = geoseg.report(run / "map.zarr", tmp_path / "judged.html", reference=run / "truth.tif")
    page = Parsed(made.path.read_text())
    first = texts(run / "map.html")
    assert not [text for text in first if text not in page.text and not text.startswith("Scored")]
    found = geoseg.evaluate(run / "map.zarr", run / "truth.tif", boundary=3, calibration=True, write=False).metrics
    assert f"{found['calibration']['ece']:.3f}" in page.text
    assert f"{found['boundary']['miou']:.3f}" in page.text
    assert f"{found['boundary']['mean_f1']:.3f}" in page.text
    assert "Is the confidence honest?" in page.text
    assert "Is the confidence honest?" not in first


def test_a_page_shows_what_the_store_was_evaluated_for(run: Path, tmp_path: Path) -> None:
    judged = tmp_path / "map.zarr"
    shutil.copytree(run / "map.zarr", judged)
    geoseg.evaluate(judged, run / "truth.tif", erode_boundary=1, boundary=2, calibration=True)
    shown = texts(geoseg.report(judged).path)
    assert "Boundaries of each class, within 2 px" in shown
    assert "Is the confidence honest?" in shown
    assert any("within 1 pixels of a boundary of the reference are not" in text for text in shown)


def test_a_scene_that_moved(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "map.zarr"
    shutil.copytree(run / "map.zarr", moved)
    attributes = json.loads((moved / "zarr.json").read_text())
    attributes["attributes"]["geoseg_plan"]["scene"]["uri"] = str(tmp_path / "gone.tif")
    (moved / "zarr.json").write_text(json.dumps(attributes))
    without = geoseg.report(moved)
    assert without.path == tmp_path / "map.html"
    assert any("--scene" in note for note in without.notes)
    assert next(a["alt"] for a in Parsed(without.path.read_text()).of("img")) == "The class map"
    here = geoseg.report(moved, overwrite=True, scene=run / "scene.tif")
    assert next(a["alt"] for a in Parsed(here.path.read_text()).of("img")) == "The scene"
    other = write_scene(tmp_path / "other.tif", random_pixels((150, 100)))
    with pytest.raises(SceneError, match="100 x 150 pixels, the map 210 x 150"):
        geoseg.report(moved, overwrite=True, scene=other)


def test_what_cannot_be_reported_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneReadError, match=r"\.zarr"):
        geoseg.report(run / "map.tif", tmp_path / "a.html")
    with pytest.raises(OutputError, match=r"\.html"):
        geoseg.report(run / "map.zarr", tmp_path / "a.pdf")
    with pytest.raises(SceneReadError, match=r"none\.zarr: no such store$"):
        geoseg.report(tmp_path / "none.zarr", tmp_path / "a.html")
    shutil.copytree(run / "map.zarr", tmp_path / ".none.zarr.part.zarr")
    with pytest.raises(SceneReadError, match=r"no such store, but an unfinished one \(\.none"):
        geoseg.report(tmp_path / "none.zarr", tmp_path / "a.html")
    shutil.copytree(run / "map.zarr", tmp_path / "half.zarr")
    root = json.loads((tmp_path / "half.zarr" / "zarr.json").read_text())
    del root["attributes"]["multiscales"]
    (tmp_path / "half.zarr" / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(SceneReadError, match="not finished"):
        geoseg.report(tmp_path / "half.zarr", tmp_path / "a.html")
    elsewhere = write_scene(tmp_path / "far.tif", np.zeros((1, 150, 210), np.uint8), crs="EPSG:32601")
    with pytest.raises(GridError):
        geoseg.report(run / "map.zarr", tmp_path / "a.html", reference=elsewhere)
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.parametrize("name", ["map.html", "map.json"])
def test_what_is_there_is_not_replaced_unasked(tmp_path: Path, tiny_bundle: Path, name: str) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((64, 64)))
    (tmp_path / name).write_text("mine")
    where: dict[str, Any] = {
        "outputs": tmp_path / "map.tif", "report": tmp_path / "map.html", "stac": tmp_path / "map.json",
        "model": tiny_bundle, **SMALL, "confidence": False,
    }  # fmt: skip
    with pytest.raises(OutputExistsError, match=name.replace(".", r"\.")):
        geoseg.predict(scene, **where)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["scene.tif", name])
    assert (tmp_path / name).read_text() == "mine"
    geoseg.predict(scene, **where, overwrite=True)
    assert (tmp_path / name).read_text() != "mine"


def test_a_run_stopped_at_its_end_writes_the_rest(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import geoseg.verbs.stac as last

    scene = write_scene(tmp_path / "scene.tif", random_pixels((64, 64)))
    where: dict[str, Any] = {
        "outputs": [tmp_path / "map.tif", tmp_path / "map.zarr"], "report": tmp_path / "map.html",
        "stac": tmp_path / "map.json", "model": tiny_bundle, **SMALL,
    }  # fmt: skip

    def fail(*_: Any, **__: Any) -> None:
        raise OutputError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(last, "write_item", fail)
        with pytest.raises(OutputError, match="no space"):
            geoseg.predict(scene, **where)
    assert (tmp_path / "map.html").exists()
    assert not (tmp_path / "map.json").exists()
    result = geoseg.predict(scene, **where)
    assert result.predicted_pixels == 0
    assert (tmp_path / "map.json").exists()
    assert not list(tmp_path.glob(".*"))


def test_names_of_the_scene_do_not_run(tmp_path: Path) -> None:
    from torch import nn

    scene = write_scene(tmp_path / "scene.tif", random_pixels((40, 40)))
    legend = Legend.from_json([{"id": 0, "name": "<script>alert(1)</script>"}, {"id": 1, "name": "<b>"}])
    geoseg.predict(
        scene, outputs=tmp_path / "a.zarr", model=nn.Conv2d(3, 2, 1), legend=legend, report=tmp_path / "a.html"
    )
    page = Parsed((tmp_path / "a.html").read_text())
    assert len(page.of("script")) == 1
    assert not page.of("b")
    assert "<script>alert(1)</script>" in page.text


def _whole(shape: tuple[int, int]) -> Any:
    from geoseg.geometry.windows import Window

    return Window.whole(shape)


def test_a_style_that_is_there_stays_unless_told(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((64, 64)))
    (tmp_path / "map.qml").write_text("mine")
    where: dict[str, Any] = {"outputs": tmp_path / "map.tif", "model": tiny_bundle, **SMALL, "confidence": False}
    geoseg.predict(scene, **where)
    assert (tmp_path / "map.qml").read_text() == "mine"
    geoseg.predict(scene, **where, overwrite=True)
    assert (tmp_path / "map.qml").read_text() != "mine"


def test_a_scene_without_data_says_so_everywhere(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.zeros((3, 70, 90), np.uint8), nodata=0)
    targets = [tmp_path / "map.zarr", tmp_path / "map.gpkg"]
    made = geoseg.predict(scene, outputs=targets, model=tiny_bundle, report=tmp_path / "map.html", **SMALL)
    assert "not one valid pixel: the map is all nodata" in made.notes
    assert "the map holds no class at all: no polygons" in made.notes
    shown = texts(tmp_path / "map.html")
    assert "not one valid pixel: the map is all nodata" in shown
    assert any("Not one pixel has a class: the map is all nodata." in text for text in shown)


def test_what_is_counted_to_the_last_tile_says_so(run: Path) -> None:
    shown = texts(run / "map.html")
    assert "memory to the last tile" in shown
    assert "To make this store again" in shown
    assert any("not kept in a store" in text for text in shown)
