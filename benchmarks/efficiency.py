"""How well sessions keep workers busy: fake tiles that sleep, 8 workers; the ideal is tiles x seconds / workers.

    python benchmarks/efficiency.py [--workers 8]

Asked for: at least 95 % with 200 tiles of 0.5 s. Then shorter tiles, to see where it drops under 90 %.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from common import machine, table
from dask_processes import HERE
from fakes import fake_task, sleep_tile

from geoseg.inference.executors import ClusterOptions, Session, open_session

TILES = 200
SECONDS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
LEAST = 5.0
"""Seconds that a measurement takes at the least: short tiles are given more of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    workers = parser.parse_args().workers
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}\n")
    rows = []
    for name, options, slots in (
        (f"1 process, {workers} threads", ClusterOptions(), workers),
        (f"{workers} processes", ClusterOptions(workers=workers, patience=300), 1),
    ):
        with open_session(options, device="cpu", slots=slots) as session:
            _measure(session, seconds=0.0, tiles=8 * workers, workers=workers)  # warm
            for seconds in SECONDS:
                tiles = max(TILES, int(LEAST * workers / seconds))
                efficiency, took = _measure(session, seconds=seconds, tiles=tiles, workers=workers)
                rows.append((name, f"{seconds:g} s", tiles, f"{took:.1f} s", f"{efficiency:.1%}"))
                print(*rows[-1], file=sys.stderr, flush=True)
    print(table(("workers", "tile", "tiles", "took", "of ideal"), rows))


def _measure(session: Session, *, seconds: float, tiles: int, workers: int) -> tuple[float, float]:
    """Share of the ideal, and the seconds it took."""
    task = fake_task(name=f"sleep{seconds}", shared=session.shared, seconds=seconds)
    started = time.perf_counter()
    done = sum(1 for _ in session.run(task, ((i, 0) for i in range(tiles)), work=sleep_tile))
    took = time.perf_counter() - started
    assert done == tiles
    return seconds * tiles / workers / took, took


if __name__ == "__main__":
    main()
