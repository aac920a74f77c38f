"""The verb ``export``: files that others read, options, and what is refused."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely

from geoseg.errors import (
    GeosegError,
    LegendError,
    OutputError,
    OutputExistsError,
    PlanError,
    SceneError,
    SceneReadError,
)
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import Legend
from geoseg.raster.styles import qml
from geoseg.raster.zarr_spec import StoreSpec
from geoseg.raster.zarr_store import create_store, finish_store
from geoseg.verbs import polygons as polygons_module
from geoseg.verbs.export import export
from tests.polygons.maps import Ids, judged, named, smooth
from tests.verbs.test_evaluate import LEGEND, UTM40, write_map, write_tif

CLASSES = np.array([0, 1, 4, *[255] * 253], np.uint8)[smooth(140, seed=11, classes=3)]
BOX = GeoBox(shape=CLASSES.shape, transform=(2.0, 0.0, 330_000.0, 0.0, -2.0, 2_790_000.0), crs=UTM40)
SUFFIXES = (".gpkg", ".parquet", ".fgb", ".geojson")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_map(tmp_path / "field_classes.zarr", CLASSES, geobox=BOX)


def read(path: Path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="classes")


def world(geobox: GeoBox, polygons: Any) -> Any:
    return shapely.transform(polygons, lambda xy: np.column_stack(geobox.world(*xy.T)))


def expected(classes: Ids = CLASSES, geobox: GeoBox = BOX) -> list[tuple[int, bytes]]:
    ids, polygons = judged(classes)
    return named(ids, world(geobox, polygons))


def found(frame: geopandas.GeoDataFrame) -> list[tuple[int, bytes]]:
    return named(frame["class_id"].tolist(), frame.geometry.to_numpy())


def test_every_format_holds_the_polygons_of_the_whole_array(store: Path, tmp_path: Path) -> None:
    targets = [tmp_path / f"out{suffix}" for suffix in SUFFIXES]
    made = export(store, targets, tile=50)
    ids, _ = judged(CLASSES)
    assert made.polygons == made.regions == len(ids)
    for target in targets:
        frame = read(target)
        assert found(frame) == expected(), target
        assert frame.crs.to_epsg() == 32640
        assert [c for c in frame.columns if c not in ("geometry", "bbox")] == [
            "class_id", "name", "area_m2", "perimeter_m", "scene", "model",
        ]  # fmt: skip
        assert set(zip(frame["class_id"], frame["name"], strict=True)) == {(0, "land"), (1, "road"), (4, "water")}
        assert set(frame["scene"]) == {"field"}
        assert frame["area_m2"].sum() == pytest.approx(sum(c["area_m2"] for c in made.classes))
        assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.to_numpy())).all()
    written = {"field_classes.zarr", "out.polygons.sld", "out.qml", *(t.name for t in targets)}
    assert {p.name for p in tmp_path.iterdir()} == written


@pytest.mark.parametrize("code", [32640, 4326, 3857])
def test_areas_are_geodesic(tmp_path: Path, code: int) -> None:
    transform = (1e-4, 0.0, 12.0, 0.0, -1e-4, 60.0) if code == 4326 else (5.0, 0.0, 6e5, 0.0, -5.0, 8e6)
    box = GeoBox(shape=CLASSES.shape, transform=transform, crs=pyproj.CRS.from_epsg(code).to_wkt())
    export(write_map(tmp_path / "m.tif", CLASSES, geobox=box), tmp_path / "m.gpkg")
    frame = read(tmp_path / "m.gpkg")
    degrees = frame.geometry.segmentize(box.transform[0] * 2).to_crs(4326)
    geod = pyproj.Geod(ellps="WGS84")
    areas = [abs(geod.geometry_area_perimeter(shapely.orient_polygons(g))[0]) for g in degrees]
    np.testing.assert_allclose(frame["area_m2"], areas, rtol=2e-5)


def test_geoparquet_is_read_by_its_boxes(store: Path, tmp_path: Path) -> None:
    export(store, tmp_path / "out.parquet")
    everything = read(tmp_path / "out.parquet")
    corner = (330_000.0, 2_789_900.0, 330_060.0, 2_789_960.0)
    some = geopandas.read_parquet(tmp_path / "out.parquet", bbox=corner)
    touching = everything[everything.intersects(shapely.box(*corner))]
    assert 0 < len(touching) <= len(some) < len(everything)


def test_the_geopackage_brings_its_style_and_its_index(store: Path, tmp_path: Path) -> None:
    export(store, tmp_path / "out.gpkg")
    with sqlite3.connect(tmp_path / "out.gpkg") as connection:
        ((style, default, table),) = connection.execute("SELECT styleQML, useAsDefault, f_table_name FROM layer_styles")
        (indexed,) = connection.execute("SELECT count(*) FROM rtree_classes_geom").fetchone()
        names = {row[0] for row in connection.execute("SELECT table_name FROM gpkg_contents")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert indexed == len(read(tmp_path / "out.gpkg"))
    assert (default, table, names) == (1, "classes", {"classes", "layer_styles"})
    assert version <= 10_300  # of newer ones GDAL 3.6 says that it knows only parts
    root = ET.fromstring(style.split("\n", 1)[1])
    categories = {c.get("value"): c.get("label") for c in root.iter("category")}
    assert categories == {"0": "land", "1": "road", "4": "water"}
    assert "9,9,9,255" in {o.get("value") for o in root.iter("Option")}


def test_styles_lie_beside_and_stay_unless_told(store: Path, tmp_path: Path) -> None:
    (tmp_path / "a.qml").write_text("mine")
    export(store, [tmp_path / "a.gpkg", tmp_path / "b.fgb"])
    assert (tmp_path / "a.qml").read_text() == "mine"
    for style in (tmp_path / "b.qml", tmp_path / "a.polygons.sld", tmp_path / "b.polygons.sld"):
        assert all(name in style.read_text() for name in LEGEND.names)
    export(store, tmp_path / "a.gpkg", overwrite=True)
    assert (tmp_path / "a.qml").read_text() == qml(LEGEND, kind="vector")


def test_confidence_is_the_mean_over_the_polygon(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    percent = rng.integers(20, 100, CLASSES.shape).astype(np.uint8)
    percent[CLASSES == 255] = 255
    percent[:3] = 255
    spec = StoreSpec(geobox=BOX, core=(64, 64), chunk=(64, 64), legend=LEGEND, confidence=True)
    part = create_store(tmp_path / "p.zarr", spec)
    part.write_classes(Window.whole(BOX.shape), CLASSES)
    part.write_confidence(Window.whole(BOX.shape), percent)
    finish_store(part.path, tmp_path / "map.zarr")
    export(tmp_path / "map.zarr", tmp_path / "out.gpkg", tile=48)
    frame = read(tmp_path / "out.gpkg")
    for geometry, mean in zip(frame.geometry[::25], frame["confidence"][::25], strict=True):
        inside = rasterio.features.rasterize([geometry], CLASSES.shape, transform=rasterio.Affine(*BOX.transform)) == 1
        values = percent[inside & (percent != 255)]
        assert (np.isnan(mean) and not values.size) or mean == pytest.approx(values.mean())


def test_tiles_change_no_polygon(store: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"min_area": 60.0, "simplify": 5.0, "dst_crs": "EPSG:4326"}
    frames = []
    for tile in (31, 200):
        export(store, tmp_path / "out.gpkg", tile=tile, overwrite=True, **asked)
        frames.append(read(tmp_path / "out.gpkg").sort_values(["area_m2", "perimeter_m"], ignore_index=True))
    assert found(frames[0]) == found(frames[1])
    np.testing.assert_allclose(frames[0]["area_m2"], frames[1]["area_m2"])


def test_small_regions_are_absorbed_and_borders_simplified(store: Path, tmp_path: Path) -> None:
    plain, clean = (tmp_path / n for n in ("plain.gpkg", "clean.gpkg"))
    first = export(store, plain)
    second = export(store, clean, min_area=80.0, simplify=6.0)
    before, after = read(plain), read(clean)
    assert before["area_m2"].min() < 20
    assert second.polygons < first.polygons
    assert shapely.coverage_is_valid(after.geometry.to_numpy())
    assert after.geometry.is_valid.all()
    assert after.union_all().equals(before.union_all())
    assert after["area_m2"].sum() == pytest.approx(before["area_m2"].sum(), rel=1e-3)
    export(store, clean, min_area=80.0, overwrite=True)
    assert read(clean)["area_m2"].min() >= 80 * 0.9999


def test_classes_are_chosen_by_id_or_name_and_dissolved(store: Path, tmp_path: Path) -> None:
    made = export(store, tmp_path / "out.gpkg", classes=["water", "1"], dissolve=True)
    frame = read(tmp_path / "out.gpkg")
    assert sorted(frame["name"]) == ["road", "water"]
    assert set(frame.geom_type) == {"MultiPolygon"}
    assert frame.geometry.is_valid.all()
    ids, polygons = judged(CLASSES)
    assert made.regions == sum(i in (1, 4) for i in ids)
    for class_id, geometry in zip(frame["class_id"], frame.geometry, strict=True):
        parts = [p for i, p in zip(ids, world(BOX, polygons), strict=True) if i == class_id]
        assert named([0] * len(parts), np.array(parts)) == named([0] * len(geometry.geoms), np.array(geometry.geoms))
    export(store, tmp_path / "some.gpkg", classes=["water", "1"])
    alone = read(tmp_path / "some.gpkg")
    assert found(alone) == [item for item in expected() if item[0] in (1, 4)]
    assert frame["area_m2"].sum() == pytest.approx(alone["area_m2"].sum())


def test_another_crs_keeps_neighbours_together(store: Path, tmp_path: Path) -> None:
    export(store, tmp_path / "out.gpkg", dst_crs="EPSG:4326", tile=60)
    frame = read(tmp_path / "out.gpkg")
    assert frame.crs.to_epsg() == 4326
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    back = frame.to_crs(32640)
    ids, polygons = judged(CLASSES)
    assert len(frame) == len(ids)
    np.testing.assert_allclose(sorted(back.area), sorted(shapely.area(world(BOX, polygons))), rtol=1e-6)
    np.testing.assert_allclose(sorted(frame["area_m2"]), sorted(back.area / 0.9996**2), rtol=2e-3)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
def test_a_map_that_is_nowhere_is_in_pixels(tmp_path: Path, suffix: str) -> None:
    source = write_tif(tmp_path / "m.tif", CLASSES, geobox=None)
    made = export(source, tmp_path / f"out{suffix}")
    frame = read(tmp_path / f"out{suffix}")
    assert any("pixels (area_px" in note for note in made.notes)
    assert not any("taken as" in note for note in made.notes)
    cleaned = export(source, tmp_path / f"clean{suffix}", min_area=50, simplify=1.5)
    assert {"--min-area 50 is taken as pixels", "--simplify 1.5 is taken as pixels"} <= {*cleaned.notes}
    assert any("no legend" in note for note in made.notes)
    assert any("upwards, mirrored" in note for note in made.notes)
    assert frame["area_px"].sum() == (CLASSES != 255).sum()
    assert set(frame["name"]) == {"class 0", "class 1", "class 4"}
    if suffix != ".geojson":
        assert frame.crs is None
    with pytest.raises(SceneError, match="no CRS to come from"):
        export(source, tmp_path / f"out{suffix}", overwrite=True, dst_crs="EPSG:4326")


def test_rows_that_run_upwards_give_the_same_ground(tmp_path: Path) -> None:
    up = replace(BOX, transform=(2.0, 0.0, 330_000.0, 0.0, 2.0, 2_790_000.0))
    export(write_map(tmp_path / "m.zarr", CLASSES, geobox=up), tmp_path / "out.gpkg")
    frame = read(tmp_path / "out.gpkg")
    assert found(frame) == expected(geobox=up)
    assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.to_numpy())).all()


def test_geojson_says_so_where_it_is_not_in_degrees(store: Path, tmp_path: Path) -> None:
    plane, degrees = tmp_path / "plane.geojson", tmp_path / "degrees.geojson"
    notes = export(store, [plane, tmp_path / "plane.fgb"]).notes
    assert [note for note in notes if note.startswith(f"{plane}: in EPSG:") and "--dst-crs EPSG:4326" in note]
    assert not export(store, degrees, dst_crs="EPSG:4326").notes


def test_a_map_without_a_class_gives_an_empty_layer(tmp_path: Path) -> None:
    nothing = np.full(BOX.shape, 255, np.uint8)
    source = write_map(tmp_path / "m.zarr", nothing, geobox=BOX)
    for suffix in SUFFIXES:
        for asked in ({}, {"dissolve": True}, {"simplify": 2.0}, {"min_area": 9.0}):
            made = export(source, tmp_path / f"out{suffix}", overwrite=True, **asked)  # type: ignore[arg-type]
            assert made.polygons == 0
            assert "the map holds no class at all: no polygons" in made.notes
        assert len(read(tmp_path / f"out{suffix}")) == 0


def unfinished(folder: Path, *, done: list[str]) -> Path:
    part = folder / ".map.zarr.part.zarr"
    made = create_store(part, StoreSpec(geobox=BOX, core=(64, 64), chunk=(64, 64), legend=LEGEND))
    made.write_classes(Window(row_off=0, col_off=0, height=64, width=64), CLASSES[:64, :64])
    for key in done:
        made.mark_done(key)
    return part


def test_an_unfinished_store_is_refused_with_its_missing_tiles(tmp_path: Path) -> None:
    part = unfinished(tmp_path, done=["0.0", "1.1"])
    with pytest.raises(SceneReadError, match=r"7 of 9 tiles miss \(row.column 0.1, 0.2, 1.0, 1.2, 2.0, …\)"):
        export(part, tmp_path / "out.gpkg")
    with pytest.raises(SceneReadError, match=r"7 of 9 tiles miss"):
        export(tmp_path / "map.zarr", tmp_path / "out.gpkg")  # whose name it will have
    every = [f"{row}.{col}" for row in range(3) for col in range(3)]
    whole = unfinished(tmp_path / "whole", done=every)
    assert export(whole, tmp_path / "out.gpkg").polygons > 0


def test_what_cannot_be_is_refused_and_nothing_is_left(store: Path, tmp_path: Path) -> None:
    (tmp_path / "there.gpkg").write_bytes(b"mine")
    color = np.zeros((3, 20, 20), np.uint8)
    with rasterio.open(tmp_path / "rgb.tif", "w", driver="GTiff", count=3, height=20, width=20, dtype="uint8") as out:
        out.write(color)
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[type[GeosegError], str, Any, Any, dict[str, Any]]] = [
        (OutputExistsError, "--overwrite", store, "there.gpkg", {}),
        (OutputError, ".shp", store, "out.shp", {}),
        (OutputError, "URL", store, "s3://bucket/out.gpkg", {}),
        (LegendError, "class '7' is not in the legend", store, "out.gpkg", {"classes": [7]}),
        (LegendError, "0 land, 1 road, 4 water", store, "out.gpkg", {"classes": ["sea"]}),
        (SceneError, "--dst-crs", store, "out.gpkg", {"dst_crs": "EPSG:0"}),
        (PlanError, "min_area", store, "out.gpkg", {"min_area": -1.0}),
        (PlanError, "simplify", store, "out.gpkg", {"simplify": float("nan")}),
        (SceneReadError, "nothing.tif", tmp_path / "nothing.tif", "out.gpkg", {}),
        (SceneReadError, "nothing.zarr", tmp_path / "nothing.zarr", "out.gpkg", {}),
        (
            LegendError,
            "looks like an image (3 bands, no legend): give the map",
            tmp_path / "rgb.tif",
            "out.gpkg",
            {},
        ),
    ]
    for kind, words, source, target, asked in cases:
        with pytest.raises(kind, match=re.escape(words)):
            export(source, target if "://" in target else tmp_path / target, **asked)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.gpkg").read_bytes() == b"mine"


def test_a_number_that_the_legend_lacks_is_refused(tmp_path: Path) -> None:
    classes = CLASSES.copy()
    classes[100, 100] = 9
    source = write_map(tmp_path / "m.tif", classes, geobox=BOX)
    with pytest.raises(LegendError, match=r"9 \(1 pixel\)"):
        export(source, tmp_path / "out.gpkg")
    assert not (tmp_path / "out.gpkg").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_simplifying_beyond_memory_is_refused(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons_module, "memory_bytes", lambda: 1e6)
    with pytest.raises(PlanError, match="--min-area"):
        export(store, tmp_path / "out.gpkg", simplify=2.0)


def test_a_palette_raster_and_a_given_legend(tmp_path: Path) -> None:
    legend = Legend.from_json([{"id": i, "name": n} for i, n in ((0, "a"), (1, "b"), (4, "c"))])
    (tmp_path / "legend.json").write_text(json.dumps(legend.to_json()))
    source = write_tif(tmp_path / "m.png", CLASSES, geobox=None)
    export(source, tmp_path / "out.fgb", legend=tmp_path / "legend.json")
    assert set(pyogrio.read_dataframe(tmp_path / "out.fgb")["name"]) == {"a", "b", "c"}
