"""Chains and rings of items each of which leads to at most one other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.polygons.ragged import Ints, offsets_of, take


def walk(following: Ints, *, second: npt.NDArray[np.bool_] | None = None) -> tuple[Ints, Ints, int]:
    """Puts items in the order of their chains.

    Args:
        following: for each item the next one, -1 for none; nothing is led to twice.
        second: items that go together with the one before them, if that is none of them itself: saves steps.

    Returns:
        The items, chain by chain; the offsets of the chains; how many of them, the first ones, are open. Chains of
        either kind come in the order of their first items; a ring begins with its smallest one, or with what that
        goes together with.
    """
    if second is not None and second.any():
        return _walk_pairs(following, second)
    led_to = np.zeros(len(following), np.bool_)
    led_to[following[following >= 0]] = True
    order, offsets, open_count = _steps(following.tolist(), np.flatnonzero(~led_to).tolist())
    return np.array(order, np.int64), np.array(offsets, np.int64), open_count


def walk_rings(following: Ints) -> tuple[Ints, Ints]:
    """The rings of a permutation: its items in their order, and the offsets of the rings."""
    order, offsets, open_count = walk(following)
    assert open_count == 0
    return order, offsets


def _walk_pairs(following: Ints, second: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, int]:
    """The same in steps of two items where a second one follows."""
    count = len(following)
    leads = (following >= 0) & ~second
    leads[leads] = second[following[leads]]
    first = np.flatnonzero(leads)
    after = following[first]
    alone = np.ones(count, np.bool_)
    alone[after] = False
    heads = np.flatnonzero(alone)
    number = np.full(count + 1, -1)  # the last is what -1 stands for
    number[heads] = np.arange(len(heads))
    ends = np.arange(count)
    ends[first] = after
    order, chains, open_count = walk(number[following[ends[heads]]])
    pairs = np.stack([heads, ends[heads]], axis=1)
    size = 1 + (pairs[:, 0] != pairs[:, 1])
    offsets = offsets_of(size)
    flat = pairs[np.column_stack([np.ones(len(heads), np.bool_), size == 2])]
    index, spread = take(offsets, order)
    return flat[index], spread[chains], open_count


def _steps(following: list[int], starts: list[int]) -> tuple[list[int], list[int], int]:
    """The walk itself, in plain Python: a step costs 0.1 µs, less than NumPy's rounds over all items."""
    seen = bytearray(len(following))
    order: list[int] = []
    offsets = [0]
    add = order.append
    for start in starts:
        at = start
        while at >= 0:
            seen[at] = 1
            add(at)
            at = following[at]
        offsets.append(len(order))
    start = seen.find(0)
    while start >= 0:
        at = start
        while not seen[at]:
            seen[at] = 1
            add(at)
            at = following[at]
        offsets.append(len(order))
        start = seen.find(0, start)
    return order, offsets, len(starts)
