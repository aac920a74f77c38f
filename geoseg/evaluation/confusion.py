"""Counting which class was predicted where which class is true. Counts are int64: exact, and they add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.errors import LegendError
from geoseg.legend import IGNORE

Confusion = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint8]

_AT_ONCE = 1 << 20
"""Pixels counted at once: few enough to stay in the processor's cache, many against the table's 65,536 places."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Pixel counts of a comparison, by class."""

    confusion: Confusion
    """(K, K): rows the reference, columns the prediction, in the order of the ids."""
    unpredicted: npt.NDArray[np.int64]
    """(K,): labelled pixels that the prediction leaves out (255), by the class of the reference; not scored."""
    unlabelled: int
    """Pixels that the reference leaves out (255); not scored."""

    @classmethod
    def from_pairs(cls, pairs: Confusion, *, ids: Sequence[int]) -> Counts:
        """The counts of some classes out of the table of ``pair_counts``.

        Raises:
            LegendError: if a scored pixel holds a value that is not among ``ids``.
        """
        for axis, name in ((1, "reference"), (0, "prediction")):
            found = pairs.copy()
            found[IGNORE, :] = 0  # what is not labelled may be predicted as anything
            values = found.sum(axis=axis)
            values[[*ids, IGNORE]] = 0
            if values.any():
                words = ", ".join(f"{v} ({values[v]} pixels)" for v in np.flatnonzero(values)[:5])
                raise LegendError(f"the {name} holds {words}, which the legend {list(ids)} does not name")
        return cls(
            confusion=pairs[np.ix_(ids, ids)],
            unpredicted=pairs[list(ids), IGNORE],
            unlabelled=int(pairs[IGNORE].sum()),
        )


def pair_counts(truth: Ids, prediction: Ids) -> Confusion:
    """How often each pair of values stands at the same pixel.

    Args:
        truth: class ids of the reference, any shape, uint8.
        prediction: class ids of the same shape, uint8.

    Returns:
        (256, 256) int64: rows the value of ``truth``, columns that of ``prediction``. Tables of parts add up.

    Raises:
        ValueError: if the shapes differ or a type is not uint8.
    """
    if truth.shape != prediction.shape or truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise ValueError(
            f"two uint8 arrays of one shape are compared, not {truth.dtype} {truth.shape} with"
            f" {prediction.dtype} {prediction.shape}"
        )
    rows, columns = truth.ravel(), prediction.ravel()
    table = np.zeros(256 * 256, np.int64)
    for start in range(0, rows.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        table += np.bincount(rows[part].astype(np.uint16) << 8 | columns[part], minlength=256 * 256)
    return table.reshape(256, 256)


def present_ids(pairs: Confusion) -> list[int]:
    """Values that stand anywhere in either map of a table of ``pair_counts``, ascending, without 255."""
    return [int(i) for i in np.flatnonzero(pairs.any(axis=0) | pairs.any(axis=1)) if i != IGNORE]


def confusion(truth: Ids, prediction: Ids, *, ids: Sequence[int]) -> Confusion:
    """The confusion matrix of two class maps; pixels where either is 255 are left out.

    Args:
        truth: class ids of the reference, any shape, uint8.
        prediction: class ids of the same shape, uint8.
        ids: the classes, in the order of rows and columns.

    Returns:
        (K, K) int64: rows the reference, columns the prediction. Matrices of parts add up.

    Raises:
        LegendError: if a scored pixel holds a value that is not among ``ids``.
        ValueError: as ``pair_counts``.
    """
    return Counts.from_pairs(pair_counts(truth, prediction), ids=ids).confusion
