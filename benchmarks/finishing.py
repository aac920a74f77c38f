"""What writing a map and finishing it cost, by the side of the store's chunks and by the COG's deflate level.

    python benchmarks/finishing.py [runs/benchmarks/overhead.zarr]

Takes a finished store (`overhead.py --side 10000` leaves one) and writes its classes anew, tile by tile, then
overviews and the COG. Told are processor seconds, medians of the rounds, and sizes on disk.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from common import WORK, machine, median, table

from geoseg.geometry.windows import Window, split
from geoseg.raster import cog
from geoseg.raster.zarr_store import create_store, open_store

WAYS = ((8, 5), (4, 5), (2, 5), (4, 3), (4, 6))
"""(chunks along a tile's side, level)."""


def main() -> None:
    """Alternates the ways and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, nargs="?", default=WORK / "overhead.zarr")
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    source = open_store(asked.store)
    whole = source.read_classes(Window.whole(source.shape))
    target, tif = WORK / "finishing.zarr", WORK / "finishing.tif"
    found: dict[tuple[int, int], list[list[float]]] = {way: [] for way in WAYS}
    for _ in range(asked.rounds):
        for parts, level in WAYS:
            down, across = (side // parts for side in source.spec.core)
            store = create_store(target, replace(source.spec, chunk=(down, across)))

            def write(store=store) -> None:  # type: ignore[no-untyped-def]
                for window in split(source.shape, size=source.spec.core):
                    store.write_classes(window, whole[window.within(Window.whole(source.shape))].copy())

            def finish(store=store) -> None:  # type: ignore[no-untyped-def]
                cog.write_cog(store, tif, tags={}, overwrite=True)

            with patch.object(cog, "_LEVELS", {"deflate": {"level": level}}):
                spent = [_spent(step) for step in (write, store.add_overviews, finish)]
            found[parts, level].append([*spent, tif.stat().st_size / 1e6])
    shutil.rmtree(target)
    rows = []
    for (parts, level), runs in found.items():
        wrote, overviews, tiff, size = (median([run[k] for run in runs]) for k in range(4))
        seconds = (wrote, overviews, tiff, wrote + overviews + tiff)
        chunk = source.spec.core[0] // parts
        rows.append([f"{chunk}", f"{level}", *(f"{value:.2f}" for value in seconds), f"{size:.1f}"])
    print(f"{machine()}; {source.shape[1]} x {source.shape[0]} px, processor seconds\n")
    print(table(["chunk px", "level", "write", "overviews", "COG", "together", "COG MB"], rows))


def _spent(step: Callable[[], None]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


if __name__ == "__main__":
    main()
