"""COGs of class maps: strictly valid, with all that GIS programs show, whole or not there."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from geoseg.errors import OutputError, OutputExistsError
from geoseg.geometry.geobox import GeoBox, GroundControlPoint
from geoseg.geometry.windows import Window, split
from geoseg.legend import Legend
from geoseg.raster.cog import aux_path, write_aux_metrics, write_cog
from geoseg.raster.georeference import native_geobox
from geoseg.raster.zarr_store import ResultStore, StoreSpec, create_store

UTM33 = rasterio.CRS.from_epsg(32633).to_wkt()
UTM = GeoBox(shape=(1100, 900), transform=(0.5, 0.0, 500000.0, 0.0, -0.5, 4000000.0), crs=UTM33)
ROTATED = replace(UTM, transform=(0.4, 0.3, 500000.0, 0.2, -0.5, 4000000.0))
TIED = GeoBox(
    shape=UTM.shape,
    crs=rasterio.CRS.from_epsg(4326).to_wkt(),
    gcps=tuple(
        GroundControlPoint(row=r, col=c, x=10 + c / 1e4, y=50 - r / 1e4, z=1)
        for r, c in ((0, 0), (0, 900), (1100, 0), (1100, 900))
    ),
)
NOWHERE = GeoBox(shape=UTM.shape)
LEGEND = Legend.from_json(
    [
        {"id": 0, "name": "building", "color": [60, 16, 152]},
        {"id": 2, "name": "Straße & <Weg>", "color": [110, 193, 228]},
        {"id": 7, "name": "water", "color": [226, 169, 41]},
    ]
)

Classes = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def some_store(path: Path, geobox: GeoBox = UTM) -> tuple[ResultStore, Classes]:
    """A store of blobs of the legend's ids, its first 600 x 600 pixels nodata; no overviews yet."""
    height, width = geobox.shape
    coarse = np.random.default_rng(0).choice(LEGEND.ids, (height // 7 + 1, width // 7 + 1)).astype(np.uint8)
    classes = np.kron(coarse, np.ones((7, 7), np.uint8))[:height, :width].copy()
    classes[:600, :600] = 255
    store = create_store(path, StoreSpec(geobox=geobox, core=(480, 480), chunk=(240, 240), legend=LEGEND))
    for window in split(geobox.shape, size=(480, 480)):
        store.write_classes(window, classes[window.within(Window.whole(geobox.shape))])
    return store, classes


@pytest.mark.parametrize("geobox", [UTM, ROTATED, TIED, NOWHERE], ids=["utm", "rotated", "gcps", "nowhere"])
def test_pixels_grid_and_dress(tmp_path: Path, geobox: GeoBox) -> None:
    store, classes = some_store(tmp_path / "a.zarr", geobox)
    target = tmp_path / "out" / "a b'ü.tif"
    target.parent.mkdir()
    write_cog(store, target, tags={"GEOSEG_PLAN": "abc", "NAME": "ä <&>"})
    assert sorted(p.name for p in target.parent.iterdir()) == [target.name, f"{target.name}.aux.xml"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # rio-cogeo's own opening
        valid, errors, remarks = cog_validate(target, strict=True)
    assert (valid, errors, remarks) == (True, [], [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        raster = rasterio.open(target)
    with raster:
        assert np.array_equal(raster.read(1), classes)
        assert (raster.count, raster.dtypes, raster.nodata) == (1, ("uint8",), 255)
        assert raster.block_shapes == [(512, 512)]
        assert raster.compression.name.lower() == "deflate"
        found = native_geobox(raster)
        assert found.difference(geobox) is None
        assert (found.transform, found.gcps) == (geobox.transform, geobox.gcps)
        assert (found.crs is None) == (geobox.crs is None)
        assert geobox.crs is None or rasterio.CRS.from_wkt(found.crs) == rasterio.CRS.from_wkt(geobox.crs)
        assert raster.tags()["GEOSEG_PLAN"] == "abc"
        assert raster.tags()["NAME"] == "ä <&>"
        assert raster.colorinterp[0].name == "palette"
        assert all(raster.colormap(1)[c.id] == (*c.color, 255) for c in LEGEND)
        assert raster.colormap(1)[255] == (0, 0, 0, 0)
        assert raster.overviews(1) == [2, 4]


def test_overviews_are_the_stores(tmp_path: Path) -> None:
    store, _ = some_store(tmp_path / "a.zarr")
    write_cog(store, tmp_path / "a.tif", tags={})
    assert store.overview_factors() == (2, 4)
    for level, factor in enumerate(store.overview_factors()):
        with rasterio.open(tmp_path / "a.tif", overview_level=level) as raster:
            assert np.array_equal(raster.read(1), store.read_overview(factor, Window.whole(raster.shape)))


def test_names_and_attribute_table(tmp_path: Path) -> None:
    store, _ = some_store(tmp_path / "a.zarr")
    write_cog(store, tmp_path / "a.tif", tags={})
    band = ET.parse(aux_path(tmp_path / "a.tif")).find("PAMRasterBand")
    assert band is not None
    names = [item.text or "" for item in band.iter("Category")]
    assert names == ["building", "", "Straße & <Weg>", "", "", "", "", "water"]
    table = band.find("GDALRasterAttributeTable")
    assert table is not None
    assert [name.text for name in table.iter("Name")] == ["Value", "Class", "Red", "Green", "Blue"]
    rows = [[cell.text for cell in row] for row in table.iter("Row")]
    assert rows == [[str(c.id), c.name, *map(str, c.color)] for c in LEGEND]


def test_rpcs_arrive(tmp_path: Path) -> None:
    numbers = " ".join(["1.5"] + ["0"] * 19)
    rpcs = {f"{axis}_{part}_COEFF": numbers for axis in ("LINE", "SAMP") for part in ("NUM", "DEN")}
    rpcs |= {f"{name}_{what}": "2" for name in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT") for what in ("OFF", "SCALE")}
    store, _ = some_store(tmp_path / "a.zarr", GeoBox(shape=(300, 300), rpcs=tuple(sorted(rpcs.items()))))
    write_cog(store, tmp_path / "a.tif", tags={})
    with rasterio.open(tmp_path / "a.tif") as raster:
        assert raster.rpcs.line_num_coeff[0] == 1.5
        assert raster.rpcs.lat_off == 2


@pytest.mark.parametrize("compress", ["deflate", "zstd", "none"])
@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (1, 700), (513, 3)])
def test_shapes_and_compressions(tmp_path: Path, compress: str, shape: tuple[int, int]) -> None:
    store, classes = some_store(tmp_path / "a.zarr", replace(UTM, shape=shape))
    write_cog(store, tmp_path / "a.tif", tags={}, compress=compress)  # type: ignore[arg-type]
    assert cog_validate(tmp_path / "a.tif", strict=True) == (True, [], [])
    with rasterio.open(tmp_path / "a.tif") as raster:
        assert np.array_equal(raster.read(1), classes)
        assert (raster.compression.name.lower() if raster.compression else "none") == compress


def test_an_old_one_is_replaced_only_when_told(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    store, classes = some_store(tmp_path / "a.zarr")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_cog(store, target, tags={})
    assert target.read_bytes() == b"old"
    write_cog(store, target, tags={}, overwrite=True)
    with rasterio.open(target) as raster:
        assert np.array_equal(raster.read(1), classes)


class FailingStore(ResultStore):
    """A store whose disk gives up below row 600."""

    def read_overview(self, factor: int, window: Window) -> Classes:
        """As its base, but for the first overview."""
        if factor == 2:
            raise OSError(5, "Input/output error")
        return super().read_overview(factor, window)


def test_failing_midway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.tif"
    target.parent.mkdir()
    target.write_bytes(b"old")
    store, _ = some_store(tmp_path / "a.zarr")
    failing = FailingStore(store.path, store.spec, store._group)
    with pytest.raises(OutputError, match="Input/output error"):
        write_cog(failing, target, tags={}, overwrite=True)
    assert [p.name for p in target.parent.iterdir()] == ["a.tif"]
    assert target.read_bytes() == b"old"


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".a.tif.part").mkdir()
    (tmp_path / ".a.tif.part" / "level1.tif").write_bytes(b"II*\0torn")
    store, classes = some_store(tmp_path / "a.zarr", replace(UTM, shape=(30, 40)))
    write_cog(store, tmp_path / "a.tif", tags={})
    with rasterio.open(tmp_path / "a.tif") as raster:
        assert np.array_equal(raster.read(1), classes)
    assert not (tmp_path / ".a.tif.part").exists()


@pytest.mark.parametrize("where", ["file/a.tif", "missing/a.tif"])
def test_unwritable_is_one_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("no folder")
    store, _ = some_store(tmp_path / "a.zarr", replace(UTM, shape=(9, 9)))
    with pytest.raises(OutputError, match=r"cannot write .*another folder") as caught:
        write_cog(store, tmp_path / where, tags={})
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "file"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from geoseg.errors import OutputError
from geoseg.raster.cog import write_cog
from geoseg.raster.zarr_store import open_store
store, folder, size = open_store(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
seen = []
for limit in (0, 300, size // 3, size - 5000, size - 1, size + 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_cog(store, folder / "a.tif", tags={}, compress="none")
        seen.append("fine")
    except OutputError as error:
        assert chr(10) not in str(error)
        seen.append("OutputError")
        assert not list(folder.iterdir()), list(folder.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(*seen)
"""


def test_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    store, _ = some_store(tmp_path / "a.zarr")
    write_cog(store, tmp_path / "whole.tif", tags={}, compress="none")
    size = (tmp_path / "whole.tif").stat().st_size
    folder = tmp_path / "out"
    folder.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(store.path), str(folder), str(size)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == ["OutputError"] * 5 + ["fine"]


def test_metrics_of_a_finished_cog_go_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    store, _ = some_store(tmp_path / "a.zarr")
    write_cog(store, target, tags={"MIOU": "0.1", "PLAN": "abc"})
    before = target.read_bytes()
    write_aux_metrics(target, {"MIOU": "0.5", "KAPPA": "<0.4 ä>"})
    write_aux_metrics(target, {"MIOU": "0.6"})
    assert target.read_bytes() == before
    with rasterio.open(target) as raster:
        tags = raster.tags()
    assert (tags["MIOU"], tags["KAPPA"], tags["PLAN"]) == ("0.6", "<0.4 ä>", "abc")
    aux = ET.parse(aux_path(target))
    assert len(list(aux.iter("Category"))) == 8
    assert [item.get("key") for item in aux.iter("MDI")] == ["KAPPA", "MIOU"]
    assert cog_validate(target, strict=True) == (True, [], [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "a.tif.aux.xml", "a.zarr"]


def test_metrics_beside_a_tiff_that_had_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    options = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    with rasterio.open(target, "w", crs="EPSG:32633", transform=rasterio.Affine(*UTM.transform), **options):
        pass
    write_aux_metrics(target, {"MIOU": "0.5"})
    with rasterio.open(target) as raster:
        assert raster.tags()["MIOU"] == "0.5"
    aux_path(target).write_text("<PAMDataset>")
    with pytest.raises(OutputError, match="not XML"):
        write_aux_metrics(target, {"MIOU": "0.5"})
