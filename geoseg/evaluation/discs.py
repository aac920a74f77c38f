"""Extremes over discs of pixels, and what follows: which pixels lie near another class.

A pixel's disc of radius r holds the pixels whose centres are at most r away, r in pixels and not always whole. Arrays
come with a halo and answers without it, so that windows cut with a halo of ``reach(r)`` give what the whole map gives.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoseg.evaluation.confusion import Ids
from geoseg.legend import IGNORE


def reach(radius: float) -> int:
    """Rows and columns that a disc reaches beyond its centre."""
    return int(radius)


def highest_within(values: Ids, radius: float) -> Ids:
    """The greatest value in each pixel's disc: (h, w) uint8 out of (h + 2 reach, w + 2 reach)."""
    return _extreme(values, radius, np.maximum)


def lowest_within(values: Ids, radius: float) -> Ids:
    """The least value in each pixel's disc: (h, w) uint8 out of (h + 2 reach, w + 2 reach)."""
    return _extreme(values, radius, np.minimum)


def near_another(ids: Ids, radius: float) -> npt.NDArray[np.bool_]:
    """True where a disc holds more than one class: within ``radius`` of a boundary.

    255 is no class, so neither what is not labelled nor the scene's edge (255 beyond it) makes a boundary.

    Args:
        ids: (h + 2 reach, w + 2 reach) uint8.
        radius: pixels, > 0.
    """
    # Of a disc without a class the highest is 0 and the lowest 255.
    return highest_within(np.where(ids == IGNORE, 0, ids), radius) > lowest_within(ids, radius)


def _extreme(values: Ids, radius: float, pick: np.ufunc) -> Ids:
    """Row by row of the disc: a run of 2 w + 1 pixels is two overlapping runs of a power of two."""
    far = reach(radius)
    height, width = values.shape[0] - 2 * far, values.shape[1] - 2 * far
    runs = [values]  # runs[k]: over 2^k pixels, from each pixel on to the right
    while 2 ** len(runs) <= 2 * far + 1:
        step = 2 ** (len(runs) - 1)
        runs.append(pick(runs[-1][:, :-step], runs[-1][:, step:]))
    out = values[far : far + height, far : far + width].copy()
    for down in range(-far, far + 1):
        half = math.isqrt(int(radius * radius) - down * down)
        power = (2 * half + 1).bit_length() - 1
        rows = slice(far + down, far + down + height)
        for start in (far - half, far + half + 1 - 2**power):
            pick(out, runs[power][rows, start : start + width], out=out)
    return out
