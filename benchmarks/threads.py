"""Processor seconds of a `predict`, by the threads that spend them and by stage: where the time goes.

    python benchmarks/threads.py [SCENE.tif] [--side 10000]

Linux only: the kernel's account of each thread, read four times a second, so that threads that end are counted too.
"The network" is every thread that is not Python's: OpenVINO's, and those of GDAL that compress the GeoTIFF at the end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import threading
import time
from pathlib import Path

from common import WORK, machine, synthetic_scene, table

import geoseg

GROUPS = {
    "geoseg-cpu": "handing patches over",
    "Dask-Default-Threads": "tiles: reading, stitching, writing",
    "geoseg-first": "tiles: reading, stitching, writing",
    "geoseg-overviews": "overviews",
    "zarr": "Zarr's own threads",
    "asyncio": "Zarr's own threads",
    "IO loop": "Dask's own threads",
    "Dask-": "Dask's own threads",
    "MainThread": "the main thread: imports, plan, end",
}
"""What is in the names of Python's threads, and what they do; the first that fits counts."""


class Account:
    """Processor seconds of this process by thread, as far as it was looked at."""

    def __init__(self) -> None:
        self._spent: dict[int, tuple[str, float]] = {}
        self._ended = threading.Event()

    def look(self) -> None:
        """Reads what all threads have spent."""
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        for task in Path("/proc/self/task").iterdir():
            try:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            ticks, known = int(fields[11]) + int(fields[12]), self._spent.get(int(task.name))
            name = names.get(int(task.name)) or (known[0] if known else "")
            self._spent[int(task.name)] = name, ticks / os.sysconf("SC_CLK_TCK")

    def keep_looking(self) -> None:
        """Until ``end`` is called."""
        while not self._ended.wait(0.25):
            self.look()

    def end(self) -> dict[str, float]:
        """Seconds by group, from most to least."""
        self._ended.set()
        self.look()
        found: dict[str, float] = {}
        for name, seconds in self._spent.values():
            group = "the network" if not name else next((g for k, g in GROUPS.items() if k in name), "others")
            found[group] = found.get(group, 0.0) + seconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path, nargs="?")
    parser.add_argument("--side", type=int, default=10_000)
    asked = parser.parse_args()
    scene = asked.scene or synthetic_scene(asked.side)
    account, stages = Account(), [("start", time.perf_counter(), time.process_time())]
    threading.Thread(target=account.keep_looking, name="account", daemon=True).start()

    def mark(progress: object) -> None:
        stage = getattr(progress, "stage", "")
        if stage != stages[-1][0]:
            stages.append((stage, time.perf_counter(), time.process_time()))

    outputs = [WORK / "threads.tif", WORK / "threads.zarr"]
    geoseg.predict(scene, outputs=outputs, restart=True, overwrite=True, on_progress=mark)
    stages.append(("", time.perf_counter(), time.process_time()))
    spent_by = account.end()
    print(f"{machine()}; {scene.name}\n")
    print(table(["threads", "processor s"], [[group, f"{seconds:.2f}"] for group, seconds in spent_by.items()]))
    pairs = itertools.pairwise(stages)
    rows = [[name, f"{end - begin:.2f}", f"{cpu - spent:.2f}"] for (name, begin, spent), (_, end, cpu) in pairs]
    print(f"\n{table(['stage', 'wall s', 'processor s'], rows)}")


if __name__ == "__main__":
    main()
