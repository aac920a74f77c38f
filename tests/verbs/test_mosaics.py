"""Mosaics, another CRS and areas of interest through the whole of ``predict`` and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
import torch
import zarr
from click.testing import CliRunner, Result
from PIL import Image
from rasterio.transform import Affine
from torch import nn

import geoseg
from geoseg.cli.main import cli
from geoseg.errors import OutputError, PlanError, SceneError, SceneReadError
from geoseg.inference.pipeline import Progress
from geoseg.inference.plan import Plan
from geoseg.inference.sameness import decided_otherwise
from geoseg.verbs.plan import plan_rows
from geoseg.verbs.sources import scenes_of, sources_of
from tests.raster.test_aoi import geojson, on_ground, vector
from tests.raster.test_mosaic import at, holed
from tests.raster.test_stac import item, written
from tests.scenes import UTM, random_pixels, write_scene

Classes = npt.NDArray[np.uint8]
SMALL: dict[str, Any] = {"patch_size": 64, "overlap": 16, "exact": True, "tile": 100, "device": "cpu"}


@pytest.fixture
def network() -> nn.Module:
    """A plain network of receptive radius 2 that tells three classes apart."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))


def invoked(arguments: list[str]) -> Result:
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def classes_of(path: Path) -> Classes:
    return np.asarray(zarr.open_group(path, mode="r")["classes"][:])


