"""Logits as they come, NumPy arrays or torch tensors, and the few operations that stitching and deciding need of both.

A runtime without torch gives NumPy arrays, and torch may not be imported then; tensors stay on their device until what
is wanted of them is uint8. Written out, because the operations that both libraries share by name (the array API
standard) cost five times as much on tensors as those PyTorch has for the purpose.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE

Array: TypeAlias = Any
"""A NumPy array or a torch tensor, on any device."""


def zeros(shape: tuple[int, ...], *, like: Array) -> Array:
    """float32 zeros where ``like`` is."""
    return np.zeros(shape, np.float32) if isinstance(like, np.ndarray) else like.new_zeros(shape)


def empty_map(shape: tuple[int, ...], *, like: Array) -> Array:
    """uint8 of 255, nodata, where ``like`` is."""
    if isinstance(like, np.ndarray):
        return np.full(shape, IGNORE, np.uint8)
    return like.new_zeros(1).byte().new_full(shape, IGNORE)


def beside(values: npt.NDArray[np.float32], like: Array) -> Array:
    """NumPy's values where ``like`` is."""
    return values if isinstance(like, np.ndarray) else like.new_tensor(values)


def duplicate(array: Array) -> Array:
    """A copy."""
    return array.copy() if isinstance(array, np.ndarray) else array.clone()


def to_host(array: Array) -> npt.NDArray[Any]:
    """The array as NumPy's; shares memory where it can."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu().numpy())


def softmax(logits: Array) -> Array:
    """Probabilities over the first axis of (K, h, w) float32 logits, an array of its own; NaN where all are -inf."""
    if not isinstance(logits, np.ndarray):
        return logits.softmax(0)
    with np.errstate(invalid="ignore"):
        shares = np.exp(logits - logits.max(axis=0))
        shares /= shares.sum(axis=0)
    return shares


def log(array: Array) -> Array:
    """The natural logarithm; of 0 it is minus infinity."""
    if not isinstance(array, np.ndarray):
        return array.log()
    with np.errstate(divide="ignore"):
        return np.log(array)


def highest(array: Array) -> Array:
    """The largest of each column of the first axis."""
    return array.max(axis=0) if isinstance(array, np.ndarray) else array.amax(dim=0)


def winners(logits: Array) -> Array:
    """The channel with the highest of (K, h, w) logits, (h, w) uint8; ties go to the lower one."""
    if not isinstance(logits, np.ndarray):
        return logits.max(dim=0).indices.byte()
    best = logits[0].copy()
    channel = np.zeros(best.shape, np.uint8)
    for k in range(1, len(logits)):  # several times as fast as NumPy's argmax over the first axis
        np.copyto(channel, k, where=logits[k] > best)
        np.maximum(best, logits[k], out=best)
    return channel


def percent(shares: Array) -> Array:
    """Shares of 1 as whole percent, uint8; anything where they are NaN."""
    whole = (shares * 100).round()
    if not isinstance(whole, np.ndarray):
        return whole.byte()
    with np.errstate(invalid="ignore"):
        return whole.astype(np.uint8)
