"""Scores block by block: where a map is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geoseg.evaluation.compare import Comparison
from geoseg.evaluation.confusion import Counts
from geoseg.evaluation.metrics import Scores, iou, mean_iou, overall_accuracy
from geoseg.legend import Legend


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockScores:
    """The scores of one block."""

    row: int
    """Row of the block among blocks, from the top."""
    col: int
    pixels: int
    """Scored ones."""
    wrong: int
    """Of those."""
    accuracy: float
    """NaN where nothing is scored."""
    miou: float
    """Over the classes present in the block."""
    iou: Scores
    """(K,), NaN for classes in neither map."""
    mistake: str
    """The commonest: ``land taken for road``; empty if there is none."""


def score_blocks(found: Comparison, legend: Legend) -> Iterator[BlockScores]:
    """The scores of all blocks, row by row.

    Raises:
        LegendError: as ``Counts.from_pairs``.
    """
    for row, col in sorted(found.blocks):
        matrix = Counts.from_pairs(found.pairs_of((row, col)), ids=legend.ids).confusion
        wrong = matrix.copy()
        np.fill_diagonal(wrong, 0)
        truth, taken = np.unravel_index(int(wrong.argmax()), wrong.shape)
        yield BlockScores(
            row=row,
            col=col,
            pixels=int(matrix.sum()),
            wrong=int(wrong.sum()),
            accuracy=overall_accuracy(matrix),
            miou=mean_iou(matrix),
            iou=iou(matrix),
            mistake=f"{legend.names[truth]} taken for {legend.names[taken]}" if wrong.any() else "",
        )
