"""Tiles that are not there: work that sleeps or does nothing, for measuring the flow alone."""

from __future__ import annotations

import time

from geoseg.inference.tasks import TileReport, TileTask
from geoseg.models.source import ModelRecipe


def fake_task(*, name: str, shared: bool, seconds: float = 0.0) -> TileTask:
    """A task of no run; the time a tile takes travels as its store's name."""
    model = ModelRecipe(digest="0" * 64, path=None, packaged=False, multiple=32)
    return TileTask(store=str(seconds), digest="0" * 64, model=model, run=name, version="0", shared=shared)


def sleep_tile(task: TileTask, row: int, col: int) -> TileReport:
    """Takes the task's seconds and reports."""
    seconds = float(task.store)
    if seconds:
        time.sleep(seconds)
    return TileReport(
        key=f"{row}.{col}", pixels=1, computed_pixels=1, read_seconds=0.0, compute_seconds=seconds, write_seconds=0.0
    )
