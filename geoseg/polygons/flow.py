"""Class map to regions: tiles traced in parallel, joined in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial

import numpy as np
import numpy.typing as npt

from geoseg.ahead import in_order
from geoseg.geometry.windows import Window, split
from geoseg.polygons.chains import Ids, Vertices
from geoseg.polygons.join import Joiner
from geoseg.polygons.regions import Regions
from geoseg.polygons.survey import SurveyedTile, survey_tile
from geoseg.polygons.tile import TracedTile, trace_tile

ReadPadded = Callable[[Window], Ids]
"""Class ids (height + 2, width + 2), uint8, of a window and its neighbours; 255 where there is no class."""

ReadIds = Callable[[Window], Ids]
"""Class ids (height, width), uint8, of a window."""

OnTile = Callable[[int], None]

ReadPercent = Callable[[Window], npt.NDArray[np.uint8]]
"""Confidence (height, width) of a window, percent; 255 where there is none."""


def polygonise(
    read: ReadPadded,
    *,
    shape: tuple[int, int],
    tile: int,
    pool: Executor,
    ahead: int = 4,
    vertices: Vertices | None = None,
    confidence: ReadPercent | None = None,
    on_tile: OnTile = lambda _done: None,
) -> Iterator[Regions]:
    """The regions of a class map, 4-connected, none of them cut by a tile; in an order that only ``tile`` decides.

    Regions that lie in one tile come with it, the others with the row of tiles that they end in. Memory: ``ahead``
    tiles, the regions that reach the rim of what is read, and those that end in a row of tiles.

    Args:
        read: reads the classes; called from the pool.
        shape: (height, width) of the map, pixels.
        tile: side of the tiles, pixels.
        pool: what traces them.
        ahead: tiles in work at once.
        vertices: which rings have besides their corners; none by default.
        confidence: reads the confidence; None if there is none.
        on_tile: told after each tile how many are done.
    """
    joiner = Joiner(shape[1])
    work = partial(_trace, read=read, width=shape[1], vertices=vertices or Vertices(), confidence=confidence)
    traced_tiles = in_order(pool, work, split(shape, size=(tile, tile)), ahead=ahead)
    for done, traced in enumerate(traced_tiles, start=1):
        if len(traced.whole):
            yield traced.whole
        joiner.add(traced)
        if traced.window.col_stop == shape[1]:
            joined = joiner.end_row()
            if len(joined):
                yield joined
        on_tile(done)


def survey(
    read: ReadIds,
    windows: Iterable[Window],
    *,
    width: int,
    pool: Executor,
    ahead: int = 4,
    on_tile: OnTile = lambda _done: None,
) -> Iterator[SurveyedTile]:
    """The regions of each window and the borders between them, in the order of the windows; see ``join_graph``.

    Args:
        read: reads the classes; called from the pool.
        windows: the tiles.
        width: of the map, pixels.
        pool: what surveys them.
        ahead: tiles in work at once.
        on_tile: told after each tile how many are done.
    """
    found = in_order(pool, partial(_survey, read=read, width=width), windows, ahead=ahead)
    for done, tile in enumerate(found, start=1):
        yield tile
        on_tile(done)


def _survey(window: Window, *, read: ReadIds, width: int) -> SurveyedTile:
    return survey_tile(read(window), window, width=width)


def _trace(
    window: Window, *, read: ReadPadded, width: int, vertices: Vertices, confidence: ReadPercent | None
) -> TracedTile:
    percent = None if confidence is None else confidence(window)
    return trace_tile(read(window), window, width=width, vertices=vertices, confidence=percent)
