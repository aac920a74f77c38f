"""The synthetic world: an endless aerial scene with its truth, a pure function of position and seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import Window
from geoseg.synthesis import kinds
from geoseg.synthesis.cover import cover
from geoseg.synthesis.light import REACH, Weather, expose
from geoseg.synthesis.noise import Frame

BLOCK = 512
"""Side in pixels of the blocks that the world is worked out in; windows made of whole blocks cost least.

Blocks lie at fixed places, so that a pixel is always computed by the same operations on arrays of the same size, and
comes out the same to the last bit whatever window asks for it.
"""


GSDS = (0.05, 5.0)
"""Metres per pixel that make sense: below, all is smooth; above, streets are thinner than a pixel."""


def render(window: Window, *, seed: int = 0, gsd: float = 1.0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The world in a window.

    Args:
        window: which pixels; any offsets, negative ones too.
        seed: which world.
        gsd: metres per pixel; pixel (0, 0) has its upper left corner in the world's origin at every GSD.

    Returns:
        pixels (3, height, width) uint8, red, green, blue; and the truth (height, width) uint8 in the ids of
        ``geoseg.synthesis.legend.LEGEND``.

    Raises:
        ValueError: if ``gsd`` is outside ``GSDS``.
    """
    if not GSDS[0] <= gsd <= GSDS[1]:
        raise ValueError(f"the GSD must lie within {GSDS[0]} and {GSDS[1]} metres per pixel, not {gsd}")
    pixels = np.empty((3, *window.shape), dtype=np.uint8)
    truth = np.empty(window.shape, dtype=np.uint8)
    weather = Weather.of(seed)
    for row in range(window.row_off // BLOCK * BLOCK, window.row_stop, BLOCK):
        for col in range(window.col_off // BLOCK * BLOCK, window.col_stop, BLOCK):
            block = Window(row_off=row, col_off=col, height=BLOCK, width=BLOCK)
            part = block.intersect(window)
            if not part.pixels:
                continue
            seen, known = _render_block(block, seed=seed, gsd=gsd, weather=weather)
            target, source = part.within(window), part.within(block)
            pixels[:, *target] = seen[:, *source]
            truth[target] = known[source]
    return pixels, truth


def _render_block(
    block: Window, *, seed: int, gsd: float, weather: Weather
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """One block, worked out with a rim: a pixel for the blur, more towards the sun for what casts shadows on it."""
    east = weather.sun[1]
    before = (1, 1 if east >= 0 else 1 + REACH)
    after = (1 + REACH, 1 + REACH if east >= 0 else 1)
    anchor, offsets, pixels = [], [], []
    for off, size, low, high in zip((block.row_off, block.col_off), block.shape, before, after, strict=True):
        numbers = np.arange(off - low, off + size + high, dtype=np.int64)
        origin = int(np.floor(off * gsd))
        anchor.append(origin)
        offsets.append(((numbers + 0.5) * gsd - origin).astype(np.float32))
        pixels.append(numbers)
    frame = Frame(seed=seed, anchor=(anchor[0], anchor[1]), y=offsets[0], x=offsets[1])
    surface = cover(frame, pixels=(pixels[0], pixels[1]), sun=weather.sun)
    seen = expose(surface, frame, pixels=(pixels[0], pixels[1]), weather=weather, gsd=gsd)
    inner = slice(before[0], before[0] + block.height), slice(before[1], before[1] + block.width)
    return seen[:, *inner], kinds.CLASS_OF[surface.material[inner]]
