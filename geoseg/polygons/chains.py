"""Borders of the regions in a tile as chains of straight segments.

A region lies to the left of its border (looked at with north up), so that outer rings run counter-clockwise and holes
clockwise. A segment runs along the bottom of pixels to the east, along their right side to the north, along their top
to the west or along their left side to the south, and belongs to the tile of those pixels. What follows on a segment
is told by the two pixels ahead of its end alone: that beyond the last pixel, and that one's neighbour across the
border. Regions are 4-connected: where two pixels of one class touch at a corner only, the border turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.polygons.ragged import Ints
from geoseg.polygons.walk import walk

Ids = npt.NDArray[np.uint8]
Coords = npt.NDArray[np.int32]
"""(n, 2): column and row of pixel corners in the scene."""

# By direction east, north, west, south, as (rows, columns): to the next pixel along the border, and across it.
_AHEAD = np.array([(0, 1), (-1, 0), (0, -1), (1, 0)])
_ACROSS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
_LEFT, _STRAIGHT, _RIGHT = 1, 0, 3
"""What is added to a direction, modulo 4, by a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertices:
    """Where a ring has vertices besides its corners."""

    junctions: bool = False
    """Wherever three regions meet."""
    every: int = 0
    """Wherever a side of that many pixels of the scene's grid begins; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chains:
    """Borders in a tile. A chain that leaves it goes on with the chain of a neighbour that begins with its ``to``."""

    coords: Coords
    """Vertices of all chains; the last one of each, which is the first of the next chain, is left out."""
    doubtful: npt.NDArray[np.bool_]
    """Vertices where the border keeps to its pixel though one of the same class lies across the corner."""
    offsets: Ints
    """Of the chains (n + 1) in ``coords``."""
    pixel: Ints
    """Of each chain a pixel of its region, counted row by row in the tile."""
    closed: npt.NDArray[np.bool_]
    """True for rings."""
    begin: Ints
    """Name of each chain's first segment in the scene; -1 for a ring."""
    to: Ints
    """Name of the segment that follows on a chain; -1 for a ring."""
    smooth: npt.NDArray[np.bool_]
    """True if the following chain goes straight on, and its first vertex is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Segments:
    direction: Ints
    start: Ints
    """(n, 2): row and column of the first pixel in the tile."""
    end: Ints
    """(n, 2): of the last pixel."""


def find_chains(padded: Ids, window: Window, *, width: int, vertices: Vertices) -> Chains:
    """The borders of all regions in a tile.

    Args:
        padded: class ids (height + 2, width + 2) of the tile and its neighbours, 255 outside the scene.
        window: the tile.
        width: of the scene, pixels.
        vertices: which a ring has.
    """
    shape, origin = window.shape, np.array([window.row_off, window.col_off])
    found = _find_segments(padded, window, vertices)
    turn, after, smooth, tight = _what_follows(padded, window, found, vertices)
    direction = (found.direction + turn) % 4
    inside = np.asarray(((after >= 0) & (after < shape)).all(axis=1))
    names = np.full(4 * shape[0] * shape[1], -1, np.int32)
    names[_place(found.direction, found.start, shape)] = np.arange(len(found.direction), dtype=np.int32)
    following = np.where(inside, names[_place(direction, np.where(inside[:, None], after, 0), shape)], -1)
    doubtful = np.zeros(len(following), np.bool_)
    doubtful[following[tight]] = True  # a border that keeps to its pixel stays in the tile
    order, offsets, open_count = walk(following, second=found.direction % 2 == 1)
    corner = _corner(found.direction, found.start) + origin
    first, last = order[offsets[:-1]], order[offsets[1:] - 1]
    closed = np.arange(len(first)) >= open_count
    begin = _name(found.direction[first], corner[first], width)
    tail = _corner((found.direction[last] + 1) % 4, found.end[last]) + origin
    return Chains(
        coords=corner[order, ::-1].astype(np.int32),
        doubtful=doubtful[order],
        offsets=offsets,
        pixel=found.start[first] @ (shape[1], 1),
        closed=closed,
        begin=np.where(closed, -1, begin),
        to=np.where(closed, -1, _name(direction[last], tail, width)),
        smooth=smooth[last] & ~closed,
    )


def _find_segments(padded: Ids, window: Window, vertices: Vertices) -> _Segments:
    """All straight pieces of borders, between two vertices or a vertex and the tile's rim."""
    turned = np.ascontiguousarray(padded.T)
    row, col = window.row_off, window.col_off
    parts = []
    for direction, source, across, origin in (
        (0, padded, 1, col),
        (1, turned, 1, row),
        (2, padded, -1, col),
        (3, turned, -1, row),
    ):
        low, high = _straight(source, across=across, origin=origin, vertices=vertices)
        if source is turned:
            low, high = low[:, ::-1], high[:, ::-1]
        start, end = (low, high) if direction in (0, 3) else (high, low)
        parts.append((np.full(len(start), direction), start, end))
    directions, starts, ends = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Segments(direction=directions, start=starts, end=ends)


