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
        start = [
            [sys.executable, "-m", "distributed.cli.dask_scheduler", *loopback, "--port", "0"]
            + ["--scheduler-file", str(file)],
            *(
                [sys.executable, "-m", "distributed.cli.dask_worker", *loopback, "--scheduler-file", str(file)]
                + ["--nthreads", str(threads), "--no-nanny", "--local-directory", folder]
                for _ in range(workers)
            ),
        ]
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in start
        ]
        try:
            yield str(file), running[0].pid
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()
