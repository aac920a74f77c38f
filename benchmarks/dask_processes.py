"""A plain Dask cluster on loopback: a scheduler and workers as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent


@contextmanager
def plain_cluster(workers: int, *, threads: int) -> Iterator[tuple[str, int]]:
    """Starts them.

    Yields:
        The scheduler file and the scheduler's process id.
    """
    path = os.pathsep.join([str(HERE.parent), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    with tempfile.TemporaryDirectory(prefix="geoseg-dask-") as folder:
        file = Path(folder) / "scheduler.json"
        loopback = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        meeting = ["--scheduler-file", str(file)]
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", *loopback, *meeting, "--port", "0"]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", *loopback, *meeting, "--no-nanny"]
        worker += ["--nthreads", str(threads), "--local-directory", folder]
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in [scheduler, *[worker] * workers]
        ]
        try:
            yield str(file), running[0].pid
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()