def _straight(padded: Ids, *, across: int, origin: int, vertices: Vertices) -> tuple[Ints, Ints]:
    """First and last pixels (n, 2) of the borders along rows, on the side of larger (1) or smaller (-1) rows."""
    inner = padded[1:-1, 1:-1]
    other = padded[2:, 1:-1] if across == 1 else padded[:-2, 1:-1]
    edge = (inner != other) & (inner != IGNORE)
    goes_on = edge[:, :-1] & edge[:, 1:] & (inner[:, :-1] == inner[:, 1:])
    if vertices.junctions:
        goes_on &= other[:, :-1] == other[:, 1:]
    if vertices.every:
        goes_on &= (origin + np.arange(1, inner.shape[1])) % vertices.every != 0
    first, last = edge.copy(), edge
    first[:, 1:] &= ~goes_on
    last[:, :-1] &= ~goes_on
    return np.argwhere(first), np.argwhere(last)


def _what_follows(
    padded: Ids, window: Window, found: _Segments, vertices: Vertices
) -> tuple[Ints, Ints, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """What comes at each segment's end.

    Returns:
        The turn; the first pixel (n, 2) of the next segment; whether no vertex is between; whether the next but one
        pixel, across the corner, is of the same class all the same.
    """
    ahead = found.end + _AHEAD[found.direction]
    across = found.end + _ACROSS[found.direction]
    diagonal = ahead + _ACROSS[found.direction]
    own, beyond, beside, corner = (padded[p[:, 0] + 1, p[:, 1] + 1] for p in (found.end, ahead, across, diagonal))
    turn = np.where(beyond != own, _LEFT, np.where(corner != own, _STRAIGHT, _RIGHT))
    after = np.where((turn == _LEFT)[:, None], found.end, np.where((turn == _STRAIGHT)[:, None], ahead, diagonal))
    smooth = turn == _STRAIGHT
    if vertices.junctions:
        smooth &= beside == corner
    if vertices.every:
        origin = np.array([window.row_off, window.col_off])
        where = _corner((found.direction + 1) % 4, found.end) + origin
        along = np.where(found.direction % 2 == 0, where[:, 1], where[:, 0])
        smooth &= along % vertices.every != 0
    return turn, after, smooth, (turn == _LEFT) & (corner == own)


def _corner(direction: Ints, pixel: Ints) -> Ints:
    """(n, 2): row and column of the corner at which a segment begins that runs along a pixel."""
    return np.asarray(pixel + np.array([(1, 0), (1, 1), (0, 1), (0, 0)])[direction])


def _place(direction: Ints, pixel: Ints, shape: tuple[int, int]) -> Ints:
    """A number for each direction and pixel of the tile."""
    return np.asarray((direction * shape[0] + pixel[:, 0]) * shape[1] + pixel[:, 1])


def _name(direction: Ints, corner: Ints, width: int) -> Ints:
    """A number for each direction and corner of the scene."""
    return np.asarray((corner[:, 0] * (width + 1) + corner[:, 1]) * 4 + direction)
