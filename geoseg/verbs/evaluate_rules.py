"""What ``geoseg evaluate`` may be asked for beyond pairs of classes, and how it is told."""

from __future__ import annotations

from typing import Any

import numpy as np

from geoseg.errors import SceneError
from geoseg.evaluation.blocks import BlockScores
from geoseg.evaluation.boundaries import summarise_boundaries
from geoseg.evaluation.compare import Comparison, Rules
from geoseg.evaluation.confidence import summarise_reliability
from geoseg.evaluation.confusion import Counts
from geoseg.evaluation.metrics import summarise
from geoseg.legend import Legend

_FARTHEST = 256
"""Pixels: a window's halo; what lies farther from a boundary is not near it."""

_LARGEST = 4096
"""Side of a block: it is read whole."""


def rules_of(*, erode: float, boundary: float, block: int) -> Rules:
    """What is counted, of sensible numbers.

    Raises:
        SceneError: if they are not.
    """
    if not 0 <= erode <= _FARTHEST or (boundary != 0 and not 1 <= boundary <= _FARTHEST):
        raise SceneError(
            f"distances to boundaries go from 1 to {_FARTHEST} pixels, or are 0 for none: {erode:g} and {boundary:g}"
        )
    if block and not 16 <= block <= _LARGEST:
        raise SceneError(f"blocks are 16 to {_LARGEST} pixels wide, not {block}")
    return Rules(erode=erode, boundary=boundary, block=block)


def metrics_of(found: Comparison, legend: Legend, *, rules: Rules, calibration: bool) -> dict[str, Any]:
    """Everything that was counted as plain values.

    Raises:
        LegendError: as ``Counts.from_pairs``.
    """
    metrics = summarise(Counts.from_pairs(found.pairs, ids=legend.ids), legend)
    if rules.erode:
        metrics["unlabelled_pixels"] -= found.eroded
        metrics |= {"erode_boundary": rules.erode, "eroded_pixels": found.eroded}
    if rules.boundary:
        metrics["boundary"] = summarise_boundaries(found.boundaries, legend, distance=rules.boundary)
    if calibration:
        metrics["calibration"] = summarise_reliability(found.reliability)
    return metrics


def block_columns(scores: list[BlockScores], legend: Legend) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Scores of blocks, column by column; and the names of those that become bands of a raster."""
    columns: dict[str, np.ndarray] = {
        "row": np.array([s.row for s in scores], np.int32),
        "col": np.array([s.col for s in scores], np.int32),
        "pixels": np.array([s.pixels for s in scores], np.int64),
        "wrong": np.array([s.wrong for s in scores], np.int64),
        "accuracy": np.array([s.accuracy for s in scores]),
        "miou": np.array([s.miou for s in scores]),
        "mistake": np.array([s.mistake for s in scores], object),
    }
    columns |= {f"iou {name}": np.array([s.iou[k] for s in scores]) for k, name in enumerate(legend.names)}
    return columns, ("accuracy", "miou", "pixels", "wrong", *(f"iou {name}" for name in legend.names))
