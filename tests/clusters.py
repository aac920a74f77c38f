"""Real Dask schedulers and workers on loopback, as processes that can be killed, and work to give them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from geoseg.errors import SceneReadError
from geoseg.inference.tasks import TileReport, TileTask, UnfitError
from geoseg.models.source import ModelRecipe

ROOT = Path(__file__).resolve().parent.parent


class Dask:
    """A scheduler and its workers; all are killed at the end of the block.

    Args:
        folder: for the scheduler file and logs.
        security: options such as ``--tls-cert`` for every process.
    """

    def __init__(self, folder: Path, *, security: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self._folder, self._security = folder / "scheduler.json", folder, list(security)
        protocol = ["--protocol", "tls"] if security else []
        self.scheduler = self._start("scheduler", "--port", "0", *protocol)
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        wait_until(self.file.exists)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(json.loads(self.file.read_text())["address"])

    def add_worker(self, *, threads: int = 2, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a plain worker, as a user would."""
        self.workers.append(
            self._start("worker", "--no-nanny", "--nthreads", str(threads), environment=environment or {})
        )
        return self.workers[-1]

    def _start(self, kind: str, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1", "--no-dashboard"]
        command += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(self.file), *options, *self._security]
        if kind == "worker":
            command += ["--local-directory", str(self._folder)]
        log = (self._folder / f"{kind}-{uuid.uuid4().hex[:6]}.log").open("wb")
        path = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        given = {**os.environ, **path, **(environment or {})}
        return subprocess.Popen(command, env=given, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)


def wait_until(ready: Callable[[], object], *, seconds: float = 90.0) -> None:
    """Waits for a condition; fails if it does not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds:g} s"
        time.sleep(0.05)


def fake_task(folder: Path, *, name: str = "fake") -> TileTask:
    """A task of no run; the work below leaves its traces in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = ModelRecipe(digest="0" * 64, path=None, packaged=False, multiple=8)
    return TileTask(store=str(folder), digest="0" * 64, model=model, run=name, version="0", shared=True)


def trace_tile(task: TileTask, row: int, col: int) -> TileReport:
    """Takes 0.2 s and leaves a file that says which process did it."""
    time.sleep(0.2)
    (Path(task.store) / f"{row}.{col}.{os.getpid()}.{uuid.uuid4().hex[:6]}").touch()
    return TileReport(
        key=f"{row}.{col}", pixels=1, computed_pixels=1, read_seconds=0, compute_seconds=0.2, write_seconds=0
    )


def poisoned_tile(task: TileTask, row: int, col: int) -> TileReport:
    """As ``trace_tile``, but tile 1.1 kills its worker, as one that needs too much memory does."""
    if (row, col) == (1, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return trace_tile(task, row, col)


def flaky_tile(task: TileTask, row: int, col: int) -> TileReport:
    """As ``trace_tile``, but tile 1.1 fails twice for a reason that may pass."""
    tried = Path(task.store) / "tried"
    tried.mkdir(exist_ok=True)
    if (row, col) == (1, 1) and len(list(tried.iterdir())) < 2:
        (tried / uuid.uuid4().hex).touch()
        raise SceneReadError("https://example.org/scene.tif: reading failed: HTTP 503")
    return trace_tile(task, row, col)


def broken_tile(task: TileTask, row: int, col: int) -> TileReport:
    """As ``trace_tile``, but tile 1.1 fails for good; each attempt leaves a file."""
    if (row, col) == (1, 1):
        (Path(task.store) / f"broken.{uuid.uuid4().hex}").touch()
        raise SceneReadError("/scenes/scene.tif: reading rows 0-9, columns 0-9 failed: torn")
    return trace_tile(task, row, col)


def picky_tile(task: TileTask, row: int, col: int) -> TileReport:
    """As ``trace_tile``, but processes with GEOSEG_TEST_UNFIT set are not fit for it."""
    if os.environ.get("GEOSEG_TEST_UNFIT"):
        raise UnfitError("/scenes/scene.tif: no such file")
    return trace_tile(task, row, col)


def traces(folder: Path) -> list[tuple[str, int]]:
    """(tile, process) of all that ``trace_tile`` did."""
    names = [path.name.split(".") for path in folder.glob("*.*.*.*")]
    return [(f"{row}.{col}", int(pid)) for row, col, pid, _ in names]
