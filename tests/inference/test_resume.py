"""What an unfinished run may be continued with: the plan that was made when it began, whatever would be planned now."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import geoseg
from geoseg.errors import OutputError, OutputLockedError, PlanError
from geoseg.inference import machine
from geoseg.inference.pipeline import Progress
from geoseg.inference.plan import Plan
from geoseg.inference.resume import continued_plan, find_unfinished, open_part
from geoseg.inference.sameness import PLAN_ATTRIBUTE, decided_otherwise
from geoseg.inference.tasks import TileTask
from geoseg.inference.tilework import work_tile
from geoseg.models.batching import BATCH_PIXELS
from geoseg.models.bundle import open_bundle
from geoseg.models.probing.kept import keep_probe
from geoseg.models.source import from_bundle
from geoseg.raster import locks
from geoseg.raster.atomic import discard
from geoseg.raster.locations import MARKERS, PLAN_DIGEST
from geoseg.raster.lock_holder import Holder
from geoseg.raster.places import location_of
from geoseg.raster.zarr_store import ResultStore, open_store
from geoseg.verbs.options import RunOptions
from geoseg.version import __version__
from tests.probes import finite_probe
from tests.scenes import random_pixels, write_scene


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", random_pixels((300, 400)))


def begin(scene: Path, model: Any, **options: Any) -> tuple[Plan, Path]:
    """A run that was stopped before its first tile; returns its plan and where its unfinished store lies."""
    part = scene.parent / ".out.zarr.part.zarr"
    plan = geoseg.plan(scene, model=model, **options)
    open_part(plan, part, restart=True, attributes={}, options=RunOptions(**options))
    return plan, part


def again(scene: Path, part: Path, model: Any, **options: Any) -> Plan:
    left = find_unfinished(location_of(part))
    assert left is not None
    return continued_plan(geoseg.plan(scene, model=model, **options), RunOptions(**options), left)


def test_another_machine_continues_with_what_was_decided(
    scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, part = begin(scene, tiny_bundle)
    monkeypatch.setitem(BATCH_PIXELS, "cpu", 2 * 128 * 128)  # as a smaller machine would
    monkeypatch.setattr(machine, "core_count", lambda: plan.threads + 3)
    assert geoseg.plan(scene, model=tiny_bundle).digest != plan.digest
    found = again(scene, part, tiny_bundle)
    assert (found.digest, found.threads) == (plan.digest, plan.threads)
    assert any("batches of" in note for note in found.notes)
    result = geoseg.predict(scene, outputs=scene.parent / "out.zarr", model=tiny_bundle)
    assert result.plan.digest == plan.digest
    assert open_store(scene.parent / "out.zarr").attributes[PLAN_DIGEST] == plan.digest


def test_a_probe_made_meanwhile_changes_nothing_that_was_begun(
    scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))
    plan, part = begin(scene, tiny_bundle)
    keep_probe(finite_probe(tiny_bundle, reach=3))
    assert geoseg.plan(scene, model=tiny_bundle).halo == 8 != plan.halo
    found = again(scene, part, tiny_bundle)
    assert found.digest == plan.digest
    assert any("overlap 32 px" in note for note in found.notes)


def test_what_was_auto_may_be_given_as_it_was_decided_and_the_other_way_round(scene: Path, tiny_bundle: Path) -> None:
    plan, part = begin(scene, tiny_bundle)
    batch = plan.contexts[0].batch_size
    given = {"batch_size": batch, "patch_size": plan.contexts[0].size, "overlap": 2 * plan.halo, "device": "cpu"}
    assert again(scene, part, tiny_bundle, **given).digest == plan.digest
    with pytest.raises(PlanError, match=rf"\(batch size {batch} -> {batch + 1}\): give .* or --restart"):
        again(scene, part, tiny_bundle, batch_size=batch + 1)
    plan, part = begin(scene, tiny_bundle, batch_size=2, tile=200)
    assert again(scene, part, tiny_bundle).digest == plan.digest


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stitch": "hann"}, "stitch crop -> hann"),
        ({"patch_size": 64}, "patch size 128 -> 64"),
        ({"overlap": 64}, "overlap 32 -> 64"),
        ({"tile": 96}, r"tile \[.*\] -> 96"),
        ({"confidence": True}, "layers confidence False -> True"),
        ({"zarr_format": 2}, "zarr format 3 -> 2"),
        ({"bidx": (3, 2, 1)}, r"scene bidx \[1, 2, 3\] -> \[3, 2, 1\]"),
        ({"exact": True, "stitch": "average"}, "stitch crop -> average; exact False -> True"),
    ],
)
def test_other_settings_are_named(scene: Path, tiny_bundle: Path, options: dict[str, Any], named: str) -> None:
    _, part = begin(scene, tiny_bundle)
    with pytest.raises(PlanError, match=named) as caught:
        again(scene, part, tiny_bundle, **options)
    assert "\n" not in str(caught.value)


def test_another_scene_is_called_so(scene: Path, tiny_bundle: Path) -> None:
    _, part = begin(scene, tiny_bundle)
    other = write_scene(scene.parent / "other.tif", random_pixels((200, 300)))
    with pytest.raises(PlanError) as caught:
        again(other, part, tiny_bundle)
    assert str(caught.value) == (
        f"{scene.parent / 'out.zarr'}: an unfinished run of another scene ({scene}) is there;"
        " --restart drops it, or give another name"
    )


def test_no_difference_is_told_in_pythons_dicts(scene: Path, tiny_bundle: Path) -> None:
    pixels = random_pixels((300, 400))
    files = [write_scene(scene.parent / "one.tif", pixels), write_scene(scene.parent / "two.tif", pixels)]
    part = scene.parent / ".out.zarr.part.zarr"
    options: list[dict[str, Any]] = [{}, {"dst_crs": "EPSG:32634", "bidx": (3, 2, 1), "contexts": 1, "nodata": 3.0}]
    plans = [geoseg.plan(files, model=tiny_bundle, **asked) for asked in options]
    open_part(plans[0], part, restart=True, attributes={}, options=RunOptions())
    left = find_unfinished(location_of(part))
    assert left is not None
    with pytest.raises(PlanError, match="another grid") as caught:
        continued_plan(plans[1], RunOptions(**options[1]), left)
    assert "{" not in str(caught.value)
    assert "{" not in decided_otherwise(plans[1], plans[0].to_json())


def test_other_files_are_named(scene: Path, tiny_bundle: Path) -> None:
    _, part = begin(scene, tiny_bundle)
    os.utime(scene, (1e9, 1e9))
    with pytest.raises(PlanError, match="the scene's files have changed"):
        again(scene, part, tiny_bundle)
    network = torch.nn.Conv2d(3, 5, 1)
    _, part = begin(scene, network, patch_size=128)
    with pytest.raises(PlanError, match="model Conv2d -> tiny"):
        again(scene, part, tiny_bundle, patch_size=128)


def test_threads_that_are_given_count_and_reach_the_workers(scene: Path, tiny_bundle: Path) -> None:
    plan, part = begin(scene, tiny_bundle, threads=2)
    found = again(scene, part, tiny_bundle, threads=1)
    assert (found.digest, found.threads) == (plan.digest, 1)
    store = open_part(found, part, attributes={}, options=RunOptions(threads=1))
    assert store.attributes[PLAN_ATTRIBUTE]["threads"] == 1


def test_what_is_not_geosegs_is_never_deleted(scene: Path, tiny_bundle: Path) -> None:
    for name in (".out.zarr.part.zarr", "out.zarr"):
        stranger = scene.parent / name
        stranger.mkdir()
        (stranger / "diary.txt").write_text("mine")
        for options in ({"restart": True, "overwrite": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match=f"{name} is there and no class store that geoseg wrote"):
                geoseg.predict(scene, outputs=scene.parent / "out.zarr", model=tiny_bundle, **options)
        assert (stranger / "diary.txt").read_text() == "mine"
        (stranger / "diary.txt").unlink()
        stranger.rmdir()


def test_half_a_store_of_our_own_is_written_anew(scene: Path, tiny_bundle: Path) -> None:
    part = scene.parent / ".out.zarr.part.zarr"
    (part / MARKERS).parent.mkdir(parents=True)
    (part / "classes" / ".geoseg-part").write_text('{"stage": "writing"}')  # killed while it was made
    (part / "zarr.json").write_text("{")
    geoseg.predict(scene, outputs=scene.parent / "out.zarr", model=tiny_bundle)
    assert sorted(p.name for p in scene.parent.iterdir()) == ["out.zarr", "scene.tif"]


def test_a_worker_of_a_run_that_is_over_writes_nothing(scene: Path, tiny_bundle: Path) -> None:
    """Nobody may have told it: a command that was killed, a network that was away."""
    plan, part = begin(scene, tiny_bundle)
    model = from_bundle(open_bundle(tiny_bundle)).recipe
    task = TileTask(store=str(part), digest=plan.digest, model=model, run="old", version=__version__, shared=True)
    assert work_tile(task, 0, 0).computed_pixels > 0
    assert work_tile(task, 0, 0).computed_pixels == 0  # done by a worker that died before it could say so
    begin(scene, tiny_bundle, stitch="hann")
    with pytest.raises(PlanError, match="another run has replaced or finished it"):
        work_tile(task, 0, 0)
    discard(part)
    with pytest.raises(PlanError, match="another run has replaced or finished it"):
        work_tile(task, 0, 0)
    assert not part.exists()


def test_a_run_whose_lock_is_taken_over_stops_at_its_next_tile(
    scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.01)
    target = location_of(f"memory://{uuid.uuid4().hex}/map.zarr")
    home, name = target.guard()
    seen: list[int] = []

    def watch(progress: Progress) -> None:
        seen.append(progress.tiles_done)
        if progress.tiles_done == 1:
            home.write(name, replace(Holder.here(), token="another").to_bytes())
            time.sleep(0.1)

    with pytest.raises(OutputLockedError, match="taken over"):
        geoseg.predict(scene, outputs=str(target), model=tiny_bundle, on_progress=watch, tile=96, scheduler="sync")
    assert seen == [0, 1]


def test_a_tile_that_cannot_be_written_has_no_marker(
    scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, part = begin(scene, tiny_bundle)
    model = from_bundle(open_bundle(tiny_bundle)).recipe
    task = TileTask(store=str(part), digest=plan.digest, model=model, run="full", version=__version__)

    def full(*_: Any) -> None:
        raise OutputError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(ResultStore, "write_classes", full)
        with pytest.raises(OutputError, match="No space"):
            work_tile(task, 0, 0)
    assert not list(open_store(part).done_keys())
    work_tile(task, 0, 0)
    assert list(open_store(part).done_keys()) == ["0.0"]
