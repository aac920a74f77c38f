"""Whether a worker can do a run: the same geoseg, the model, the scene, the store. Asked before any tile."""

from __future__ import annotations

import threading

from geoseg.errors import GeosegError
from geoseg.inference.tasks import TileTask, UnfitError
from geoseg.inference.tilework import open_run
from geoseg.models.device import pick_device
from geoseg.models.runtimes.availability import available
from geoseg.raster.reading import probe
from geoseg.version import __version__

_fit: set[tuple[str, str]] = set()
"""Runs (store, digest) this process has been found fit for."""

_lock = threading.Lock()


def check_once(task: TileTask) -> None:
    """Looks once per process and run whether this worker can do it; a worker that joins late does so by itself.

    Raises:
        UnfitError: if it cannot.
    """
    key = (task.store, task.digest)
    with _lock:
        if key in _fit:
            return
        check(task)
        _fit.add(key)


def check(task: TileTask) -> None:
    """Looks whether this process can do a run: nothing is computed, a probe is written and removed.

    Raises:
        UnfitError: naming the first thing that it cannot.
    """
    if __version__ != task.version:
        raise UnfitError(f"geoseg {__version__} there, {task.version} here: install the same")
    try:
        store, plan = open_run(task)
        task.model.open()
        pick_device(plan.device)
        lack = available(plan.runtime, device=plan.device)
        if lack is not None:
            raise UnfitError(lack)
        probe(plan.recipe)
        store.probe()
    except GeosegError as error:
        raise UnfitError(str(error)) from error
