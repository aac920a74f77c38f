"""Memory that runs out at any stage of a run: one line with the plan's estimate, and the same command goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geoseg
from geoseg.errors import OutOfMemoryError
from geoseg.inference import segment, tilework
from geoseg.inference.decide import Decider
from geoseg.inference.stitch import Stitcher
from geoseg.raster import cog, file_reading
from geoseg.raster.zarr_store import ResultStore
from geoseg.verbs import finishing
from geoseg.verbs.batch import batch
from tests.scenes import random_pixels, write_scene

TILES: dict[str, tuple[Any, str]] = {
    "reading": (tilework, "read_window"),
    "decoding": (file_reading, "_read_native"),
    "padding": (segment.TilePixels, "padded"),
    "stitching": (Stitcher, "add"),
    "deciding": (Decider, "__call__"),
    "writing": (ResultStore, "write_classes"),
    "marking": (ResultStore, "mark_done"),
}
ENDING: dict[str, tuple[Any, str]] = {
    "scoring": (ResultStore, "read_classes"),
    "overviews": (ResultStore, "add_overviews"),
    "COG": (cog, "put_in_place"),
    "styles": (finishing, "write_styles"),
    "name": (finishing, "finish_store"),
}
LINE = r"\(the plan estimated \d+\.\d GB, this machine has \d+\.\d GB that others use too\); "


def short(*_: Any, **__: Any) -> Any:
    raise MemoryError("Unable to allocate 3.1 GiB")


class Once:
    """Works so many times, and then memory is short for good."""

    def __init__(self, plain: Any, times: int) -> None:
        self.plain, self.left = plain, times

    def __get__(self, owner: Any, _: Any) -> Any:
        return self if owner is None else lambda *args, **kwargs: self(owner, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        return short() if self.left < 0 else self.plain(*args, **kwargs)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("short") / "scene.tif", random_pixels((300, 400)))


def run(scene: Path, bundle: Path, folder: Path, **options: Any) -> Any:
    outputs = [folder / "map.tif", folder / "map.zarr"]
    return geoseg.predict(scene, outputs=outputs, model=bundle, tile=96, threads=1, reference=truth(scene), **options)


def truth(scene: Path) -> Path:
    path = scene.with_name("truth.tif")
    return path if path.exists() else write_scene(path, np.zeros((1, 300, 400), np.uint8))


@pytest.mark.parametrize(
    ("stage", "scheduler"),
    [*((stage, scheduler) for stage in TILES for scheduler in ("sync", "threads")), *((s, "sync") for s in ENDING)],
)
def test_it_is_one_line_and_the_run_goes_on(
    scene: Path, tiny_bundle: Path, tmp_path: Path, stage: str, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name = {**TILES, **ENDING}[stage]
    with monkeypatch.context() as broken:
        times = 0 if stage in ENDING else 3
        broken.setattr(place, name, Once(getattr(place, name), times))
        with pytest.raises(OutOfMemoryError, match=LINE) as caught:
            run(scene, tiny_bundle, tmp_path, scheduler=scheduler)
    assert "\n" not in str(caught.value)
    assert ("all tiles are done" in str(caught.value)) == (stage in ENDING)
    whole = ["map.tif", "map.tif.aux.xml"] if stage in ("styles", "name") else []
    whole += ["map.qml", "map.sld"] if stage == "name" else []
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == sorted(whole)
    again = run(scene, tiny_bundle, tmp_path, scheduler=scheduler)
    assert (again.predicted_pixels == 0) == (stage in ENDING)
    assert not list(tmp_path.glob(".*"))
    with rasterio.open(tmp_path / "map.tif") as found, rasterio.open(reference_map(scene, tiny_bundle)) as wanted:
        assert np.array_equal(found.read(), wanted.read())


def reference_map(scene: Path, bundle: Path) -> Path:
    """Of a run that had memory."""
    folder = scene.parent / "whole"
    if not folder.exists():
        folder.mkdir()
        run(scene, bundle, folder)
    return folder / "map.tif"


def test_a_batch_tells_it_of_the_scene_and_goes_on(
    scene: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [write_scene(tmp_path / f"{k}.tif", random_pixels((90, 90), seed=k)) for k in range(2)]
    (tmp_path / "list.csv").write_text("scene\n" + "".join(f"{path}\n" for path in scenes))
    plain = geoseg.verbs.batch.predict

    def planning(named: str, **given: Any) -> Any:
        return short() if named.endswith("0.tif") else plain(named, **given)

    monkeypatch.setattr("geoseg.verbs.batch.predict", planning)
    found = batch(tmp_path / "list.csv", output=tmp_path / "maps", model=tiny_bundle, scheduler="sync", threads=1)
    assert [row.state for row in found.rows] == ["failed", "done"]
    assert found.rows[0].error == "out of memory (Unable to allocate 3.1 GiB)"


def test_the_command_says_it_in_one_line_and_exits_with_1(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    script = (
        "import sys, geoseg.raster.zarr_store as room\n"
        "def short(*_): raise MemoryError\n"
        "room.ResultStore.write_classes = short\n"
        "from geoseg.cli import main; main()"
    )
    command = ["predict", str(scene), "-m", str(tiny_bundle), "-o", str(tmp_path / "map.tif"), "-q", "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: out of memory while tiles were worked on: tile 0.0 (the plan estimated ")
    assert not (tmp_path / "map.tif").exists()
