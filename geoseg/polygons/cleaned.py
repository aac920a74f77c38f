"""A class map without its small regions, window by window, in the memory of its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.polygons.chains import Ids
from geoseg.polygons.ragged import Ints, offsets_of
from geoseg.polygons.runs import find_runs
from geoseg.polygons.survey import SurveyedTile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleanedMap:
    """Reads the tiles that were surveyed, with the classes that their regions have in the end."""

    read: Callable[[Window], Ids]
    """Reads a window (height, width) of the map as it was."""
    tiles: dict[tuple[int, int], int]
    """Numbers of the tiles by their rows and columns of tiles."""
    side: int
    """Of the tiles, pixels."""
    base: Ints
    """Where each tile's regions begin in ``classes``."""
    sides: Sequence[dict[str, npt.NDArray[np.int32]]]
    """Of each tile the regions along its sides; -1 where there is no class."""
    classes: npt.NDArray[np.uint8]
    """Final class of each region of each tile, and 255 at the end."""

    def padded(self, window: Window) -> Ids:
        """Class ids (height + 2, width + 2) of a tile and its neighbours; 255 outside the map.

        The corners are told by the neighbours above and below as far as a border that turns there needs them.
        """
        out = np.full((window.height + 2, window.width + 2), IGNORE, np.uint8)
        runs = find_runs(self.read(window))
        row, col = window.row_off // self.side, window.col_off // self.side
        number = self.tiles[row, col]
        out[1:-1, 1:-1] = self._final(number, runs.region)[runs.run]
        for down, across in _AROUND:
            neighbour = self.tiles.get((row + down, col + across))
            if neighbour is not None:
                rows, cols = _RIM[down], _RIM[across]
                out[rows, cols] = self._facing(neighbour, down, across)
        return out

    def _facing(self, number: int, down: int, across: int) -> Ids | np.uint8:
        """The pixels of a neighbour that touch this tile."""
        if down and across:
            row = self._final(number, self.sides[number]["top" if down > 0 else "bottom"])
            return np.uint8(row[0 if across > 0 else -1])
        side = {(1, 0): "top", (-1, 0): "bottom", (0, 1): "left", (0, -1): "right"}[down, across]
        return self._final(number, self.sides[number][side])

    def _final(self, number: int, regions: npt.NDArray[np.integer]) -> Ids:
        return self.classes[np.where(regions >= 0, regions + self.base[number], -1)]


_AROUND = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
_RIM: dict[int, int | slice] = {-1: 0, 0: slice(1, -1), 1: -1}


def cleaned_map(
    read: Callable[[Window], Ids], tiles: Sequence[SurveyedTile], *, side: int, final: npt.NDArray[np.uint8]
) -> CleanedMap:
    """What reads a map whose regions get new classes.

    Args:
        read: reads the map as it was surveyed.
        tiles: all tiles, row by row.
        side: of the tiles, pixels.
        final: class of each region of each tile, tile by tile.
    """
    places = [(t.window.row_off // side, t.window.col_off // side) for t in tiles]
    return CleanedMap(
        read=read,
        tiles={place: number for number, place in enumerate(places)},
        side=side,
        base=offsets_of(np.array([len(t.classes) for t in tiles], np.int64)),
        sides=[t.sides for t in tiles],
        classes=np.append(final, np.uint8(IGNORE)),
    )
