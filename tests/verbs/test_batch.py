"""Batches: broken scenes stop no other, what is done is left alone, scores add up exactly."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import geoseg
from geoseg.cli.main import cli
from geoseg.errors import BundleError, GeosegError, OutputError, PlanError, StoppedError
from geoseg.evaluation.confusion import Counts
from geoseg.evaluation.metrics import summarise
from geoseg.inference import runtime_choice
from geoseg.models.bundle import open_bundle
from geoseg.models.runtimes import availability
from geoseg.verbs import batch as batch_verb
from geoseg.verbs.batch import batch
from geoseg.verbs.batch_table import open_table
from geoseg.verbs.evaluate import evaluate
from tests.scenes import random_pixels, write_scene

KIND = {"scheduler": "sync", "threads": 1}


def _scenes(folder: Path, count: int, *, size: int = 80) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_scene(folder / f"scene_{i:02d}.tif", random_pixels((size, size + i), seed=i)) for i in range(count)]


def _truth(scene: Path, *, seed: int) -> Path:
    with rasterio.open(scene) as found:
        ids = np.random.default_rng(seed).integers(0, 5, (1, found.height, found.width), dtype=np.uint8)
    path = scene.parent.parent / "truths" / scene.name
    path.parent.mkdir(exist_ok=True)
    return write_scene(path, ids)


def _times(folder: Path) -> dict[str, int]:
    """When each map's file was written."""
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.is_file() and "geoseg-batch.sqlite" not in p.name
    }


