"""Runs that were killed when all outputs were in place: they count as done, whatever ``auto`` would decide by now."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import geoseg
from geoseg.errors import OutputExistsError
from geoseg.inference.plan import Plan
from geoseg.inference.resume import record_of
from geoseg.models.probing.kept import keep_probe
from geoseg.models.runtimes import availability
from geoseg.raster.lock_holder import Holder
from geoseg.raster.places import location_of
from geoseg.verbs.digests import digest_of
from geoseg.verbs.options import RunOptions
from tests.killing import start
from tests.probes import finite_probe
from tests.scenes import random_pixels, write_scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "maps").mkdir()
    return write_scene(tmp_path / "scene.tif", random_pixels((300, 200)))


def outputs_of(scene: Path, endings: Sequence[str]) -> list[Path]:
    return [scene.parent / "maps" / f"out{ending}" for ending in endings]


def killed(scene: Path, bundle: Path, endings: Sequence[str], *options: str, die: str = "at release 1") -> Plan:
    """A run that was killed at its end, and a probe since then by which other runs are planned; gives its plan."""
    plan = geoseg.plan(scene, model=bundle)
    targets = [word for path in outputs_of(scene, endings) for word in ("-o", str(path))]
    command = ["predict", str(scene), "-m", str(bundle), "-q", *targets, *options]
    errors, environment = scene.parent / "stderr", {"GEOSEG_CACHE": str(scene.parent / "cache")}
    process = start(command, stderr=errors, environment=environment, die=die)
    process.join()
    assert process.exitcode == -signal.SIGKILL, errors.read_text()
    keep_probe(finite_probe(bundle, reach=3))
    assert geoseg.plan(scene, model=bundle).digest != plan.digest
    return plan


def written(scene: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file of the maps."""
    found = {p: p.stat() for p in (scene.parent / "maps").rglob("*") if p.is_file()}
    return {str(p): (s.st_ino, s.st_mtime_ns) for p, s in found.items()}


@pytest.mark.parametrize("endings", [(".tif",), (".zarr",), (".tif", ".zarr"), (".gpkg",)], ids="".join)
def test_a_run_that_was_killed_before_it_let_go_is_done(
    scene: Path, tiny_bundle: Path, endings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = killed(scene, tiny_bundle, endings)
    assert list((scene.parent / "maps").glob(".*.lock"))
    before = written(scene)
    monkeypatch.setattr(availability, "available", lambda *_, **__: "nothing is installed")  # nor needed
    told: list[Plan] = []
    again = geoseg.predict(scene, outputs=outputs_of(scene, endings), model=tiny_bundle, on_plan=told.append)
    assert again.predicted_pixels == again.computed_pixels == 0
    assert again.plan.digest == told[0].digest == plan.digest
    assert {digest_of(path) for path in outputs_of(scene, endings)} == {plan.digest}
    after = written(scene)
    assert after == {path: found for path, found in before.items() if ".lock" not in path}
    with pytest.raises(OutputExistsError):  # nothing is left of it any more
        geoseg.predict(scene, outputs=outputs_of(scene, endings), model=tiny_bundle)


def test_a_run_that_was_killed_after_its_last_rename_is_done(scene: Path, tiny_bundle: Path) -> None:
    plan = killed(scene, tiny_bundle, (".zarr",), die="after 1")
    assert list(scene.parent.glob("maps/out.zarr/classes/.geoseg-done/*"))
    again = geoseg.predict(scene, outputs=outputs_of(scene, (".zarr",)), model=tiny_bundle)
    assert (again.predicted_pixels, again.plan.digest) == (0, plan.digest)
    assert not list(scene.parent.glob("maps/out.zarr/classes/.geoseg-done"))


def test_the_area_counts_too(scene: Path, tiny_bundle: Path) -> None:
    area = scene.parent / "area.geojson"
    ring = "[[500000,4000000],[500200,4000000],[500200,3999800],[500000,4000000]]"
    area.write_text(
        '{"type": "Polygon", "crs": {"type": "name", "properties": {"name": "EPSG:32633"}}, "coordinates": ['
        f"{ring}]}}"
    )
    killed(scene, tiny_bundle, (".tif",), "--aoi", str(area))
    target = outputs_of(scene, (".tif",))
    with pytest.raises(OutputExistsError):
        geoseg.predict(scene, outputs=target, model=tiny_bundle)
    again = geoseg.predict(scene, outputs=target, model=tiny_bundle, aoi=str(area))
    assert again.predicted_pixels == 0


@pytest.mark.parametrize("options", [{"overlap": 64}, {"nodata": 3.0}])
def test_what_is_asked_for_otherwise_is_another_run(scene: Path, tiny_bundle: Path, options: dict[str, Any]) -> None:
    killed(scene, tiny_bundle, (".tif",))
    target = outputs_of(scene, (".tif",))
    with pytest.raises(OutputExistsError):
        geoseg.predict(scene, outputs=target, model=tiny_bundle, **options)
    anew = geoseg.predict(scene, outputs=target, model=tiny_bundle, overwrite=True, **options)
    assert anew.predicted_pixels == 300 * 200


@pytest.mark.parametrize("noted", [True, False])
def test_a_run_that_was_to_replace_and_was_killed_before_it_did_is_not_done(
    scene: Path, tiny_bundle: Path, noted: bool
) -> None:
    target = outputs_of(scene, (".tif",))
    geoseg.predict(scene, outputs=target, model=tiny_bundle)
    keep_probe(finite_probe(tiny_bundle, reach=3))
    plan = geoseg.plan(scene, model=tiny_bundle)
    home, name = location_of(target[0]).guard()
    run = record_of(plan, RunOptions()) if noted else None
    home.write(name, replace(Holder.here(), pid=2**22 + 1, run=run).to_bytes())
    anew = geoseg.predict(scene, outputs=target, model=tiny_bundle, overwrite=True)
    assert anew.plan.digest == digest_of(target[0]) == plan.digest
    assert anew.predicted_pixels == 300 * 200
