"""The class map in Zarr: what xarray, rioxarray and GDAL read, tiles from many writers, markers and the last rename."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rioxarray  # noqa: F401 (gives xarray its .rio)
import xarray as xr
import zarr
from rasterio.errors import NotGeoreferencedWarning

from geoseg.errors import OutputError, OutputExistsError, SceneReadError
from geoseg.geometry.geobox import GeoBox, GroundControlPoint
from geoseg.geometry.windows import Window, split
from geoseg.legend import Legend
from geoseg.raster.atomic import put_in_place
from geoseg.raster.georeference import native_geobox
from geoseg.raster.zarr_store import ResultStore, StoreSpec, create_store, finish_store, open_store

UTM33 = rasterio.CRS.from_epsg(32633).to_wkt()
WGS84 = rasterio.CRS.from_epsg(4326).to_wkt()
UTM = GeoBox(shape=(150, 170), transform=(0.5, 0.0, 500000.0, 0.0, -0.5, 4000000.0), crs=UTM33)
ROTATED = replace(UTM, transform=(0.4, 0.3, 500000.0, 0.2, -0.5, 4000000.0))
DEGREES = GeoBox(shape=(150, 170), transform=(1e-5, 0.0, 10.0, 0.0, -1e-5, 50.0), crs=WGS84)
SPEC = StoreSpec(geobox=UTM, core=(64, 96), chunk=(32, 48), legend=Legend.numbered(4))

Classes = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # affine's, met by rioxarray
        yield


def some_classes(shape: tuple[int, int], *, seed: int = 0) -> Classes:
    """Classes 0..3 with a corner of nodata."""
    classes = np.random.default_rng(seed).integers(0, 4, shape, dtype=np.uint8)
    classes[:20, :30] = 255
    return classes


def write_all(store: ResultStore, classes: Classes) -> None:
    whole = Window.whole(store.shape)
    for window in split(store.shape, size=store.spec.core):
        store.write_classes(window, classes[window.within(whole)])


def finished(path: Path, spec: StoreSpec) -> Classes:
    """Write a store with overviews under its final name; returns its classes."""
    part = path.with_name(f".{path.name}.part")
    classes = some_classes(spec.geobox.shape)
    store = create_store(part, spec)
    write_all(store, classes)
    store.add_overviews()
    finish_store(part, path)
    return classes


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("shape", "core", "chunk"),
    [
        ((150, 170), (64, 96), (32, 48)),  # edge tiles on both axes
        ((150, 170), (160, 64), (40, 64)),  # the core larger than one axis
        ((150, 170), (150, 170), (37, 41)),  # one tile, its chunk divides nothing
        ((1, 1), (64, 64), (32, 32)),
        ((1, 131), (1, 131), (512, 512)),  # a chunk larger than the map
        ((128, 128), (64, 64), (64, 64)),  # one chunk per core
    ],
)
def test_round_trip(
    tmp_path: Path, zarr_format: int, shape: tuple[int, int], core: tuple[int, int], chunk: tuple[int, int]
) -> None:
    spec = replace(SPEC, geobox=replace(UTM, shape=shape), core=core, chunk=chunk, zarr_format=zarr_format)
    classes = some_classes(shape)
    write_all(create_store(tmp_path / "a.zarr", spec), classes)
    store = open_store(tmp_path / "a.zarr")
    assert np.array_equal(store.read_classes(Window.whole(shape)), classes)
    part = Window(row_off=shape[0] // 3, col_off=shape[1] // 3, height=shape[0] // 2, width=shape[1] // 2)
    assert np.array_equal(store.read_classes(part), classes[part.within(Window.whole(shape))])


def test_open_store_knows_all_of_its_spec(tmp_path: Path) -> None:
    tied = GeoBox(shape=(9, 9), crs=WGS84, gcps=(GroundControlPoint(row=0, col=1, x=2, y=3),), rpcs=(("LAT_OFF", "1"),))
    for geobox in (UTM, ROTATED, tied, GeoBox(shape=(9, 9))):
        spec = replace(SPEC, geobox=geobox, confidence=True, probabilities=4, attributes={"plan": {"digest": "abc"}})
        create_store(tmp_path / "a.zarr", spec)
        store = open_store(tmp_path / "a.zarr")
        assert replace(store.spec, attributes=spec.attributes) == spec
        assert (store.geobox, store.legend, store.shape) == (geobox, spec.legend, geobox.shape)
        assert store.attributes["plan"] == {"digest": "abc"}


def test_what_is_not_written_is_nodata(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr", SPEC)
    assert (store.read_classes(Window.whole(store.shape)) == 255).all()


def test_confidence_and_probabilities(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr", replace(SPEC, confidence=True, probabilities=4))
    window = Window(row_off=64, col_off=96, height=64, width=74)
    percent = np.random.default_rng(0).integers(0, 101, window.shape, dtype=np.uint8)
    probabilities = np.random.default_rng(1).integers(0, 101, (4, *window.shape), dtype=np.uint8)
    probabilities[:, 0] = 255
    store.write_confidence(window, percent)
    store.write_probabilities(window, probabilities)
    assert np.array_equal(store.read_confidence(window), percent)
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as opened:
        assert opened.probabilities.dims == ("class", "y", "x")
        stored = opened.probabilities.isel(y=slice(64, 128), x=slice(96, 170)).to_numpy()
    assert stored.dtype == np.uint8
    assert np.array_equal(stored, probabilities)


@pytest.mark.parametrize(
    "window",
    [
        Window(row_off=0, col_off=0, height=64, width=95),
        Window(row_off=1, col_off=0, height=63, width=96),
        Window(row_off=128, col_off=0, height=64, width=96),
        Window(row_off=0, col_off=0, height=0, width=96),
    ],
)
def test_windows_that_are_not_whole_cores_are_refused(tmp_path: Path, window: Window) -> None:
    store = create_store(tmp_path / "a.zarr", SPEC)
    with pytest.raises(ValueError, match="whole cores"):
        store.write_classes(window, np.zeros(window.shape, np.uint8))


def test_threads_write_tiles_at_once(tmp_path: Path) -> None:
    spec = replace(SPEC, core=(32, 32), chunk=(16, 16))
    classes = some_classes(UTM.shape)
    store = create_store(tmp_path / "a.zarr", spec)

    def work(window: Window) -> None:
        store.write_classes(window, classes[window.within(Window.whole(UTM.shape))])
        store.mark_done(f"{window.row_off}/{window.col_off}")

    windows = list(split(UTM.shape, size=spec.core))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, windows))
    assert np.array_equal(store.read_classes(Window.whole(UTM.shape)), classes)
    assert set(store.done_keys()) == {f"{w.row_off}/{w.col_off}" for w in windows}


WORKER = """
import sys
from pathlib import Path
import numpy as np
from geoseg.geometry.windows import split
from geoseg.raster.zarr_store import open_store
store = open_store(Path(sys.argv[1]))
for n, window in enumerate(split(store.shape, size=store.spec.core)):
    if n % 2 == int(sys.argv[2]):
        store.write_classes(window, np.full(window.shape, n, np.uint8))
        store.mark_done(str(n))
