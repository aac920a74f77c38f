"""The first overview of a class map, made while tiles of the map are still computed.

It is most of the pyramid's work, and a run's end keeps no more than half of a machine busy: beside the tiles it costs
little. What goes wrong here goes wrong again at the end, or does not: nothing is told before.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import zarr

from geoseg.geometry.windows import Window
from geoseg.raster import zarr_overviews
from geoseg.raster.zarr_spec import StoreSpec


class EarlyOverviews:
    """The windows of the first overview, each made once all tiles under it are written.

    Args:
        group: root of the store; what it has of a pyramid is deleted.
        spec: what the store holds.
    """

    def __init__(self, group: zarr.Group, spec: StoreSpec) -> None:
        height, width = shape = spec.geobox.shape
        self._level = zarr_overviews.Level(group, 2, shape=shape, chunk=spec.chunk)
        self._core = spec.core
        self._written = np.zeros((-(-height // spec.core[0]), -(-width // spec.core[1])), np.bool_)
        self._made: dict[Window, Future[None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="geoseg-overviews")
        self._laid_out = self._thread.submit(
            zarr_overviews.lay_out, group, geobox=spec.geobox, chunk=spec.chunk, legend=spec.legend
        )

    def add(self, core: Window) -> None:
        """Notes that a tile is written: what it was the last for is made."""
        rows, cols = slice(core.row_off, core.row_stop), slice(core.col_off, core.col_stop)
        self._written[self._tiles(rows, cols)] = True
        for window in self._level.reading(rows, cols):
            if window not in self._made and self._written[self._tiles(*self._level.source(window))].all():
                self._made[window] = self._thread.submit(self._level.fill, window)

    def end(self) -> frozenset[Window] | None:
        """The windows that are made, once none is in work; None if something failed.

        Those that only wait are left: by then there are more threads for them.
        """
        self._thread.shutdown(cancel_futures=True)
        begun = {window: future for window, future in self._made.items() if not future.cancelled()}
        if any(future.cancelled() or future.exception() for future in (self._laid_out, *begun.values())):
            return None
        return frozenset(begun)

    def _tiles(self, rows: slice, cols: slice) -> tuple[slice, slice]:
        """Rows and columns of the tiles that hold some of these pixels."""
        high, wide = self._core
        return slice(rows.start // high, -(-rows.stop // high)), slice(cols.start // wide, -(-cols.stop // wide))
