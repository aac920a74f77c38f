"""A million tiles: planned, and driven through work that does nothing, here and on a real scheduler.

    python benchmarks/tiles.py [--tiles 1000000] [--only plan|here|scheduler]
    python benchmarks/tiles.py --only scheduler --tiles 3000 --seconds 0.15

``--seconds`` makes tiles sleep: from an eighth of a second on each is a task of its own, which costs a scheduler more.

Asked for: at most 3 ms a tile, and memory of client and scheduler that does not grow. On a machine that does other
things too, the processor time says more than the clock.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from common import machine
from dask_processes import HERE, plain_cluster
from fakes import fake_task, sleep_tile

from geoseg.inference.executors import ClusterOptions, Session, open_session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["plan", "here", "scheduler"])
    parser.add_argument("--seconds", type=float, default=0.0)
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    sys.stdout.reconfigure(line_buffering=True)
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
    if asked.only in (None, "plan"):
        _plan(asked.tiles)
    if asked.only in (None, "here"):
        with open_session(ClusterOptions()) as session:
            _drive("in this process", session, asked, watched={"process": os.getpid()})
    if asked.only in (None, "scheduler"):
        with plain_cluster(2, threads=3) as (file, pid), open_session(ClusterOptions(scheduler_file=file)) as session:
            watched = {"client": os.getpid(), "scheduler": pid}
            _drive("real scheduler, 2 workers", session, asked, watched=watched)


def _plan(count: int) -> None:
    """Plans a scene of that many tiles, which is a header without files behind it, and lists them."""
    from geoseg.verbs.plan import plan

    side = math.isqrt(count - 1) + 1
    before, started = _rss(os.getpid()), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "empty.vrt"
        bands = "".join(
            f'<VRTRasterBand dataType="Byte" band="{b}"><NoDataValue>0</NoDataValue></VRTRasterBand>' for b in (1, 2, 3)
        )
        scene.write_text(f'<VRTDataset rasterXSize="{side * 992}" rasterYSize="{side * 992}">{bands}</VRTDataset>')
        made = plan(scene, patch_size=1024, overlap=32, exact=True, tile=992)
    planned = time.process_time()
    listed = sum(1 for _ in made.tiles())
    listing = time.process_time() - planned
    print(
        f"planned {made.tile_count:,} tiles of {made.grid.core[0]} px in {planned - started:.1f} s (imports included),"
        f" listed {listed:,} in {listing:.1f} s: {listing / listed * 1e6:.0f} us each;"
        f" {(_rss(os.getpid()) - before) / 1e6:+.0f} MB"
    )


def _drive(name: str, session: Session, asked: argparse.Namespace, *, watched: dict[str, int]) -> None:
    """Drives fake tiles through a session and prints pace and memory ten times."""
    count = asked.tiles
    side = math.isqrt(count - 1) + 1

    def tiles() -> Iterator[tuple[int, int]]:
        return ((i // side, i % side) for i in range(count))

    processes = {who: psutil.Process(pid) for who, pid in watched.items()}
    task = fake_task(name="bench", shared=session.shared, seconds=asked.seconds)
    every = max(1, count // 10)
    started, mark, busy = time.perf_counter(), time.perf_counter(), _busy(processes)
    for done, _ in enumerate(session.run(task, tiles(), work=sleep_tile), start=1):
        if done % every == 0:
            now = time.perf_counter()
            spent = {who: seconds - busy[who] for who, seconds in _busy(processes).items()}
            cpu = ", ".join(f"{who} {seconds / every * 1e3:.2f}" for who, seconds in spent.items())
            rss = ", ".join(f"{who} {_rss(process.pid) / 1e6:.0f}" for who, process in processes.items())
            print(
                f"{name}: {done:>9,} tiles, {(now - mark) / every * 1e3:.2f} ms a tile; processor ms: {cpu}; MB: {rss}"
            )
            mark, busy = now, _busy(processes)
    total = time.perf_counter() - started
    print(f"{name}: {count:,} tiles in {total:.0f} s, {total / count * 1e3:.2f} ms a tile")


def _busy(processes: dict[str, psutil.Process]) -> dict[str, float]:
    return {who: sum(process.cpu_times()[:2]) for who, process in processes.items()}


def _rss(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


if __name__ == "__main__":
    main()
