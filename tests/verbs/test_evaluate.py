"""The verb ``evaluate``: what geoseg wrote, and what others did, against references of every kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from sklearn.metrics import confusion_matrix

from geoseg.errors import GridError, LegendError, SceneReadError
from geoseg.evaluation.metrics import table_rows
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import Legend
from geoseg.raster.cog import write_cog
from geoseg.raster.zarr_spec import StoreSpec
from geoseg.raster.zarr_store import create_store, finish_store, open_store
from geoseg.verbs.assess_design import assess_design
from geoseg.verbs.class_maps import read_legend
from geoseg.verbs.evaluate import METRICS_TAG, evaluate
from geoseg.verbs.evaluate_objects import evaluate_objects
from geoseg.verbs.export import export
from geoseg.verbs.predict import predict
from tests.scenes import random_pixels, write_scene

LEGEND = Legend.from_json(
    [{"id": 0, "name": "land", "color": [9, 9, 9]}, {"id": 1, "name": "road"}, {"id": 4, "name": "water"}]
)
UTM40 = rasterio.CRS.from_epsg(32640).to_wkt()
GRID = GeoBox(shape=(300, 420), transform=(0.7, 0.0, 330_000.1, 0.0, -0.7, 2_790_000.3), crs=UTM40)


def class_map(seed: int, shape: tuple[int, int] = GRID.shape) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([*LEGEND.ids, 255], np.uint8), size=shape, p=[0.5, 0.2, 0.2, 0.1])


def write_map(path: Path, ids: np.ndarray, *, geobox: GeoBox = GRID, legend: Legend = LEGEND) -> Path:
    """A class map as ``predict`` leaves it: ``.zarr``, or ``.tif`` with its ``.aux.xml``."""
    store = create_store(
        path.with_suffix(".part.zarr"), StoreSpec(geobox=geobox, core=(128, 128), chunk=(64, 64), legend=legend)
    )
    store.write_classes(Window.whole(geobox.shape), ids)
    if path.suffix == ".zarr":
        finish_store(store.path, path)
    else:
        write_cog(store, path, tags={"GEOSEG_LEGEND": json.dumps(legend.to_json()), "GEOSEG_PLAN": "abc"})
    return path


def write_tif(path: Path, ids: np.ndarray, *, geobox: GeoBox | None = GRID) -> Path:
    place = {} if geobox is None else {"transform": rasterio.Affine(*geobox.transform), "crs": geobox.crs}
    with rasterio.open(
        path, "w", driver="PNG" if path.suffix == ".png" else "GTiff", count=1, height=ids.shape[0],
        width=ids.shape[1], dtype="uint8", **place,
    ) as out:  # fmt: skip
        out.write(ids, 1)
    return path


def expected(truth: np.ndarray, prediction: np.ndarray) -> list[list[int]]:
    scored = (truth != 255) & (prediction != 255)
    counts: list[list[int]] = confusion_matrix(truth[scored], prediction[scored], labels=LEGEND.ids).tolist()
    return counts


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize("truth_name", ["truth.tif", "truth.png", "truth.zarr"])
def test_a_map_that_geoseg_wrote(tmp_path: Path, suffix: str, truth_name: str) -> None:
    prediction, truth = class_map(1), class_map(2)
    path = write_map(tmp_path / f"map{suffix}", prediction)
    if truth_name.endswith(".zarr"):
        reference = write_map(tmp_path / truth_name, truth)
    else:
        reference = write_tif(tmp_path / truth_name, truth, geobox=None if truth_name.endswith("png") else GRID)
    result = evaluate(path, reference, window=100)
    assert result.metrics["confusion"] == expected(truth, prediction)
    assert [c["name"] for c in result.metrics["classes"]] == ["land", "road", "water"]
    assert result.metrics["unpredicted_pixels"] == ((prediction == 255) & (truth != 255)).sum()
    assert any("no prediction" in note for note in result.notes)
    assert json.loads(json.dumps(result.to_json()))["metrics"] == result.metrics
    assert len(table_rows(result.metrics)) == 1 + 3 + 5


def test_metrics_go_into_the_aux_xml_of_a_cog(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", class_map(1))
    truth = write_tif(tmp_path / "truth.tif", class_map(2))
    before = path.read_bytes()
    for _ in range(2):  # a second evaluation replaces the first one's
        result = evaluate(path, truth)
    assert result.written_to == f"{path}.aux.xml"
    assert path.read_bytes() == before
    with rasterio.open(path) as dataset:
        assert json.loads(dataset.tags()[METRICS_TAG]) == result.metrics
        assert dataset.tags()["GEOSEG_PLAN"] == "abc"
    names = ET.parse(f"{path}.aux.xml").findall(".//Category")
    assert [n.text for n in names][:2] == ["land", "road"]


def test_metrics_go_into_the_attributes_of_a_zarr(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.zarr", class_map(1))
    truth = write_tif(tmp_path / "truth.tif", class_map(2))
    assert evaluate(path, truth, write=False).written_to is None
    assert "metrics" not in open_store(path).attributes
    result = evaluate(path, truth)
    assert open_store(path).attributes["metrics"] == result.metrics


def test_grids_that_differ_are_an_error_or_aligned(tmp_path: Path) -> None:
    prediction = class_map(1)
    path = write_map(tmp_path / "map.tif", prediction)
    fine = np.kron(class_map(2), np.ones((3, 3), np.uint8))
    grid = replace(
        GRID, shape=fine.shape, transform=(0.7 / 3, 0.0, GRID.transform[2], 0.0, -0.7 / 3, GRID.transform[5])
    )
    truth = write_tif(tmp_path / "truth.tif", fine, geobox=grid)
    with pytest.raises(GridError, match=r"420 x 300 pixels against 1260 x 900; --align"):
        evaluate(path, truth)
    result = evaluate(path, truth, align=True)
    assert result.metrics["confusion"] == expected(class_map(2), prediction)
    assert any("nearest neighbour" in note for note in result.notes)

    moved = replace(GRID, transform=(0.7, 0.0, GRID.transform[2] + 0.35, 0.0, -0.7, GRID.transform[5]))
    with pytest.raises(GridError, match=r"0\.50 pixels apart; --align"):
        evaluate(path, write_tif(tmp_path / "moved.tif", class_map(2), geobox=moved))


@pytest.mark.parametrize("align", [False, True])
def test_sizes_that_differ_without_georeferencing(tmp_path: Path, align: bool) -> None:
    path = write_map(tmp_path / "map.tif", class_map(1))
    with pytest.raises(GridError, match=r"420 x 300.*420 x 301|420 x 301.*420 x 300"):
        evaluate(path, write_tif(tmp_path / "truth.png", class_map(2, (301, 420)), geobox=None), align=align)


def test_a_map_without_a_legend(tmp_path: Path) -> None:
    """The classes are the values found in either map; names come from the ``.aux.xml`` if it has some."""
    prediction, truth = class_map(1), class_map(2)
    prediction[prediction == 4] = 1
    path = write_tif(tmp_path / "map.tif", prediction)
    reference = write_tif(tmp_path / "truth.tif", truth)
    result = evaluate(path, reference, write=False)
    assert [c["name"] for c in result.metrics["classes"]] == ["class 0", "class 1", "class 4"]
    assert result.metrics["confusion"] == expected(truth, prediction)
    assert any("no legend" in note for note in result.notes)
    (tmp_path / "map.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>land</Category><Category>road</Category>'
        "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    names = [c["name"] for c in evaluate(path, reference, write=False).metrics["classes"]]
    assert names == ["land", "road", "class 4"]
    nothing = write_tif(tmp_path / "nothing.tif", np.full(GRID.shape, 255, np.uint8))
    with pytest.raises(LegendError, match="no class"):
        evaluate(nothing, nothing)


def test_a_palette_without_a_legend_is_read_by_its_numbers(tmp_path: Path) -> None:
    prediction, truth = class_map(1), class_map(2)
    legend = Legend.numbered(5)
    path = write_tif(tmp_path / "map.tif", prediction)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {c.id: c.color for c in legend})
    result = evaluate(path, write_tif(tmp_path / "truth.tif", truth), write=False)
    assert result.metrics["confusion"] == expected(truth, prediction)


def test_a_legend_from_a_file(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "map.tif", class_map(1))
    truth = write_tif(tmp_path / "truth.tif", class_map(2))
    file = tmp_path / "legend.json"
    file.write_text(json.dumps(LEGEND.to_json()))
    assert read_legend(file) == LEGEND
    assert evaluate(path, truth, legend=file).metrics == evaluate(path, truth, legend=LEGEND).metrics
    file.write_text("no json")
    with pytest.raises(LegendError, match="not JSON"):
        read_legend(file)
    with pytest.raises(LegendError, match=r"gone\.json"):
        read_legend(tmp_path / "gone.json")


def test_values_the_legend_lacks(tmp_path: Path) -> None:
    odd = class_map(2)
    odd[5, :7] = 3
    path = write_map(tmp_path / "map.tif", class_map(1))
    with pytest.raises(LegendError, match=r"truth\.tif.* 3 \(7 pixels\)"):
        evaluate(path, write_tif(tmp_path / "truth.tif", odd))
    assert METRICS_TAG not in (tmp_path / "map.tif.aux.xml").read_text()


def test_nothing_in_common_is_no_score(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", np.full(GRID.shape, 255, np.uint8))
    result = evaluate(path, write_tif(tmp_path / "truth.tif", class_map(2)))
    assert result.metrics["miou"] is None
    assert any("no score" in note for note in result.notes)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    truth = write_tif(tmp_path / "truth.tif", class_map(2))
    for name in ("gone.tif", "gone.zarr"):
        with pytest.raises(SceneReadError, match=name):
            evaluate(tmp_path / name, truth)
    with pytest.raises(SceneReadError, match=r"gone\.png"):
        evaluate(truth, tmp_path / "gone.png")


def test_a_picture_is_no_class_map(tmp_path: Path) -> None:
    picture = write_scene(tmp_path / "town.tif", random_pixels((40, 50)))
    truth = write_map(tmp_path / "truth.tif", class_map(1))
    for wrong in (lambda: evaluate(picture, truth), lambda: assess_design(picture, tmp_path / "s.gpkg", size=9)):
        with pytest.raises(
            LegendError, match=r"town.tif looks like an image \(3 bands, no legend\): give the map that"
        ):
            wrong()


def test_polygons_as_a_reference_are_told_the_way(tmp_path: Path, tiny_bundle: Path) -> None:
    path = write_map(tmp_path / "map.tif", class_map(1))
    export(path, tmp_path / "c.gpkg")
    scene = write_scene(tmp_path / "scene.tif", random_pixels((40, 50)))
    for wrong in (
        lambda: evaluate(path, tmp_path / "c.gpkg"),
        lambda: evaluate(tmp_path / "c.gpkg", path),
        lambda: predict(scene, outputs=tmp_path / "o.zarr", model=tiny_bundle, reference=tmp_path / "c.gpkg"),
    ):
        with pytest.raises(SceneReadError, match=r"c.gpkg is a vector file.*gdal_rasterize.*--objects"):
            wrong()
    with pytest.raises(SceneReadError, match=r"map.tif is no vector file: geoseg export"):
        evaluate_objects(path, tmp_path / "c.gpkg")
    with pytest.raises(SceneReadError, match=r"none.gpkg: no such file"):
        evaluate(path, tmp_path / "none.gpkg")
