"""Areas of interest: GDAL's burning as the oracle, the same pixels in every window, files of every kind and CRS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyproj
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.aoi import AreaOfInterest, area_on, inside, touched
from geoseg.raster.aoi_files import read_area

UTM33, MERCATOR = pyproj.CRS("EPSG:32633").to_wkt(), pyproj.CRS("EPSG:3857").to_wkt()
SHAPE = (83, 97)
BOX = GeoBox(shape=SHAPE, transform=(2.0, 0.0, 500_000.0, 0.0, -2.0, 4_000_000.0), crs=UTM33)
ROTATED = GeoBox(shape=SHAPE, transform=(1.9, 0.6, 500_000.0, 0.6, -1.9, 4_000_000.0), crs=UTM33)


def on_ground(polygon: Any, box: GeoBox = BOX) -> Any:
    """A polygon in pixels as one in the CRS of ``box``."""
    return shapely.transform(polygon, lambda p: np.column_stack(Affine(*box.transform) @ p.T))


def burnt(area: AreaOfInterest, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.bool_]:
    return inside(area, Window.whole(shape))


def star(seed: int, *, corners: int = 11) -> Any:
    """A jagged polygon with a hole, in pixels; it may reach outside the scene."""
    random = np.random.default_rng(seed)
    angle = np.sort(random.uniform(0, 2 * np.pi, corners))
    length = random.uniform(10, 60, corners)
    ring = np.column_stack([48 + length * np.cos(angle), 40 + length * np.sin(angle)])
    hole = shapely.box(40.2, 33.1, 51.7, 44.9)
    return shapely.difference(shapely.make_valid(shapely.polygons(ring)), hole)


@pytest.mark.parametrize("box", [BOX, ROTATED], ids=["north-up", "rotated"])
@pytest.mark.parametrize("seed", range(5))
def test_pixels_are_those_gdal_burns(seed: int, box: GeoBox) -> None:
    polygon = on_ground(star(seed), box)
    expected = rasterio.features.geometry_mask(
        [polygon], out_shape=SHAPE, transform=Affine(*box.transform), invert=True
    )
    area = area_on(polygon, box)
    np.testing.assert_array_equal(burnt(area), expected)
    assert 0 < expected.sum() < expected.size
    whole = shapely.intersection(star(seed), shapely.box(0, 0, SHAPE[1], SHAPE[0])).area
    assert area.pixels(SHAPE) == round(whole)


def test_edges_through_centres_belong_to_one_side() -> None:
    """Two areas that share an edge share no pixel, and leave none out."""
    for middle in (20.0, 20.5, 20.25):
        left, right = shapely.box(3.5, 2.5, middle, 50.5), shapely.box(middle, 2.5, 60.5, 50.5)
        one, two = (burnt(area_on(on_ground(p), BOX)) for p in (left, right))
        assert not (one & two).any()
        both = burnt(area_on(on_ground(shapely.box(3.5, 2.5, 60.5, 50.5)), BOX))
        np.testing.assert_array_equal(one | two, both)
        assert both.sum() == 57 * 48


@settings(max_examples=60)
@given(seed=st.integers(0, 1000), data=st.data(), snap=st.sampled_from([None, 0.5, 1.0]))
def test_any_window_gives_the_pixels_of_the_whole(seed: int, data: st.DataObject, snap: float | None) -> None:
    polygon = star(seed)
    if snap is not None:  # vertices on centres and corners of pixels
        polygon = shapely.make_valid(shapely.transform(polygon, lambda p: np.round(p / snap) * snap))
        polygon = shapely.union_all([p for p in shapely.get_parts(polygon) if p.geom_type == "Polygon"])
    area = area_on(shapely.multipolygons(shapely.get_parts(on_ground(polygon))), BOX)
    expected = burnt(area)
    row, col = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
    window = Window(
        row_off=row,
        col_off=col,
        height=data.draw(st.integers(1, SHAPE[0] - row)),
        width=data.draw(st.integers(1, SHAPE[1] - col)),
    )
    np.testing.assert_array_equal(inside(area, window), expected[window.within(Window.whole(SHAPE))])


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), side=st.integers(5, 40))
def test_no_tile_with_a_pixel_inside_is_left_out(seed: int, side: int) -> None:
    area = area_on(on_ground(star(seed)), BOX)
    spans = [[(i, min(i + side, n)) for i in range(0, n, side)] for n in SHAPE]
    chosen, pixels = touched(area, *spans), burnt(area)
    for i, (top, bottom) in enumerate(spans[0]):
        for j, (left, right) in enumerate(spans[1]):
            if not chosen[i, j]:
                assert not pixels[top:bottom, left:right].any()
    assert chosen.any()


def geojson(path: Path, *polygons: Any, crs: str = UTM33) -> Path:
    """Polygons of a CRS in a GeoJSON file, which is in degrees."""
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": json.loads(
                shapely.to_geojson(shapely.transform(p, lambda q: np.column_stack(to_degrees.transform(*q.T))))
            ),
        }
        for p in polygons
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def vector(
    path: Path, polygons: list[Any], *, crs: str | None = "EPSG:32633", layer: str | None = None, **options: Any
) -> Path:
    pyogrio.raw.write(
        path,
        np.array([shapely.to_wkb(p) for p in polygons], dtype=object),
        [],
        [],
        geometry_type=polygons[0].geom_type,
        crs=crs,
        layer=layer,
        **options,
    )
    return path


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "shp", "fgb", "parquet"])
def test_files_of_every_kind_mean_the_same(tmp_path: Path, suffix: str) -> None:
    polygons = [on_ground(shapely.box(10.2, 10.3, 30.1, 25.4)), on_ground(shapely.box(25.3, 20.2, 60.4, 70.1))]
    path = tmp_path / f"area.{suffix}"
    if suffix == "geojson":
        geojson(path, *polygons)
    elif suffix == "parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        crs = pyproj.CRS("EPSG:32633").to_json_dict()
        geo = {
            "version": "1.0.0",
            "primary_column": "shape",
            "columns": {"shape": {"encoding": "WKB", "geometry_types": [], "crs": crs}},
        }
        table = pa.table({"shape": [shapely.to_wkb(p) for p in polygons]})
        parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    else:
        vector(path, polygons)
    found = burnt(read_area(str(path), BOX))
    np.testing.assert_array_equal(found, burnt(area_on(shapely.union_all(polygons), BOX)))
    assert found.sum() == 20 * 15 + 35 * 50 - 5 * 5


def test_layers(tmp_path: Path) -> None:
    path = tmp_path / "area.gpkg"
    vector(path, [on_ground(shapely.box(0, 0, 10, 10))], layer="one")
    vector(path, [on_ground(shapely.box(20, 0, 30, 20))], layer="two", append=True)
    vector(path, [shapely.Point(0, 0)], layer="points", append=True)
    assert [burnt(read_area(str(path), BOX, layer=name)).sum() for name in (None, "one", "two")] == [300, 100, 200]
    with pytest.raises(SceneError, match="no layer 'three', there are one, two, points"):
        read_area(str(path), BOX, layer="three")
    with pytest.raises(SceneError, match="holds no polygons in layer points"):
        read_area(str(path), BOX, layer="points")


def test_long_edges_stay_where_their_own_crs_has_them(tmp_path: Path) -> None:
    """An edge along a parallel bends in UTM: by hundreds of metres over 4 degrees."""
    box = GeoBox(shape=(1000, 4000), transform=(100.0, 0.0, 300_000.0, 0.0, -100.0, 6_700_000.0), crs=UTM33)
    ring = [(13.0, 60.0), (17.5, 60.0), (17.5, 60.3), (13.0, 60.3), (13.0, 60.0)]
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    area = read_area(str(path), box)
    rows, columns = np.indices(box.shape) + 0.5
    x, y = Affine(*box.transform) @ (columns.ravel(), rows.ravel())
    lon, lat = pyproj.Transformer.from_crs(UTM33, "EPSG:4326", always_xy=True).transform(x, y)
    expected = ((lon > 13) & (lon < 17.5) & (lat > 60) & (lat < 60.3)).reshape(box.shape)
    wrong = burnt(area, box.shape) != expected
    assert expected.sum() > 500_000
    assert wrong.sum() < 1200  # a tenth of a pixel along edges of 5,600 pixels
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", UTM33, always_xy=True)
    straight = area_on(shapely.polygons(np.column_stack(to_utm.transform(*np.array(ring).T))), box)
    assert (burnt(straight, box.shape) != expected).sum() > 20 * wrong.sum()


def test_an_area_of_half_the_world_is_cut_to_the_scene(tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    ring = [(-170, -80), (15.0005, -80), (15.0005, 89), (-170, 89), (-170, -80)]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    found = burnt(read_area(str(path), BOX))
    assert found[:, 0].all()
    assert not found[:, -1].any()


def test_the_area_travels() -> None:
    area = area_on(on_ground(star(1)), BOX)
    copy = AreaOfInterest.from_json(json.loads(json.dumps(area.to_json())))
    assert copy == area
    assert copy.digest == area.digest
    assert area_on(on_ground(star(2)), BOX).digest != area.digest


def test_what_is_no_area(tmp_path: Path) -> None:
    here = on_ground(shapely.box(0, 0, 9, 9))
    far = geojson(tmp_path / "far.geojson", shapely.box(700_000, 3_000_000, 700_100, 3_000_100))
    with pytest.raises(SceneError, match=r"far.geojson: misses the scene: in EPSG:32633 .*scene x 500000 to 500194"):
        read_area(str(far), BOX)
    near = vector(tmp_path / "near.gpkg", [shapely.box(500_300, 3_999_000, 500_400, 3_999_100)])
    with pytest.raises(SceneError, match=r"it spans x 500300 to 500400, y 3999000 to 3999100, the scene x 500000"):
        read_area(str(near), BOX)
    lost = vector(tmp_path / "lost.shp", [here], crs=None)
    with pytest.raises(SceneError, match=r"lost.shp: layer lost has no CRS"):
        read_area(str(lost), BOX)
    empty = tmp_path / "empty.geojson"
    empty.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(SceneError, match=r"empty.geojson: holds no polygons"):
        read_area(str(empty), BOX)
    noise = tmp_path / "noise.gpkg"
    noise.write_bytes(b"no geopackage")
    with pytest.raises(SceneReadError, match=r"noise.gpkg: cannot be read"):
        read_area(str(noise), BOX)
    for name in ("missing.gpkg", "missing.parquet"):
        with pytest.raises(SceneReadError, match=f"{name}: no such file"):
            read_area(str(tmp_path / name), BOX)
    good = str(vector(tmp_path / "good.gpkg", [here]))
    with pytest.raises(SceneError, match="the scene has no CRS"):
        read_area(good, GeoBox(shape=SHAPE, transform=BOX.transform))
    with pytest.raises(SceneError, match="placed by GCPs or RPCs"):
        read_area(good, GeoBox(shape=SHAPE, crs=UTM33, rpcs=(("LINE_OFF", "1"),)))
