"""Scores of objects: which polygons of a reference were found, and which were made up.

A predicted polygon is right if it can be paired with a polygon of the reference of which it covers enough: intersection
over union of at least a threshold, one to one. Pairs are taken by falling IoU (ties: the first of the prediction, then
of the reference), as COCO and SpaceNet do; polygons that do not overlap their own kind have no choice above 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geoseg.evaluation.metrics import plain, ratio

Geometries = npt.NDArray[Any]
"""(n,) of shapely's polygons or multipolygons, valid."""

_PAIRS_AT_ONCE = 100_000
"""Pairs whose intersections are held in memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matches:
    """The pairs of a comparison."""

    predicted: npt.NDArray[np.int64]
    """(m,) numbers of predicted polygons, each once."""
    truth: npt.NDArray[np.int64]
    """(m,) of their partners, each once."""
    iou: npt.NDArray[np.float64]
    """(m,)"""


def match_objects(predicted: Geometries, truth: Geometries, *, threshold: float = 0.5) -> Matches:
    """Pairs polygons one to one.

    Args:
        predicted: polygons.
        truth: polygons, in the same plane.
        threshold: least IoU of a pair, > 0.
    """
    rows, cols = shapely.STRtree(truth).query(predicted, predicate="intersects")
    parts = []
    areas = shapely.area(predicted), shapely.area(truth)
    for start in range(0, rows.size, _PAIRS_AT_ONCE):
        i, j = rows[start : start + _PAIRS_AT_ONCE], cols[start : start + _PAIRS_AT_ONCE]
        common = shapely.area(shapely.intersection(predicted[i], truth[j]))
        iou = ratio(common, areas[0][i] + areas[1][j] - common)
        good = iou >= threshold  # NaN, of two empty ones, is not
        parts.append((i[good], j[good], iou[good]))
    if not parts:
        none = np.zeros(0, np.int64)
        return Matches(predicted=none, truth=none, iou=np.zeros(0))
    i, j, iou = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((j, i, -iou))
    free_i, free_j = np.ones(len(predicted), np.bool_), np.ones(len(truth), np.bool_)
    kept = []
    for k in order:
        if free_i[i[k]] and free_j[j[k]]:
            free_i[i[k]] = free_j[j[k]] = False
            kept.append(k)
    return Matches(predicted=i[kept], truth=j[kept], iou=iou[kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCounts:
    """Objects of a class; counts of scenes add up."""

    predicted: int
    truth: int
    matched: int
    iou_sum: float
    """Of the matched pairs."""

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(
            predicted=self.predicted + other.predicted,
            truth=self.truth + other.truth,
            matched=self.matched + other.matched,
            iou_sum=self.iou_sum + other.iou_sum,
        )

    def to_json(self) -> dict[str, Any]:
        """Counts and scores as plain values; null where a score is undefined."""
        return {
            "predicted": self.predicted,
            "truth": self.truth,
            "matched": self.matched,
            "precision": plain(float(ratio(self.matched, self.predicted))),
            "recall": plain(float(ratio(self.matched, self.truth))),
            "f1": plain(float(ratio(2 * self.matched, self.predicted + self.truth))),
            "matched_iou": plain(float(ratio(self.iou_sum, self.matched))),
        }


def count_objects(predicted: Geometries, truth: Geometries, *, threshold: float = 0.5) -> ObjectCounts:
    """The counts of one class; arguments as ``match_objects``."""
    found = match_objects(predicted, truth, threshold=threshold)
    return ObjectCounts(
        predicted=len(predicted), truth=len(truth), matched=found.iou.size, iou_sum=float(found.iou.sum())
    )


def object_rows(classes: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Scores of classes (``name`` and what ``ObjectCounts.to_json`` gives) as rows of text, with a heading."""
    rows: list[tuple[str, ...]] = [
        ("class", "precision", "recall", "F1", "IoU of matches", "predicted", "truth", "matched")
    ]
    for entry in classes:
        scores = ("-" if entry[k] is None else f"{entry[k]:.4f}" for k in ("precision", "recall", "f1", "matched_iou"))
        counts = (f"{entry[k]:,}" for k in ("predicted", "truth", "matched"))
        rows.append((str(entry["name"]), *scores, *counts))
    return rows