def cut(folder: Path, pixels: npt.NDArray[Any], *, side: int = 120) -> list[Path]:
    """A scene as files of at most ``side`` pixels a side, in UTM."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_scene(
            folder / f"{row:03}_{col:03}.tif",
            pixels[:, row : row + side, col : col + side],
            transform=at(row, col),
            nodata=0,
        )
        for row in range(0, pixels.shape[1], side)
        for col in range(0, pixels.shape[2], side)
    ]


@pytest.mark.parametrize("contexts", [1, "adaptive"])
def test_a_scene_cut_into_files_gives_the_scenes_classes(tmp_path: Path, network: nn.Module, contexts: Any) -> None:
    pixels = holed((183, 151), 1, share=0.02)
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    files = cut(tmp_path / "tiles", pixels)
    options: dict[str, Any] = {"model": network, **SMALL} if contexts == 1 else {"tile": 400}  # the default has scores
    maps = []
    for i, source in enumerate((scene, files)):
        geoseg.predict(source, outputs=tmp_path / f"{i}.zarr", contexts=contexts, **options)
        maps.append(classes_of(tmp_path / f"{i}.zarr"))
    np.testing.assert_array_equal(maps[1], maps[0])


def test_outside_the_area_nothing_runs_and_nothing_counts(tmp_path: Path, network: nn.Module) -> None:
    """Law 5: what pixels outside hold changes nothing; tiles that the area does not touch are no tiles of the run."""
    pixels = random_pixels((333, 271))
    area = on_ground(shapely.difference(shapely.box(20, 30, 90, 130), shapely.box(50, 60, 70, 80)))
    path = str(vector(tmp_path / "area.gpkg", [area]))
    outside = np.ones((333, 271), bool)
    outside[30:130, 20:90] = False
    outside[60:80, 50:70] = True
    found = {}
    for name, value in (("as it is", None), ("black", 0), ("white", 255)):
        changed = pixels if value is None else np.where(outside, np.uint8(value), pixels)
        scene = write_scene(tmp_path / f"{name}.tif", changed)
        progress: list[Progress] = []
        result = geoseg.predict(
            scene, outputs=tmp_path / f"{name}.zarr", model=network, aoi=path, on_progress=progress.append, **SMALL
        )
        found[name] = classes_of(Path(result.outputs[0]))
        assert progress[-1].tiles_done == progress[-1].tiles == result.plan.tile_count == 2
        assert progress[-1].pixels_done == progress[-1].pixels == result.plan.pixel_count
    np.testing.assert_array_equal(found["as it is"] == 255, outside)
    np.testing.assert_array_equal(found["black"], found["as it is"])
    np.testing.assert_array_equal(found["white"], found["as it is"])
    everything = geoseg.predict(tmp_path / "as it is.tif", outputs=tmp_path / "all.zarr", model=network, **SMALL)
    whole = classes_of(Path(everything.outputs[0]))
    deep = np.zeros_like(outside)
    deep[35:55, 25:45] = True  # farther from the area's edge than the network sees
    np.testing.assert_array_equal(found["as it is"][deep], whole[deep])


def test_an_area_in_degrees_over_a_warped_mosaic(tmp_path: Path, network: nn.Module) -> None:
    """Every part together; any tile size gives the same classes, and the plan travels."""
    pixels = np.maximum(random_pixels((300, 260)), 1)
    files = [
        *cut(tmp_path / "tiles", pixels[:, :, :130]),
        write_scene(
            tmp_path / "east.tif",
            np.maximum(random_pixels((150, 90), seed=4), 1),
            crs="EPSG:3857",
            transform=Affine(3.5, 0, 1_670_110, 0, -3.5, 4_320_600),
            nodata=0,
        ),
    ]
    area = geojson(tmp_path / "area.geojson", on_ground(shapely.Point(110, 140).buffer(90)))
    options = {"dst_crs": "EPSG:3857", "aoi": str(area), **SMALL}
    maps = []
    for tile in (48, 100, 1000):
        options["tile"] = tile
        result = geoseg.predict(
            files, outputs=[tmp_path / f"{tile}.zarr", tmp_path / f"{tile}.tif"], model=network, **options
        )
        maps.append(classes_of(tmp_path / f"{tile}.zarr"))
        again = Plan.from_json(json.loads(json.dumps(result.plan.to_json())))
        assert again == result.plan
        assert again.digest == result.plan.digest
        assert [t.key for t in again.tiles()] == [t.key for t in result.plan.tiles()]
    np.testing.assert_array_equal(maps[1], maps[0])
    np.testing.assert_array_equal(maps[2], maps[0])
    with rasterio.open(tmp_path / "100.tif") as cog:
        np.testing.assert_array_equal(cog.read(1), maps[0])
        assert cog.crs.to_epsg() == 3857
    disc = (maps[0] != 255).sum() / maps[0].size
    assert 0.1 < disc < 0.7


def test_the_area_is_in_the_digest_and_in_the_table(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((333, 271)))
    paths = [str(vector(tmp_path / f"{i}.gpkg", [on_ground(shapely.box(20, 30, 90 + i, 130))])) for i in range(2)]
    plans = [geoseg.plan(scene, model=network, aoi=path, **SMALL) for path in (None, *paths)]
    assert len({plan.digest for plan in plans}) == 3
    assert "aoi" in decided_otherwise(plans[2], plans[1].to_json())
    rows = dict(plan_rows(plans[1]))
    assert rows["area"] == "7,000 px, 7.8% of the scene, in 2 of 12 tiles"
    assert "area" not in dict(plan_rows(plans[0]))
    data = plans[1].to_json()
    assert data["tiles"] == 2
    assert data["patches"] < plans[0].to_json()["patches"]
    passes = plans[1].passes
    assert data["patches"] == sum(passes.tile(0, tile.core).patches for tile in plans[1].tiles())


def test_a_stopped_run_over_an_area_goes_on(tmp_path: Path, network: nn.Module) -> None:
    pixels = random_pixels((333, 271))
    files = cut(tmp_path / "tiles", np.maximum(pixels, 1))
    area = str(vector(tmp_path / "area.gpkg", [on_ground(shapely.box(20, 30, 200, 250))]))
    straight = geoseg.predict(files, outputs=tmp_path / "a.zarr", model=network, aoi=area, **SMALL)
    stops = iter(range(100))

    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.tiles_done >= 2 and next(stops) == 0:
            raise StopError

    with pytest.raises(StopError):
        geoseg.predict(files, outputs=tmp_path / "b.zarr", model=network, aoi=area, on_progress=stop, **SMALL)
    seen: list[int] = []
    result = geoseg.predict(
        files,
        outputs=tmp_path / "b.zarr",
        model=network,
        aoi=area,
        on_progress=lambda p: seen.append(p.resumed_tiles),
        **SMALL,
    )
    assert seen[0] >= 2
    assert result.plan.digest == straight.plan.digest
    np.testing.assert_array_equal(classes_of(tmp_path / "b.zarr"), classes_of(tmp_path / "a.zarr"))


def test_a_stac_document_is_one_mosaic(tmp_path: Path, network: nn.Module) -> None:
    pixels = np.maximum(random_pixels((200, 160)), 1)
    files = cut(tmp_path / "tiles", pixels)
    items = [item(f.stem, image={"href": f"./tiles/{f.name}", "roles": ["data"]}) for f in files]
    path = written(tmp_path / "items.json", *items)
    result = geoseg.predict(path, model=network, **SMALL)
    assert [Path(p).name for p in result.outputs] == ["items_classes.tif", "items_classes.zarr"]
    direct = geoseg.predict(files, model=network, outputs=tmp_path / "direct.zarr", **SMALL)
    np.testing.assert_array_equal(classes_of(tmp_path / "items_classes.zarr"), classes_of(tmp_path / "direct.zarr"))
    assert result.plan.digest == direct.plan.digest


def test_the_quick_look_of_a_mosaic_is_that_of_the_scene(tmp_path: Path, network: nn.Module) -> None:
    pixels = np.maximum(random_pixels((200, 160)) // 4 * 3, 1)
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    files = cut(tmp_path / "tiles", pixels)
    looks = []
    for i, (source, more) in enumerate(((scene, {}), (files, {}), (files, {"dst_crs": "EPSG:3857"}))):
        target = tmp_path / f"{i}.png"
        geoseg.predict(source, outputs=tmp_path / f"{i}.tif", preview=target, model=network, **SMALL, **more)
        looks.append(np.asarray(Image.open(target)).astype(int))
    np.testing.assert_array_equal(looks[1], looks[0])
    warped = looks[2][60:140, 60:120, :3]
    assert np.abs(warped.mean(axis=(0, 1)) - looks[0][60:140, 60:120, :3].mean(axis=(0, 1))).max() < 12


def test_names_of_outputs(tmp_path: Path) -> None:
    files = cut(tmp_path / "tiles", random_pixels((100, 240)))
    listed = tmp_path / "north.txt"
    listed.write_text(f"# the north\n\n  {files[0]}\ntiles/{files[1].name}\n")
    glob = str(tmp_path / "tiles" / "*.tif")
    for scene, stem in (
        (files, "000_000_mosaic.vrt"),
        ([glob], "tiles_mosaic.vrt"),
        ([f"@{listed}"], "north_mosaic.vrt"),
        ([files[0]], str(files[0])),
    ):
        sources = sources_of(scene)
        assert sources.stem == stem
        assert sources.files[0] == str(files[0])
        folder = sources.folder_of([])
        assert folder == ([f"{tmp_path}/tiles/"] if stem.endswith("vrt") else [])
    assert sources_of([f"@{listed}"]).files == tuple(map(str, files))
    names = ["https://example.org/a.tif", 'NETCDF:"a.nc":red', "file:///a.tif", "none.tif"]
    listed.write_text("\n".join(names))
    assert sources_of([f"@{listed}"]).files == tuple(names)
    assert scenes_of([glob, "x.tif"]) == ([*map(str, files), "x.tif"], [])
    assert sources_of(["https://example.org/*.tif", str(files[0])]).files[0] == "https://example.org/*.tif"


def test_the_same_glob_again_means_the_same_scenes(tmp_path: Path, tiny_bundle: Path) -> None:
    """Maps that lie beside the scenes of a glob are no scenes, one by one and as a mosaic; a map by name may be one."""
    pixels = np.maximum(random_pixels((100, 200)), 1)
    cut(tmp_path / "tiles", pixels, side=100)
    write_scene(tmp_path / "tiles" / "land_classes.tif", pixels[:, :, :100], transform=at(0, 200), nodata=0)
    glob = str(tmp_path / "tiles" / "*.tif")
    common = ["-m", str(tiny_bundle), "--device", "cpu", "--json"]
    for options, maps in (([], 3), (["--mosaic"], 4)):
        first = invoked(["predict", glob, *options, *common])
        assert first.exit_code == 0, first.output
        again = invoked(["predict", glob, *options, *common, "--overwrite"])
        assert again.exit_code == 0, again.output
        assert f"{maps} of {3 + maps} files are maps that geoseg wrote" in " ".join(again.stderr.split())
        one, other = json.loads(first.stdout), json.loads(again.stdout)
        if not options:
            assert [run["scene"] for run in one["runs"]] == [run["scene"] for run in other["runs"]]
            assert len(one["runs"]) == 3  # land_classes.tif has the name, and is none of geoseg's
        else:
            assert one["plan"]["digest"] == other["plan"]["digest"]
    named = str(tmp_path / "tiles" / "000_000_classes.tif")
    assert scenes_of([named]) == ([named], [])
    with pytest.raises(SceneReadError, match="matches only maps that geoseg wrote"):
        scenes_of([str(tmp_path / "tiles" / "*_mosaic_classes.tif")])


def test_names_that_give_nothing(tmp_path: Path, network: nn.Module) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n\n")
    scene = write_scene(tmp_path / "scene.tif", random_pixels((50, 50)))
    for named, message in (
        ([str(tmp_path / "*.jp2")], "jp2: no file matches"),
        ([f"@{empty}"], "empty.txt: the list names no files"),
        ([f"@{tmp_path}/none.txt"], "none.txt: the list cannot be read"),
        ([], "a scene of no files"),
        (f"{tmp_path}/*.tif", "names several files: give it in a list"),
    ):
        with pytest.raises((SceneError, SceneReadError), match=message):
            geoseg.plan(named, model=network)
    with pytest.raises(SceneError, match=r"--asset red: .*scene.tif is no STAC document"):
        geoseg.plan(scene, model=network, asset="red")
    with pytest.raises(SceneReadError, match=r"--aoi area.gpkg: no such file"):
        geoseg.plan(scene, model=network, aoi="area.gpkg")
    with pytest.raises(PlanError, match=r"the area .* has credentials in its name") as caught:
        geoseg.plan(scene, model=network, aoi="https://me:hunter2@example.org/area.gpkg")
    assert "hunter2" not in str(caught.value)


def test_a_file_of_the_mosaic_is_not_written_over(tmp_path: Path, network: nn.Module) -> None:
    files = cut(tmp_path / "tiles", random_pixels((100, 240)))
    with pytest.raises(OutputError, match="is a file of the scene itself"):
        geoseg.predict(files, outputs=files[1], model=network, overwrite=True, **SMALL)


def test_the_command_line(tmp_path: Path, tiny_bundle: Path) -> None:
    pixels = np.maximum(random_pixels((200, 240)), 1)
    cut(tmp_path / "tiles", pixels)
    area = str(vector(tmp_path / "area.gpkg", [on_ground(shapely.box(20, 30, 90, 130))]))
    glob = str(tmp_path / "tiles" / "*.tif")
    common = ["-m", str(tiny_bundle), "--device", "cpu", "--json", "-q"]
    run = invoked(["predict", "--mosaic", glob, "--aoi", area, *common])
    assert run.exit_code == 0, run.output
    data = json.loads(run.stdout)
    assert data["scene"] == glob
    assert [Path(p).name for p in data["outputs"]] == ["tiles_mosaic_classes.tif", "tiles_mosaic_classes.zarr"]
    assert Path(data["outputs"][0]).parent == tmp_path / "tiles"
    assert data["plan"]["area_pixels"] == 7000
    planned = CliRunner().invoke(
        cli, ["plan", "--mosaic", glob, "--dst-crs", "EPSG:3857", *common], standalone_mode=False
    )
    assert planned.exit_code == 0, planned.output
    assert len(json.loads(planned.stdout)["scene"]["layers"][0]["files"]) == 4
    dry = CliRunner().invoke(
        cli, ["predict", str(tmp_path / "tiles" / "000_*.tif"), "--dry-run", *common], standalone_mode=False
    )
    assert dry.exit_code == 0, dry.output
    assert len(json.loads(dry.stdout)["runs"]) == 2
    failed = invoked(["predict", "--mosaic", str(tmp_path / "*.jp2"), *common])
    assert "no file matches" in str(failed.exception)


def test_a_vrt_with_holes_and_masks(tmp_path: Path, network: nn.Module) -> None:
    """A VRT over files with gaps: what no file covers is nodata, in the plain scene and inside a mosaic."""
    files = cut(tmp_path / "tiles", np.maximum(random_pixels((120, 240)), 1))
    vrt = tmp_path / "scene.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{b}"><NoDataValue>0</NoDataValue><ComplexSource>'
        f'<SourceFilename relativeToVRT="1">tiles/{files[1].name}</SourceFilename><SourceBand>{b}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="120" ySize="120"/><DstRect xOff="120" yOff="0" xSize="120" ySize="120"/>'
        "<NODATA>0</NODATA></ComplexSource></VRTRasterBand>"
        for b in (1, 2, 3)
    )
    vrt.write_text(
        f'<VRTDataset rasterXSize="260" rasterYSize="130"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>{UTM.c}, 2, 0, {UTM.f}, 0, -2</GeoTransform>{bands}</VRTDataset>"
    )
    geoseg.predict(vrt, outputs=tmp_path / "vrt.zarr", model=network, **SMALL)
    expected = np.zeros((130, 260), bool)
    expected[:120, 120:240] = True
    np.testing.assert_array_equal(classes_of(tmp_path / "vrt.zarr") != 255, expected)
    geoseg.predict([vrt, files[0]], outputs=tmp_path / "both.zarr", model=network, **SMALL)
    expected[:120, :120] = True
    np.testing.assert_array_equal(classes_of(tmp_path / "both.zarr") != 255, expected)


@pytest.mark.slow
def test_real_chips_as_one_scene_in_another_crs(tmp_path: Path, shared_data: Path) -> None:
    """Four chips of a coast, black where there is nothing, given a place and put together by the default model."""
    chips = tmp_path / "chips"
    chips.mkdir()
    black = total = 0
    for path in sorted((shared_data / "monterey" / "images").glob("ortho_*.jpg")):
        x, y = (int(number) for number in path.stem.split("_")[1:3])
        if not (15_808 <= x < 17_024 and 9_728 <= y < 10_944):
            continue
        with rasterio.open(path) as source:
            pixels = source.read()
        black, total = black + int((pixels == 0).all(axis=0).sum()), total + pixels[0].size
        place = Affine(0.45, 0, 600_000 + 0.45 * x, 0, -0.45, 4_070_000 - 0.45 * y)
        write_scene(chips / f"{path.stem}.tif", pixels, crs="EPSG:26910", transform=place, nodata=0)
    target = tmp_path / "map.tif"
    result = geoseg.predict(
        [str(chips / "*.tif")], outputs=target, preview=tmp_path / "map.png", dst_crs="EPSG:3310", device="cpu"
    )
    assert len(list(chips.iterdir())) == 4
    with rasterio.open(target) as cog:
        classes = cog.read(1)
        assert cog.crs.to_epsg() == 3310
    ground = (classes != 255).sum() * result.plan.geobox.transform[0] ** 2
    assert ground == pytest.approx((total - black) * 0.45**2, rel=0.02)
