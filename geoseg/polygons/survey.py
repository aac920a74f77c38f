"""What is next to what: the graph of a class map's regions, gathered tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import Window
from geoseg.polygons.chains import Ids
from geoseg.polygons.ragged import Ints, offsets_of
from geoseg.polygons.runs import Runs, components, find_runs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurveyedTile:
    """Regions of a tile and the borders between them."""

    window: Window
    classes: npt.NDArray[np.uint8]
    """Class ids (n)."""
    pixels: Ints
    """Numbers of pixels (n)."""
    first: Ints
    """First pixels (n), counted row by row in the scene."""
    borders: Ints
    """(m, 4): two regions, and pixel sides of their common border along rows and along columns."""
    sides: dict[str, npt.NDArray[np.int32]]
    """Regions along ``top``, ``bottom``, ``left`` and ``right``; -1 where there is no class."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Regions of a scene; they are numbered by their first pixels, whatever the tiles."""

    classes: npt.NDArray[np.uint8]
    pixels: Ints
    first: Ints
    borders: Ints
    """(m, 4): two regions, the smaller number first, and pixel sides along rows and along columns; sorted."""
    parts: Ints
    """Region of each region of each tile, tile by tile."""


def survey_tile(classes: Ids, window: Window, *, width: int) -> SurveyedTile:
    """Regions of a tile (height, width) of a scene ``width`` pixels wide, and their borders inside it."""
    runs = find_runs(classes)
    first = runs.first
    row, col = np.divmod(first, window.width)
    return SurveyedTile(
        window=window,
        classes=classes.ravel()[first],
        pixels=runs.sums(runs.lengths),
        first=(row + window.row_off) * width + col + window.col_off,
        borders=_summed(np.concatenate([_along_rows(runs), _along_columns(runs)])),
        sides={side: found.astype(np.int32) for side, found in runs.sides().items()},
    )


def _along_rows(runs: Runs) -> Ints:
    """(m, 4): borders between pixels above each other."""
    if runs.shape[0] < 2:
        return np.zeros((0, 4), np.int64)
    run, width = runs.run, runs.shape[1]
    begins = np.zeros(run.size, np.bool_)
    begins[runs.starts] = True
    rows = begins.reshape(run.shape)
    at = np.flatnonzero(rows[1:] | rows[:-1])
    sides = np.diff(at, append=run[1:].size)
    one, other = runs.region[run.ravel()[at]], runs.region[run.ravel()[at + width]]
    return np.stack([one, other, sides, np.zeros_like(sides)], axis=1)


def _along_columns(runs: Runs) -> Ints:
    """(m, 4): borders between pixels beside each other."""
    later = np.flatnonzero(runs.starts % runs.shape[1] != 0)
    one, other = runs.region[later - 1], runs.region[later]
    ones = np.ones_like(one)
    return np.stack([one, other, np.zeros_like(one), ones], axis=1)


def _summed(borders: Ints) -> Ints:
    """Borders between different regions with a class, the smaller number first; those of one pair are summed."""
    low, high = borders[:, :2].min(axis=1), borders[:, :2].max(axis=1)
    real = (low >= 0) & (low != high)
    borders, low, high = borders[real], low[real], high[real]
    if not len(low):
        return np.zeros((0, 4), np.int64)
    order = np.lexsort((high, low))
    low, high, sides = low[order], high[order], borders[order, 2:]
    begins = np.ones(len(low), np.bool_)
    begins[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    starts = np.flatnonzero(begins)
    return np.column_stack([low[starts], high[starts], np.add.reduceat(sides, starts, axis=0)])


def join_graph(tiles: Sequence[SurveyedTile]) -> Graph:
    """The graph of the scene that all ``tiles``, row by row, make up."""
    base = offsets_of(np.array([len(t.classes) for t in tiles], np.int64))
    classes, pixels, first = (
        np.concatenate([getattr(t, name) for t in tiles]) for name in ("classes", "pixels", "first")
    )
    across = _across(tiles, base)
    same = across[classes[across[:, 0]] == classes[across[:, 1]]]
    root = components(len(classes), same[:, 0], same[:, 1])
    earliest = np.full(len(classes), np.iinfo(np.int64).max)
    np.minimum.at(earliest, root, first)
    roots = np.flatnonzero(root == np.arange(len(root)))
    roots = roots[np.argsort(earliest[roots])]
    number = np.zeros(len(classes), np.int64)
    number[roots] = np.arange(len(roots))
    parts = number[root]
    inside = [
        np.column_stack([t.borders[:, :2] + start, t.borders[:, 2:]]) for t, start in zip(tiles, base, strict=False)
    ]
    borders = np.concatenate([*inside, across])
    borders[:, :2] = parts[borders[:, :2]]
    return Graph(
        classes=classes[roots],
        pixels=np.bincount(parts, weights=pixels, minlength=len(roots)).astype(np.int64),
        first=earliest[roots],
        borders=_summed(borders),
        parts=parts,
    )


def _across(tiles: Sequence[SurveyedTile], base: Ints) -> Ints:
    """(m, 4): borders between regions of neighbouring tiles, those of one class too."""
    at = {(t.window.row_off, t.window.col_off): number for number, t in enumerate(tiles)}
    found = [np.zeros((0, 4), np.int64)]
    for number, t in enumerate(tiles):
        for place, mine, theirs, sides in (
            ((t.window.row_stop, t.window.col_off), "bottom", "top", (1, 0)),
            ((t.window.row_off, t.window.col_stop), "right", "left", (0, 1)),
        ):
            neighbour = at.get(place)
            if neighbour is None:
                continue
            one, other = t.sides[mine].astype(np.int64), tiles[neighbour].sides[theirs].astype(np.int64)
            there = (one >= 0) & (other >= 0)
            pairs, counts = np.unique(
                np.stack([one[there] + base[number], other[there] + base[neighbour]], axis=1),
                axis=0,
                return_counts=True,
            )
            found.append(np.column_stack([pairs, counts[:, None] * np.array(sides)]))
    return np.concatenate(found)
