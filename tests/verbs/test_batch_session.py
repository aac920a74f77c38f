"""Batches and what runs their tiles: one session for all, none for nothing, and a lost one is no scene's fault."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import ClusterError
from geoseg.inference.executors import ClusterOptions, Session, open_session
from geoseg.inference.executors.session import LoopSession
from geoseg.verbs import batch as batch_verb
from geoseg.verbs import predict_scenes
from geoseg.verbs.batch import batch
from geoseg.verbs.batch_table import open_table
from tests.scenes import random_pixels, write_scene


class _Losing(LoopSession):
    """A session that is lost, or not, when somebody asks."""

    lost = False

    @property
    def is_lost(self) -> bool:
        return self.lost


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    folder.mkdir()
    for i in range(3):
        write_scene(folder / f"{i}.tif", random_pixels((80, 90), seed=i))
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[_Losing]:
    """Sessions that batches open from now on."""
    found: list[_Losing] = []

    @contextmanager
    def opening(options: ClusterOptions, *, device: str) -> Iterator[Session]:
        found.append(_Losing())
        yield found[-1]

    monkeypatch.setattr(batch_verb, "open_session", opening)
    return found


def _states(folder: Path) -> list[str]:
    with open_table(folder / "geoseg-batch.sqlite") as table:
        return [row.state for row in table.rows().values()]


def test_one_session_for_all_scenes_and_none_where_nothing_is_left(
    scenes: Path, tiny_bundle: Path, tmp_path: Path, opened: list[_Losing], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    real = batch_verb.predict

    def watched(scene: str, *, session: Session, **options: Any) -> Any:
        used.append(session)
        return real(scene, session=session, **options)

    monkeypatch.setattr(batch_verb, "predict", watched)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("cog",), "threads": 1}
    batch(scenes, **asked)
    assert len(opened) == 1
    assert used == opened * 3
    batch(scenes, **asked)
    assert len(opened) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_cluster_ends_the_batch_and_a_scene_that_workers_cannot_do_does_not(
    scenes: Path, tiny_bundle: Path, tmp_path: Path, opened: list[_Losing], monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    real = batch_verb.predict

    def failing(scene: str, **options: Any) -> Any:
        if Path(scene).stem == "1":
            opened[-1].lost = lost
            raise ClusterError("the scheduler" if lost else "worker 7 cannot open the scene")
        return real(scene, **options)

    monkeypatch.setattr(batch_verb, "predict", failing)
    asked = {"output": tmp_path / "maps", "model": tiny_bundle, "outputs": ("cog",), "threads": 1}
    if lost:
        with pytest.raises(ClusterError, match="the scheduler"):
            batch(scenes, **asked)
        assert _states(tmp_path / "maps") == ["done", "running", "waiting"]
    else:
        found = batch(scenes, **asked)
        assert [row.state for row in found.rows] == ["done", "failed", "done"]
        assert "worker 7" in (found.failed[0].error or "")


def test_scenes_after_a_lost_cluster_are_not_tried(
    scenes: Path, tmp_path: Path, opened: list[_Losing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``predict`` with several scenes: what is done is told, and nobody waits once more for each of the rest."""
    tried: list[str] = []

    def failing(scene: str, **options: Any) -> Any:
        tried.append(scene)
        opened[-1].lost = len(tried) == 2
        raise ClusterError("the scheduler is gone" if opened[-1].lost else "worker 7 cannot open the scene")

    monkeypatch.setattr(predict_scenes, "predict", failing)
    monkeypatch.setattr(predict_scenes, "open_session", batch_verb.open_session)
    names = sorted(map(str, scenes.iterdir()))
    jobs = predict_scenes.jobs_of(names, outputs=[f"{tmp_path}/maps"], references=[], preview=None)
    told: list[Any] = []
    runs = predict_scenes.predict_scenes(
        jobs, model=None, options={}, on_start=told.append, on_plan=told.append, on_progress=told.append
    )
    assert tried == names[:2]
    assert [run.job.name for run in runs] == names
    assert runs[2].error == f"{names[2]}: not begun: the scheduler is gone"


def test_an_unreachable_scheduler_is_told_before_any_work(scenes: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9"):
        batch(scenes, output=tmp_path / "maps", model=tiny_bundle, scheduler="tcp://127.0.0.1:9", patience=1)
    assert _states(tmp_path / "maps") == ["waiting"] * 3
    assert not list((tmp_path / "maps").glob("*classes*"))


def test_a_session_knows_that_its_scheduler_is_gone() -> None:
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )  # fmt: skip
    try:
        with open_session(ClusterOptions(scheduler=cluster.scheduler_address, patience=20)) as session:
            assert not session.is_lost
            cluster.scale(0)
            cluster.sync(cluster._correct_state)
            assert session.is_lost
    finally:
        cluster.close()
    with open_session(ClusterOptions()) as session:
        assert not session.is_lost


@pytest.mark.slow
def test_a_batch_on_worker_processes_gives_the_bytes_of_one_here(
    scenes: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (scenes / "1.tif").write_text("no raster")
    asked = {"model": tiny_bundle, "outputs": ("cog",), "threads": 1, "tile": 96}
    here = batch(scenes, output=tmp_path / "here", **asked)
    there = batch(scenes, output=tmp_path / "there", workers=2, **asked)
    assert [row.state for row in here.rows] == [row.state for row in there.rows] == ["done", "failed", "done"]
    for name in ("0", "2"):
        one, other = (
            hashlib.sha256((tmp_path / maps / f"{name}_classes.tif").read_bytes()).hexdigest()
            for maps in ("here", "there")
        )
        assert one == other
