"""The first tile of a run in this process: begun before Dask is there, worked once, its failures told like others'."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from geoseg.errors import OutputError, SceneReadError, StoppedError
from geoseg.inference.executors import ClusterOptions, open_session
from geoseg.inference.stopping import start_run, stop_check
from geoseg.inference.tasks import TileReport, TileTask
from tests.clusters import fake_task, trace_tile, traces

TILES = [(row, col) for row in range(5) for col in range(8)]

_failed: set[str] = set()


def named_tile(task: TileTask, row: int, col: int) -> TileReport:
    """Leaves the name of its thread."""
    Path(task.store, f"{row}.{col} {threading.current_thread().name}").touch()
    return trace_tile(task, row, col)


def passing_tile(task: TileTask, row: int, col: int) -> TileReport:
    """The first tile fails once, as a network does."""
    if (row, col) == (0, 0) and task.store not in _failed:
        _failed.add(task.store)
        raise OutputError("s3://there: no answer")
    return trace_tile(task, row, col)


def torn_tile(task: TileTask, row: int, col: int) -> TileReport:
    """The first tile is broken, which shows after a while; each attempt leaves a file."""
    if (row, col) == (0, 0):
        Path(task.store, f"attempt-{time.monotonic_ns()}").touch()
        time.sleep(1.0)
        raise SceneReadError("torn")
    return trace_tile(task, row, col)


def stopped_tile(task: TileTask, row: int, col: int) -> TileReport:
    """The first tile finds the run stopped, while others are in work."""
    if (row, col) == (0, 0):
        time.sleep(1.0)
        raise StoppedError("stopped", signum=2)
    return trace_tile(task, row, col)


def test_every_tile_is_worked_once_and_the_first_not_by_dask(tmp_path: Path) -> None:
    task = fake_task(tmp_path)
    with open_session(ClusterOptions()) as session:
        reports = list(session.run(task, iter(TILES), work=named_tile))
    assert Counter(report.key for report in reports) == Counter(f"{row}.{col}" for row, col in TILES)
    names = dict(path.name.split(" ", 1) for path in Path(task.store).glob("*.* *"))
    assert names.pop("0.0").startswith("geoseg-first")
    assert not any(name.startswith("geoseg-first") for name in names.values())


def test_the_second_run_of_a_session_has_dask_already(tmp_path: Path) -> None:
    with open_session(ClusterOptions()) as session:
        list(session.run(fake_task(tmp_path / "a"), iter(TILES), work=trace_tile))
        task = fake_task(tmp_path / "b")
        assert len(list(session.run(task, iter(TILES), work=named_tile))) == len(TILES)
    assert not list(Path(task.store).glob("*geoseg-first*"))


def test_a_scene_of_one_tile_needs_no_dask(tmp_path: Path) -> None:
    script = """
import sys
from geoseg.inference.executors import ClusterOptions, open_session
from tests.clusters import fake_task, trace_tile
from pathlib import Path
with open_session(ClusterOptions()) as session:
    print(len(list(session.run(fake_task(Path(sys.argv[1])), iter([(0, 0)]), work=trace_tile))))
print("distributed" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


@pytest.mark.parametrize("count", [1, 40])
def test_what_may_pass_is_tried_again(tmp_path: Path, count: int) -> None:
    with open_session(ClusterOptions()) as session:
        reports = list(session.run(fake_task(tmp_path), iter(TILES[:count]), work=passing_tile))
    assert Counter(report.key for report in reports) == Counter(f"{row}.{col}" for row, col in TILES[:count])


def test_what_does_not_pass_ends_the_run_long_before_its_last_tile(tmp_path: Path) -> None:
    with open_session(ClusterOptions()) as session, pytest.raises(SceneReadError, match="torn"):
        list(session.run(fake_task(tmp_path), ((0, col) for col in range(400)), work=torn_tile))
    assert len(traces(tmp_path)) < 100
    assert len(list(tmp_path.glob("attempt-*"))) == 1


def test_a_run_that_is_stopped_ends(tmp_path: Path) -> None:
    with open_session(ClusterOptions()) as session, pytest.raises(StoppedError):
        list(session.run(fake_task(tmp_path), iter(TILES), work=stopped_tile))


def patient_tile(task: TileTask, row: int, col: int) -> TileReport:
    """The first tile works until the run is stopped."""
    if (row, col) == (0, 0):
        check, until = stop_check(task.run), time.monotonic() + 20
        while time.monotonic() < until:
            check()
            time.sleep(0.01)
        Path(task.store, "nobody stopped it").touch()
    return trace_tile(task, row, col)


def test_whoever_takes_no_more_reports_stops_the_first_tile_too(tmp_path: Path) -> None:
    start_run("patient")
    with open_session(ClusterOptions()) as session:
        reports = session.run(fake_task(tmp_path, name="patient"), iter(TILES), work=patient_tile)
        next(iter(reports))
        reports.close()
    assert not (tmp_path / "nobody stopped it").exists()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is an exception, though shells let what they start in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_the_only_tile(tmp_path: Path) -> None:
    start_run("patient")
    with open_session(ClusterOptions()) as session:
        threading.Timer(0.5, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            list(session.run(fake_task(tmp_path, name="patient"), iter([(0, 0)]), work=patient_tile))
    assert not (tmp_path / "nobody stopped it").exists()


def late_tile(task: TileTask, row: int, col: int) -> TileReport:
    """The first tile takes a while and heeds nobody; the others are broken."""
    if (row, col) != (0, 0):
        raise SceneReadError("torn")
    time.sleep(1.5)
    return trace_tile(task, row, col)


def test_it_is_waited_for_when_another_ends_the_run(tmp_path: Path) -> None:
    with open_session(ClusterOptions()) as session:
        with pytest.raises(SceneReadError, match="torn"):
            list(session.run(fake_task(tmp_path), iter(TILES), work=late_tile))
        assert {tile for tile, _ in traces(tmp_path)} == {"0.0"}
