"""Polygons as an output of ``predict`` and ``batch``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import pytest
import rasterio
import shapely

import geoseg
from geoseg.errors import OutputError, OutputExistsError
from geoseg.raster.styles import qml
from geoseg.raster.vector import read_metadata
from geoseg.raster.zarr_store import open_store
from geoseg.verbs import finishing
from tests.polygons.maps import judged, named
from tests.scenes import random_pixels, write_scene


def polygons_of(tif: Path) -> list[tuple[int, bytes]]:
    """Of a finished COG, by GDAL."""
    with rasterio.open(tif) as raster:
        ids, polygons = judged(raster.read(1))
        a, _, c, _, e, f = tuple(raster.transform)[:6]
    return named(ids, shapely.transform(polygons, lambda xy: xy * (a, e) + (c, f)))


def found(path: Path) -> list[tuple[int, bytes]]:
    frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path, layer="classes")
    return named(frame["class_id"].tolist(), frame.geometry.to_numpy())


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", random_pixels((150, 210)))


def test_predict_writes_the_polygons_of_its_map(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    targets = [tmp_path / f"out{suffix}" for suffix in (".tif", ".gpkg", ".parquet", ".fgb")]
    stages: list[str] = []
    result = geoseg.predict(scene, outputs=targets, model=tiny_bundle, on_progress=lambda p: stages.append(p.stage))
    assert "polygons" in stages
    assert set(result.outputs) == {str(t) for t in targets}
    for target in targets[1:]:
        assert found(target) == polygons_of(tmp_path / "out.tif")
    assert {read_metadata(t).get("geoseg_plan_digest") for t in targets[1:3]} == {result.plan.digest}
    frame = geopandas.read_file(tmp_path / "out.gpkg", layer="classes")
    assert set(frame["scene"]) == {"scene"}
    assert set(frame["model"]) == {"tiny"}
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_polygons_alone_and_what_is_there_already(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    geoseg.predict(scene, outputs=tmp_path / "a.gpkg", model=tiny_bundle)
    geoseg.predict(scene, outputs=tmp_path / "a.tif", model=tiny_bundle)
    assert found(tmp_path / "a.gpkg") == polygons_of(tmp_path / "a.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.gpkg",
        "a.polygons.sld",
        "a.qml",
        "a.sld",
        "a.tif",
        "a.tif.aux.xml",
        "scene.tif",
    ]
    with pytest.raises(OutputExistsError, match=r"a\.gpkg is there already"):
        geoseg.predict(scene, outputs=tmp_path / "a.gpkg", model=tiny_bundle)
    with pytest.raises(OutputError, match="two outputs of one kind"):
        geoseg.predict(scene, outputs=[tmp_path / "b.gpkg", tmp_path / "c.gpkg"], model=tiny_bundle)


def test_polygons_named_after_the_scene_leave_the_scenes_style_alone(
    scene: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "scene.qml").write_text("mine")
    targets = [tmp_path / "scene.gpkg", tmp_path / "scene.fgb"]
    item = tmp_path / "item.json"
    found = geoseg.predict(scene, outputs=targets, model=tiny_bundle, overwrite=True, stac=item)
    assert (tmp_path / "scene.qml").read_text() == "mine"
    assert any("scene.qml is not written: QGIS would draw scene.tif by it" in note for note in found.notes)
    assert {asset["href"] for asset in json.loads(item.read_text())["assets"].values()} == {
        "./scene.gpkg", "./scene.fgb", "./scene.polygons.sld", tiny_bundle.as_posix(),
    }  # fmt: skip
    geoseg.predict(scene, outputs=tmp_path / "map.tif", model=tiny_bundle)
    (tmp_path / "scene.qml").unlink()
    geoseg.export(tmp_path / "map.tif", targets[0], overwrite=True)
    assert not (tmp_path / "scene.qml").exists()


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_of_zarr_2_has_a_style(
    scene: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, stop: bool
) -> None:
    """For pixels and polygons, in whatever order they come."""
    outputs = [tmp_path / "a.zarr", tmp_path / "a.gpkg"]
    asked: dict[str, Any] = {"outputs": outputs, "model": tiny_bundle, "zarr_format": 2, "stac": tmp_path / "a.json"}
    if stop:
        with monkeypatch.context() as patch:
            patch.setattr(finishing, "finish_store", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                geoseg.predict(scene, **asked, overwrite=overwrite)
    geoseg.predict(scene, **asked, overwrite=overwrite)
    assert (tmp_path / "a.qml").read_text() == qml(open_store(tmp_path / "a.zarr").legend)
    assert not (tmp_path / "a.sld").exists()
    assert "./a.qml" in {asset["href"] for asset in json.loads((tmp_path / "a.json").read_text())["assets"].values()}
    geoseg.export(tmp_path / "a.zarr", tmp_path / "a.gpkg", overwrite=True)
    assert (tmp_path / "a.qml").read_text() == qml(open_store(tmp_path / "a.zarr").legend)


def test_a_batch_styles_stores_of_zarr_2(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "scenes.csv").write_text(f"scene\n{scene}\n")
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("zarr",), "scheduler": "sync"}
    geoseg.batch(tmp_path / "scenes.csv", **asked, zarr_format=2)
    assert {p.name for p in (tmp_path / "maps").iterdir()} >= {"scene_classes.zarr", "scene_classes.qml"}


def test_a_run_that_stopped_after_its_polygons_goes_on(
    scene: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = [tmp_path / "a.zarr", tmp_path / "a.gpkg", tmp_path / "a.geojson"]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "finish_store", stop)
        with pytest.raises(KeyboardInterrupt):
            geoseg.predict(scene, outputs=outputs, model=tiny_bundle)
    assert (tmp_path / "a.gpkg").exists()
    assert not (tmp_path / "a.zarr").exists()
    again = geoseg.predict(scene, outputs=outputs, model=tiny_bundle)
    assert again.predicted_pixels == 0
    geoseg.export(tmp_path / "a.zarr", tmp_path / "b.gpkg")
    assert found(tmp_path / "a.gpkg") == found(tmp_path / "b.gpkg")


def test_a_strangers_file_is_not_replaced_by_a_run_that_goes_on(
    scene: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = [tmp_path / "a.zarr", tmp_path / "a.gpkg"]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "finish_store", stop)
        with pytest.raises(KeyboardInterrupt):
            geoseg.predict(scene, outputs=outputs, model=tiny_bundle)
    (tmp_path / "a.gpkg").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"a\.gpkg"):
        geoseg.predict(scene, outputs=outputs, model=tiny_bundle)
    assert (tmp_path / "a.gpkg").read_bytes() == b"mine"


def test_a_batch_writes_them_and_knows_them_again(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "scenes.csv").write_text(f"scene\n{scene}\n")
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("cog", "gpkg"), "scheduler": "sync"}
    geoseg.batch(tmp_path / "scenes.csv", **asked)
    made = tmp_path / "maps" / "scene_classes.gpkg"
    stamp = made.stat().st_mtime_ns
    assert found(made) == polygons_of(tmp_path / "maps" / "scene_classes.tif")
    assert geoseg.batch(tmp_path / "scenes.csv", **asked).rows[0].state == "done"
    assert made.stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_a_real_scene(shared_data: Path, tmp_path: Path) -> None:
    """A Dubai tile with the default model: the same polygons from the store, the COG and the whole array."""
    scene = shared_data / "dubai" / "tile1.tif"
    targets = [tmp_path / "map.zarr", tmp_path / "map.tif", tmp_path / "map.gpkg"]
    geoseg.predict(scene, outputs=targets, confidence=True)
    expected = polygons_of(tmp_path / "map.tif")
    geoseg.export(tmp_path / "map.zarr", tmp_path / "out.parquet", tile=200)
    geoseg.export(tmp_path / "map.tif", tmp_path / "out.fgb")
    for name in ("map.gpkg", "out.parquet", "out.fgb"):
        assert found(tmp_path / name) == expected
    frame = geopandas.read_parquet(tmp_path / "out.parquet")
    assert frame["confidence"].between(0, 100).all()
    clean = geoseg.export(tmp_path / "map.zarr", tmp_path / "clean.gpkg", min_area=20.0, simplify=1.0)
    after = geopandas.read_file(tmp_path / "clean.gpkg", layer="classes")
    assert shapely.coverage_is_valid(after.geometry.to_numpy())
    assert after["area_px"].sum() == pytest.approx(frame["area_px"].sum(), rel=1e-3)
    assert clean.polygons < len(frame) / 2