"""


def test_processes_write_tiles_at_once(tmp_path: Path) -> None:
    spec = replace(SPEC, core=(32, 32), chunk=(16, 16), legend=Legend.numbered(30))
    store = create_store(tmp_path / "a.zarr", spec)
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(store.path), str(i)]) for i in (0, 1)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    windows = list(split(UTM.shape, size=spec.core))
    for n, window in enumerate(windows):
        assert (store.read_classes(window) == n).all()
    assert set(store.done_keys()) == {str(n) for n in range(len(windows))}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("left", [0, 3, 50])
def test_a_torn_tile_is_simply_written_again(tmp_path: Path, zarr_format: int, left: int) -> None:
    classes = some_classes(UTM.shape)
    store = create_store(tmp_path / "a.zarr", replace(SPEC, zarr_format=zarr_format, probabilities=2))
    probabilities = np.full((2, 150, 170), 100, np.uint8)
    write_all(store, classes)
    store.write_probabilities(Window.whole(UTM.shape), probabilities)
    for name in ("classes", "probabilities"):
        for file in (tmp_path / "a.zarr" / name).rglob("*"):
            if file.is_file() and file.name[-1].isdigit():
                file.write_bytes(file.read_bytes()[:left])
    with pytest.raises((ValueError, RuntimeError)):
        store.read_classes(Window.whole(UTM.shape))
    write_all(store, classes)
    store.write_probabilities(Window.whole(UTM.shape), probabilities)
    assert np.array_equal(store.read_classes(Window.whole(UTM.shape)), classes)
    with xr.open_zarr(store.path, consolidated=False, mask_and_scale=False) as opened:
        assert (opened.probabilities == 100).all()


@pytest.mark.parametrize(
    ("geobox", "epsg"), [(UTM, 32633), (ROTATED, 32633), (DEGREES, 4326)], ids=["utm", "rotated", "degrees"]
)
def test_xarray_reads_a_map(tmp_path: Path, geobox: GeoBox, epsg: int) -> None:
    geobox = replace(geobox, shape=(700, 600))
    classes = finished(tmp_path / "a.zarr", replace(SPEC, geobox=geobox, confidence=True))
    with xr.open_zarr(tmp_path / "a.zarr") as opened:
        found = opened.classes
        assert found.dtype == np.uint8
        assert found.dims == ("y", "x")
        assert np.array_equal(found.to_numpy(), classes)
        assert found.rio.crs.to_epsg() == opened.confidence.rio.crs.to_epsg() == epsg
        assert np.allclose(found.rio.transform()[:6], geobox.transform, rtol=1e-12)
        assert found.rio.nodata == 255
        assert ("x" in found.coords) is not geobox.is_rotated
        if not geobox.is_rotated:
            assert np.allclose((found.x[3], found.y[2]), geobox.world(3.5, 2.5))
        assert found.attrs["flag_values"] == [0, 1, 2, 3]
        assert found.attrs["flag_meanings"].split() == ["class_0", "class_1", "class_2", "class_3"]
    with xr.open_zarr(tmp_path / "a.zarr", group="overviews/2") as level:
        a, b, c, d, e, f = geobox.transform
        assert level.classes.shape == (350, 300)
        assert level.classes.dtype == np.uint8
        assert level.classes.rio.crs.to_epsg() == epsg
        assert level.classes.rio.nodata == 255
        assert np.allclose(level.classes.rio.transform()[:6], (2 * a, 2 * b, c, 2 * d, 2 * e, f), rtol=1e-12)


def test_xarray_reads_control_points_and_maps_that_are_nowhere(tmp_path: Path) -> None:
    points = tuple(GroundControlPoint(row=r, col=c, x=10 + c, y=50 - r, z=1) for r, c in ((0, 0), (0, 170), (150, 0)))
    tied = GeoBox(shape=(150, 170), crs=WGS84, gcps=points, rpcs=(("LAT_OFF", "1"),))
    finished(tmp_path / "tied.zarr", replace(SPEC, geobox=tied))
    with xr.open_zarr(tmp_path / "tied.zarr") as opened:
        found = opened.classes.rio.get_gcps()
        assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
        assert opened.classes.rio.crs.to_epsg() == 4326
        assert opened.spatial_ref.attrs["rpcs"] == {"LAT_OFF": "1"}
    finished(tmp_path / "nowhere.zarr", replace(SPEC, geobox=GeoBox(shape=(150, 170))))
    with xr.open_zarr(tmp_path / "nowhere.zarr") as opened:
        assert opened.classes.rio.crs is None
        assert set(opened.variables) == {"classes"}


@pytest.mark.parametrize("geobox", [UTM, DEGREES], ids=["utm", "degrees"])
def test_rasterio_reads_zarr_2(tmp_path: Path, geobox: GeoBox) -> None:
    geobox = replace(geobox, shape=(700, 600))
    spec = replace(SPEC, geobox=geobox, confidence=True, zarr_format=2, attributes={"plan": {"a": [1, None]}})
    classes = finished(tmp_path / "a.zarr", spec)
    for path, factor in (("/classes", 1), ("/overviews/2/classes", 2)):
        with rasterio.open(f'ZARR:"{tmp_path / "a.zarr"}":{path}') as raster:
            assert raster.nodata == 255
            assert raster.dtypes == ("uint8",)
            assert raster.crs == rasterio.CRS.from_wkt(geobox.crs)
            a, _, c, _, e, f = geobox.transform
            assert np.allclose(raster.transform[:6], (a * factor, 0, c, 0, e * factor, f), rtol=1e-9)
            if factor == 1:
                assert np.array_equal(raster.read(1), classes)
    with xr.open_zarr(tmp_path / "a.zarr") as opened:
        assert opened.classes.rio.crs.to_epsg() == rasterio.CRS.from_wkt(geobox.crs).to_epsg()


@pytest.mark.parametrize("path", ["classes", "confidence", "overviews/2/classes"])
def test_zarr_2_says_its_crs_without_a_grid_mapping(tmp_path: Path, path: str) -> None:
    """As GDAL 3.6 wants it, which takes nothing from ``spatial_ref``."""
    spec = replace(SPEC, geobox=replace(UTM, shape=(700, 600)), confidence=True, zarr_format=2)
    finished(tmp_path / "a.zarr", spec)
    shutil.copytree(tmp_path / "a.zarr" / path, tmp_path / "alone.zarr")
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "alone.zarr") as raster:  # no x, y beside it
        assert raster.crs == rasterio.CRS.from_wkt(UTM.crs)


def test_zarr_2_refuses_rotation_and_names_the_way_out() -> None:
    with pytest.raises(OutputError, match=r"rotated .* Zarr 3 .* \.tif"):
        replace(SPEC, geobox=ROTATED, zarr_format=2)


def test_the_grid_of_real_files_arrives(tmp_path: Path, shared_data: Path) -> None:
    for name in ("rio_rotated.tif", "RGB.byte.tif", "RGB.byte.gcp.vrt", "riotiler_inverted_lat.tif"):
        with rasterio.open(shared_data / "awkward" / "georef" / name) as raster:
            geobox = native_geobox(raster)
        finished(tmp_path / f"{name}.zarr", replace(SPEC, geobox=geobox, core=geobox.shape))
        with xr.open_zarr(tmp_path / f"{name}.zarr") as opened:
            assert geobox.crs is None or opened.classes.rio.crs == rasterio.CRS.from_wkt(geobox.crs)
            assert np.allclose(opened.classes.rio.transform()[:6], geobox.transform, rtol=1e-9, atol=1e-9), name
            assert len(opened.classes.rio.get_gcps() or ()) == len(geobox.gcps)


def test_attributes_of_a_finished_store_change_for_every_reader(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        path = tmp_path / f"{zarr_format}.zarr"
        finished(path, replace(SPEC, zarr_format=zarr_format, attributes={"plan": 1}))
        open_store(path).update_attributes({"metrics": {"miou": 0.5}})
        with xr.open_zarr(path) as opened:
            assert opened.attrs["metrics"] == {"miou": 0.5}
            assert opened.attrs["plan"] == 1
        assert zarr.open_group(path, mode="r", use_consolidated=True).attrs["metrics"] == {"miou": 0.5}
        assert open_store(path).attributes["metrics"] == {"miou": 0.5}


def test_finish_takes_the_markers_and_torn_files_away(tmp_path: Path) -> None:
    part, final = tmp_path / ".a.zarr.part", tmp_path / "a.zarr"
    store = create_store(part, SPEC)
    write_all(store, some_classes(UTM.shape))
    store.mark_done("tile 1/2")
    assert set(open_store(part).done_keys()) == {"tile 1/2"}
    assert set(dict(zarr.open_group(part, mode="r").members())) == {"classes", "spatial_ref", "y", "x"}
    (part / "classes" / "c" / "0" / "0.0123.partial").write_bytes(b"killed here")
    finish_store(part, final)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    assert not [p for p in final.rglob("*") if p.name.startswith(".") or p.suffix == ".partial"]


def test_finish_replaces_only_when_told(tmp_path: Path) -> None:
    part, final = tmp_path / ".a.zarr.part", tmp_path / "a.zarr"
    old = finished(final, SPEC)
    new = some_classes(UTM.shape, seed=1)
    write_all(create_store(part, SPEC), new)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        finish_store(part, final)
    assert np.array_equal(open_store(final).read_classes(Window.whole(UTM.shape)), old)
    finish_store(part, final, overwrite=True)
    assert np.array_equal(open_store(final).read_classes(Window.whole(UTM.shape)), new)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_refused_rename_leaves_the_old_one(tmp_path: Path) -> None:
    old = finished(tmp_path / "a.zarr", SPEC)
    with pytest.raises(OutputError, match="No such file"):
        put_in_place(tmp_path / "missing", tmp_path / "a.zarr")
    assert np.array_equal(open_store(tmp_path / "a.zarr").read_classes(Window.whole(UTM.shape)), old)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_what_is_no_store_is_said_so(tmp_path: Path) -> None:
    half = create_store(tmp_path / "half.zarr", SPEC).path
    attributes: dict[str, Any] = zarr.open_group(half, mode="r").attrs.asdict()
    zarr.open_group(half, mode="r+").attrs.put({k: v for k, v in attributes.items() if k != "geoseg_store"})
    (tmp_path / "file.zarr").write_text("no folder")
    for name in ("half.zarr", "file.zarr", "missing.zarr"):
        with pytest.raises(SceneReadError, match=name) as caught:
            open_store(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "missing.zarr").exists()


def test_unwritable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot write .*another folder"):
        create_store(tmp_path / "file" / "a.zarr", SPEC)


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from geoseg.errors import OutputError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import Legend
from geoseg.raster.zarr_store import StoreSpec, create_store
path = Path(sys.argv[1])
spec = StoreSpec(geobox=GeoBox(shape=(512, 1024)), core=(512, 512), chunk=(256, 256), legend=Legend.numbered(4))
store = create_store(path, spec)
pixels = np.random.default_rng(0).integers(0, 255, (512, 1024), dtype=np.uint8)
store.write_classes(Window(row_off=0, col_off=0, height=512, width=512), pixels[:, :512])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
for write in (
    lambda: store.write_classes(Window(row_off=0, col_off=512, height=512, width=512), pixels[:, 512:]),
    lambda: store.write_classes(Window(row_off=0, col_off=0, height=512, width=512), pixels[:, 512:]),
    store.add_overviews,
    lambda: create_store(path, spec).write_classes(Window.whole((512, 1024)), pixels),
):
    try:
        write()
    except OutputError as error:
        assert "File too large" in str(error) and chr(10) not in str(error), error
    else:
        raise SystemExit("no error")
    if write is not store.add_overviews and path.joinpath("classes/c/0/0").exists():
        found = store.read_classes(Window(row_off=0, col_off=0, height=512, width=512))
        assert (found == pixels[:, :512]).all(), "the old tile is gone"
"""


def test_full_disk_is_one_line_and_old_tiles_stay(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.zarr")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
