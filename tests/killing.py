"""Runs of the command line that are killed: each in a process of its own, forked from one that has all imports done."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOAD = [
    "geoseg.cli.main", "geoseg.verbs.predict_scenes", "torch", "segmentation_models_pytorch", "distributed", "zarr",
    "s3fs", "rasterio",
]  # fmt: skip

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOAD)


def start(
    arguments: list[str], *, stderr: Path, environment: Mapping[str, str] | None = None, die: str | None = None
) -> BaseProcess:
    """``geoseg ARGUMENTS`` in a process of its own.

    Args:
        arguments: of the command line.
        stderr: file that what it says is added to.
        environment: variables besides those of the tests.
        die: ``before N`` or ``after N``: killed at its N-th renaming of a file to what is no hidden name; ``at release
            1``: when all is done and the first lock would be let go.
    """
    process = _context.Process(target=_run, args=(arguments, str(stderr), dict(environment or {}), die))
    process.start()
    return process


def _run(arguments: list[str], stderr: str, environment: dict[str, str], die: str | None) -> None:
    handle = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 2)
    os.environ.update(environment)
    sys.argv[1:] = arguments
    if die is not None:
        _die_at(die)
    from geoseg.cli import main

    main()


def _die_at(die: str) -> None:
    if die == "at release 1":
        from geoseg.raster.lock import Lock

        Lock.release = lambda _: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
        return
    moment, number = die.split()
    seen = 0

    def dying(plain):  # type: ignore[no-untyped-def]
        def rename(self: Path, target: Path) -> Path:
            nonlocal seen
            if any(part.startswith(".") and ".part" in part for part in Path(target).parts):
                return plain(self, target)  # type: ignore[no-any-return]
            seen += 1
            if seen == int(number) and moment == "before":
                os.kill(os.getpid(), 9)
            plain(self, target)
            if seen == int(number):
                os.kill(os.getpid(), 9)
            return target

        return rename

    Path.rename = dying(Path.rename)  # type: ignore[method-assign]
    Path.replace = dying(Path.replace)  # type: ignore[method-assign]
