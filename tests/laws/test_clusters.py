"""Laws 3 and 6 on clusters: workers that die and workers that come late change no byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import geoseg
from geoseg.inference.executors import ClusterOptions, open_session
from geoseg.inference.pipeline import Progress
from tests.clusters import Dask
from tests.scenes import random_pixels, write_scene

OPTIONS: dict[str, Any] = {
    "patch_size": 128, "exact": True, "tile": 64, "device": "cpu", "threads": 1, "batch_size": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> dict[str, bytes]:
    """Every file of the store and the COG of a run in this process, and the scene."""
    folder = tmp_path_factory.mktemp("local")
    scene = write_scene(folder / "scene.tif", random_pixels((400, 460)))
    outputs = [folder / "map.tif", folder / "map.zarr"]
    geoseg.predict(scene, outputs=outputs, model=tiny_bundle, **OPTIONS)
    return {"scene": str(scene).encode(), **bytes_of(folder)}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The contents of the outputs in a folder by name; the records of plan and timing tell costs, and are left out."""
    files = [folder / "map.tif", *sorted((folder / "map.zarr").rglob("*"))]
    found = {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}
    root = json.loads(found["map.zarr/zarr.json"])
    root["attributes"]["geoseg_plan"] = root["attributes"]["geoseg_plan"]["digest"]
    assert root["attributes"].pop("geoseg_timing")["computed_pixels"] >= 0
    found["map.zarr/zarr.json"] = json.dumps(root).encode()
    return found


def run(local: dict[str, bytes], folder: Path, model: Path, midway: Callable[[], None], **where: Any) -> int:
    """Predicts, with something happening after the fourth tile; returns the number of tiles."""
    happened = []

    def watch(progress: Progress) -> None:
        if progress.tiles_done == 4 and progress.stage == "predicting":
            midway()
            happened.append(progress.tiles_done)

    outputs = [folder / "map.tif", folder / "map.zarr"]
    result = geoseg.predict(
        local["scene"].decode(), outputs=outputs, model=model, on_progress=watch, **OPTIONS, **where
    )
    assert happened == [4]  # or the test would be of an undisturbed run
    assert [name for name, found in bytes_of(folder).items() if found != local[name]] == []
    assert {*bytes_of(folder), "scene"} == set(local)
    assert not list(folder.glob(".*"))
    return result.plan.tile_count


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_processes_one_killed_midway(tmp_path: Path, tiny_bundle: Path, local: dict[str, bytes]) -> None:
    with open_session(ClusterOptions(workers=3), device="cpu") as session:

        def kill_one() -> None:
            pids = session._client.run(lambda dask_worker: __import__("os").getpid())  # type: ignore[attr-defined]
            psutil.Process(next(iter(pids.values()))).kill()

        assert run(local, tmp_path, tiny_bundle, kill_one, session=session) > 15


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_plain_cluster_one_worker_late_and_one_killed(
    tmp_path: Path, tiny_bundle: Path, local: dict[str, bytes]
) -> None:
    with Dask(tmp_path / "dask") as dask:
        _, doomed = dask.add_worker(), dask.add_worker()

        def change() -> None:
            dask.add_worker()
            doomed.kill()

        (tmp_path / "out").mkdir()
        run(local, tmp_path / "out", tiny_bundle, change, scheduler_file=str(dask.file))