def _run(*arguments: str | Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and stderr of ``geoseg batch``."""
    result = CliRunner().invoke(cli, ["batch", *map(str, arguments), "--json"], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.return_value or 0, json.loads(result.stdout), result.stderr


def test_twenty_scenes_of_which_two_are_broken(tmp_path: Path, tiny_bundle: Path) -> None:
    scenes = _scenes(tmp_path / "scenes", 20)
    scenes[3].write_text("no raster")
    whole = write_scene(scenes[11], random_pixels((400, 400)), photometric="rgb", compress="deflate").read_bytes()
    scenes[11].write_bytes(whole[: len(whole) * 2 // 3])  # opens, and fails midway
    maps = tmp_path / "maps"
    command = (tmp_path / "scenes", "-o", maps, "-m", tiny_bundle, "--tile", "96", "--threads", "1")

    code, found, stderr = _run(*command, "--scheduler", "sync")
    assert code == 1
    assert (found["totals"]["done"], found["totals"]["failed"]) == (18, 2)
    failed = {Path(row["scene"]).name: row for row in found["scenes"] if row["state"] == "failed"}
    assert set(failed) == {"scene_03.tif", "scene_11.tif"}
    assert "cannot be opened as a raster" in failed["scene_03.tif"]["error"]
    assert "cannot read" in failed["scene_11.tif"]["error"] or "scene_11" in failed["scene_11.tif"]["error"]
    assert failed["scene_11.tif"]["plan_digest"]  # it had begun
    assert "scene 20 of 20" in stderr
    assert "Traceback" not in stderr
    before = _times(maps)
    assert sum(name.endswith("_classes.tif") for name in before) == 18

    code, found, _ = _run(*command, "--scheduler", "sync")
    assert code == 1
    assert _times(maps) == before
    assert [row["attempts"] for row in found["scenes"]] == [1] * 20

    write_scene(scenes[3], random_pixels((60, 60)))
    scenes[11].write_bytes(whole)
    code, found, _ = _run(*command, "--scheduler", "sync", "--retry-failed")
    assert code == 0
    assert found["totals"]["done"] == 20
    after = _times(maps)
    assert {name: after[name] for name in before if "scene_11" not in name} == {
        name: time for name, time in before.items() if "scene_11" not in name
    }
    assert [row["attempts"] for row in found["scenes"]] == [2 if i in (3, 11) else 1 for i in range(20)]


def test_scores_over_all_scenes_are_those_of_the_summed_counts(tmp_path: Path, tiny_bundle: Path) -> None:
    scenes = _scenes(tmp_path / "scenes", 3)
    truths = [_truth(scene, seed=i) for i, scene in enumerate(scenes)]
    found = geoseg.batch(
        tmp_path / "scenes", output=tmp_path / "maps", references=tmp_path / "truths", model=tiny_bundle,
        outputs=("zarr",), export=tmp_path / "out" / "rows.csv", **KIND,
    )  # fmt: skip
    legend = open_bundle(tiny_bundle).card.legend
    scores = [evaluate(r.outputs[0], t, write=False).metrics for r, t in zip(found.rows, truths, strict=True)]
    assert [row.miou for row in found.rows] == [score["miou"] for score in scores]
    total = sum(np.array(score["confusion"]) for score in scores)
    counts = Counts(confusion=np.asarray(total), unpredicted=np.zeros(5, np.int64), unlabelled=0)
    assert found.metrics is not None
    assert found.metrics["miou"] == summarise(counts, legend)["miou"]
    assert found.metrics["pixels"] == sum(score["pixels"] for score in scores) == found.totals["pixels"]
    assert found.table_rows()[-1][-1] == f"{found.metrics['miou']:.4f}"
    with (tmp_path / "out" / "rows.csv").open() as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["done"] * 3


def test_a_broken_reference_fails_its_scene_only(tmp_path: Path, tiny_bundle: Path) -> None:
    scenes = _scenes(tmp_path / "scenes", 2)
    (tmp_path / "list.csv").write_text(f"scene,reference\n{scenes[0]},none.tif\n{scenes[1]},\n")
    found = batch(tmp_path / "list.csv", output=tmp_path / "maps", model=tiny_bundle, **KIND)
    assert [row.state for row in found.rows] == ["failed", "done"]
    assert "none.tif" in (found.rows[0].error or "")
    assert found.metrics is None


def test_even_a_bug_stops_no_other_scene(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _scenes(tmp_path / "scenes", 2)
    real = batch_verb.predict

    def broken(scene: str, **options: Any) -> Any:
        if "00" in scene:
            raise ZeroDivisionError("by zero")
        return real(scene, **options)

    monkeypatch.setattr(batch_verb, "predict", broken)
    found = batch(tmp_path / "scenes", output=tmp_path / "maps", model=tiny_bundle, **KIND)
    assert [row.state for row in found.rows] == ["failed", "done"]
    assert "ZeroDivisionError" in (found.rows[0].error or "")


@pytest.mark.parametrize("stop", [StoppedError("stopped", signum=15), KeyboardInterrupt()])
def test_a_signal_stops_the_batch_and_the_same_call_goes_on(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    _scenes(tmp_path / "scenes", 3)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, **KIND}
    real = batch_verb.predict
    with monkeypatch.context() as patched:

        def stopped(scene: str, **options: Any) -> Any:
            if "01" in scene:
                raise stop
            return real(scene, **options)

        patched.setattr(batch_verb, "predict", stopped)
        with pytest.raises(type(stop)):
            batch(tmp_path / "scenes", **asked)
    with open_table(tmp_path / "maps" / "geoseg-batch.sqlite") as table:
        assert [row.state for row in table.rows().values()] == ["done", "running", "waiting"]
    begun: list[int] = []
    found = batch(tmp_path / "scenes", **asked, on_scene=lambda place, count, scene: begun.append(place))
    assert [row.attempts for row in found.rows] == [1, 2, 1]
    assert begun == [2, 3]


def test_killed_between_the_outputs_and_the_table_the_outputs_count_as_done(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = _scenes(tmp_path / "scenes", 1)
    _truth(scenes[0], seed=1)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "references": tmp_path / "truths", **KIND}
    real = batch_verb.predict
    with monkeypatch.context() as patched:

        def killed(scene: str, **options: Any) -> Any:
            real(scene, **options)
            raise KeyboardInterrupt

        patched.setattr(batch_verb, "predict", killed)
        with pytest.raises(KeyboardInterrupt):
            batch(tmp_path / "scenes", **asked)
    before = _times(tmp_path / "maps")
    found = batch(tmp_path / "scenes", **asked)
    assert _times(tmp_path / "maps") == before
    (row,) = found.rows
    assert (row.state, row.attempts) == ("done", 1)
    assert row.miou is not None
    assert found.metrics is not None
    assert found.metrics["miou"] == row.miou


def test_other_settings_are_refused_by_name_unless_scenes_may_be_done_anew(tmp_path: Path, tiny_bundle: Path) -> None:
    scenes = _scenes(tmp_path / "scenes", 2)
    maps = tmp_path / "maps"
    batch(tmp_path / "scenes", output=maps, model=tiny_bundle, **KIND)
    before = _times(maps)
    with pytest.raises(PlanError, match=r"2 scenes are done with other settings \(overlap default -> 64") as caught:
        batch(tmp_path / "scenes", output=maps, model=tiny_bundle, overlap=64, **KIND)
    assert "--overwrite" in str(caught.value)
    _truth(scenes[0], seed=0)
    with pytest.raises(PlanError, match="reference default -> "):
        batch(tmp_path / "scenes", output=maps, model=tiny_bundle, references=tmp_path / "truths", **KIND)
    with pytest.raises(PlanError, match=r"outputs scene_00_classes.tif,scene_00_classes.zarr -> scene_00_classes.tif"):
        batch(tmp_path / "scenes", output=maps, outputs=("cog",), model=tiny_bundle, **KIND)
    batch(tmp_path / "scenes", output=maps, model=tiny_bundle, scheduler="threads", threads=2)  # speed is no setting
    assert _times(maps) == before
    found = batch(tmp_path / "scenes", output=maps, model=tiny_bundle, overlap=64, overwrite=True, **KIND)
    assert [row.attempts for row in found.rows] == [2, 2]
    assert _times(maps).keys() == before.keys()
    assert not any(_times(maps)[name] == before[name] for name in before if name.endswith(".tif"))
    again = batch(tmp_path / "scenes", output=maps, model=tiny_bundle, overlap=64, overwrite=True, **KIND)
    assert [row.attempts for row in again.rows] == [2, 2]


def test_outputs_that_are_gone_are_made_again_and_foreign_ones_are_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    _scenes(tmp_path / "scenes", 3)
    maps = tmp_path / "maps"
    asked = {"output": maps, "model": tiny_bundle, **KIND}
    batch(tmp_path / "scenes", **asked)
    (maps / "scene_00_classes.tif").unlink()
    shutil.rmtree(maps / "scene_01_classes.zarr")
    notes: list[str] = []
    found = batch(tmp_path / "scenes", **asked, on_note=notes.append)
    assert [row.attempts for row in found.rows] == [2, 2, 1]
    assert [row.state for row in found.rows] == ["done"] * 3
    assert "2 scenes were done and their outputs are gone" in notes[0]
    assert all(Path(p).exists() for row in found.rows for p in row.outputs)
    shutil.copyfile(maps / "scene_00_classes.tif", maps / "scene_02_classes.tif")
    with pytest.raises(FileExistsError, match=r"scene_02_classes\.tif"):
        batch(tmp_path / "scenes", **asked)
    found = batch(tmp_path / "scenes", **asked, overwrite=True)
    assert [row.attempts for row in found.rows] == [2, 2, 2]


def test_scenes_that_were_changed_after_they_were_done_are_said_and_done_anew_on_demand(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    scenes = _scenes(tmp_path / "scenes", 2)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("cog",), **KIND}
    assert batch(tmp_path / "scenes", **asked).notes == ()
    assert batch(tmp_path / "scenes", **asked).notes == ()
    write_scene(scenes[1], random_pixels((70, 70), seed=9))
    later = time.time() + 10
    os.utime(scenes[1], (later, later))
    found = batch(tmp_path / "scenes", **asked)
    assert [row.attempts for row in found.rows] == [1, 1]
    assert "1 scenes were changed after their maps were made" in found.notes[0]
    assert "scene_01.tif: left alone" in found.notes[0]
    found = batch(tmp_path / "scenes", **asked, overwrite=True)
    assert [row.attempts for row in found.rows] == [1, 2]
    assert found.rows[1].pixels == 70 * 70


def test_outputs_of_another_run_are_skipped_and_replaced_on_demand(tmp_path: Path, tiny_bundle: Path) -> None:
    scenes = _scenes(tmp_path / "scenes", 2)
    maps = tmp_path / "maps"
    geoseg.predict(scenes[0], outputs=f"{maps}/", model=tiny_bundle, **KIND)
    before = _times(maps)
    code, found, stderr = _run(tmp_path / "scenes", "-o", maps, "-m", tiny_bundle, "--scheduler", "sync")
    assert code == 0
    assert [row["state"] for row in found["scenes"]] == ["skipped", "done"]
    assert "--overwrite" in stderr
    assert {name: _times(maps)[name] for name in before} == before
    found = batch(tmp_path / "scenes", output=maps, model=tiny_bundle, overwrite=True, **KIND)
    assert [row.state for row in found.rows] == ["done", "done"]


def test_manifests_grow_and_shrink(tmp_path: Path, tiny_bundle: Path) -> None:
    scenes = _scenes(tmp_path / "scenes", 3)
    listing = tmp_path / "list.csv"
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("cog",), **KIND}
    listing.write_text(f"scene\n{scenes[0]}\n{scenes[1]}\n")
    batch(listing, **asked)
    listing.write_text(f"scene\n{scenes[2]}\n{scenes[1]}\n")
    found = batch(listing, **asked, export=tmp_path / "rows.csv")
    assert [(Path(r.scene).name, r.attempts) for r in found.rows] == [("scene_02.tif", 1), ("scene_01.tif", 1)]
    assert [Path(r.scene).name for r in found.kept] == ["scene_00.tif"]
    assert "1 scenes of the table are not in the manifest" in found.notes[-1]
    assert found.totals["scenes"] == 2
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 4


def test_quick_looks_are_outputs_too(tmp_path: Path, tiny_bundle: Path) -> None:
    _scenes(tmp_path / "scenes", 1)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("preview", "cog"), **KIND}
    batch(tmp_path / "scenes", **asked)
    before = _times(tmp_path / "maps")
    assert {"scene_00_classes.png", "scene_00_classes.tif"} <= set(before)
    batch(tmp_path / "scenes", **asked)
    assert _times(tmp_path / "maps") == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"outputs": ("tif",)}, OutputError, "cog, zarr, preview"),
        ({"outputs": ()}, OutputError, "add cog or zarr"),
        ({"outputs": ("preview",)}, OutputError, "add cog or zarr"),
        ({"outputs": ("cog",), "confidence": True}, OutputError, "add zarr"),
        ({"export": "rows.xlsx"}, OutputError, ".csv or .parquet"),
        ({"model": "none.safetensors"}, BundleError, "none.safetensors"),
        ({"stitch": "glue"}, PlanError, "glue"),
        ({"output": "s3://bucket/maps", "outputs": ("zarr",)}, OutputError, "--table"),
        ({"output": "s3://bucket/maps", "table": "t.sqlite"}, OutputError, "only Zarr"),
    ],
)
def test_what_is_in_the_way_of_all_scenes_is_refused_before_any_work(
    tmp_path: Path, tiny_bundle: Path, options: dict[str, Any], error: type[GeosegError], words: str
) -> None:
    _scenes(tmp_path / "scenes", 1)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, **options}
    with pytest.raises(error) as caught:
        batch(tmp_path / "scenes", **asked)
    assert words in str(caught.value)
    assert not (tmp_path / "maps").exists()


def test_a_scene_is_planned_with_those_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the small scenes repays a conversion alone."""
    scenes = _scenes(tmp_path / "scenes", 3, size=300)
    (tmp_path / "list.csv").write_text("scene\n" + "".join(f"{path}\n" for path in scenes))
    monkeypatch.setattr(availability, "_installed", lambda _: True)
    monkeypatch.setattr(runtime_choice, "CONVERSION_SECONDS", 60.0)
    converted: list[str] = []

    def seconds(*_: Any, **__: Any) -> dict[str, float]:
        return {"eager": 30.0, "compile": 300.0, "openvino": 4.0 if converted else 64.0}

    monkeypatch.setattr(runtime_choice, "predicted_seconds", seconds)
    monkeypatch.setattr(runtime_choice, "is_converted", lambda _: bool(converted))
    alone = geoseg.plan(scenes[0])
    seen = []

    def planned(scene: str, **given: Any) -> Any:
        plan = geoseg.plan(scene, to_come=given["to_come"])
        seen.append((given["to_come"], plan.runtime))
        converted.append(scene)
        raise PlanError("that is all")

    monkeypatch.setattr(batch_verb, "predict", planned)
    arguments = {"output": tmp_path / "maps", **KIND}
    batch(tmp_path / "list.csv", **arguments)
    assert alone.runtime == "eager"
    assert seen == [(2, "openvino"), (1, "openvino"), (0, "openvino")]
    found = batch(tmp_path / "list.csv", retry_failed=True, **arguments)
    assert [to_come for to_come, _ in seen[3:]] == [2, 1, 0]
    assert [row.state for row in found.rows] == ["failed"] * 3
