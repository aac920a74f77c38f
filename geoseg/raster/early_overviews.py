"""The first overview of a class map, made while tiles of the map are still computed.

It is most of the pyramid's work, and a run's end keeps no more than half of a machine busy: beside the tiles it costs
little. A window that cannot be written is left for the end, where it is tried again and its error told.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import zarr

from geoseg.geometry.windows import Window
from geoseg.raster import zarr_overviews
from geoseg.raster.zarr_spec import StoreSpec


class EarlyOverviews:
    """The windows of the first overview, each made once all tiles under it are written.

    Args:
        group: root of the store; what it has of a pyramid is deleted.
        spec: what the store holds.
        done: (rows, columns) of tiles, True for those that are written.
    """

    def __init__(self, group: zarr.Group, spec: StoreSpec, done: npt.NDArray[np.bool_]) -> None:
        self._level = zarr_overviews.Level(group, 2, shape=spec.geobox.shape, chunk=spec.chunk)
        self._core, self._done, self._failed = spec.core, done.copy(), False
        self._made: dict[Window, Future[bool]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="geoseg-overviews")
        self._laid_out = self._thread.submit(
            zarr_overviews.lay_out, group, geobox=spec.geobox, chunk=spec.chunk, legend=spec.legend
        )
        for window in self._level.windows():
            self._make(window)

    def add(self, row: int, col: int) -> None:
        """Notes that the tile at a row and column of the grid is written: what it was the last for is made."""
        (high, wide), self._done[row, col] = self._core, True
        for window in self._level.reading(slice(row * high, (row + 1) * high), slice(col * wide, (col + 1) * wide)):
            self._make(window)

    def end(self) -> frozenset[Window] | None:
        """The windows that are made, once none is in work; None if there is not even their level.

        Those that only wait are left: by then there are more threads for them.
        """
        self._thread.shutdown(cancel_futures=True)
        if self._laid_out.cancelled() or self._laid_out.exception() is not None:
            return None
        return frozenset(window for window, made in self._made.items() if not made.cancelled() and made.result())

    def _make(self, window: Window) -> None:
        """Has a window made if its tiles are there, and nothing failed so far."""
        if window not in self._made and not self._failed and self._done[self._tiles(window)].all():
            self._made[window] = self._thread.submit(self._fill, window)

    def _fill(self, window: Window) -> bool:
        """Whether it went well; an error would keep the window's pixels as long as it is kept."""
        try:
            self._level.fill(window)
        except Exception:  # noqa: BLE001 - the end tries again, and tells
            self._failed = True
        return not self._failed

    def _tiles(self, window: Window) -> tuple[slice, slice]:
        """Rows and columns of the tiles that a window is made of."""
        (high, wide), (rows, cols) = self._core, self._level.source(window)
        return slice(rows.start // high, -(-rows.stop // high)), slice(cols.start // wide, -(-cols.stop // wide))
