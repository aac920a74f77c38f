"""Runs passes over an array tile by tile, as a run does over a scene."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from geoseg.geometry.tiles import TileGrid
from geoseg.geometry.windows import Window
from geoseg.inference.decide import TileResult
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Passes
from geoseg.inference.segment import Engine, TilePixels, segment_tile
from geoseg.models.runtimes.base import Predictor


def tiles_of(
    pixels: npt.NDArray[np.generic],
    valid: npt.NDArray[np.bool_],
    *,
    passes: Passes,
    grid: TileGrid,
    predictor: Predictor,
    layers: Layers | None = None,
    engine: Engine | None = None,
) -> Iterator[tuple[Window, TileResult]]:
    """Every tile's core and result; each sees its read window and nothing else. An engine replaces the predictor's."""
    engine = engine or Engine(predictor=predictor)
    for tile in grid:
        window = passes.read(tile.core)
        rows, cols = slice(window.row_off, window.row_stop), slice(window.col_off, window.col_stop)
        source = TilePixels(pixels=pixels[:, rows, cols], valid=valid[rows, cols], window=window)
        yield (
            tile.core,
            segment_tile(source, tile.core, passes=passes, engine=engine, layers=layers),
        )
