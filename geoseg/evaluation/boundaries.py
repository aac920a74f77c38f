"""Scores of boundaries: are the outlines where they should be?

*Boundary IoU* (Cheng et al., CVPR 2021): of each class only the pixels within a distance d of its own boundary are
compared. *Boundary F1* (Csurka et al., BMVC 2013; Perazzi et al., CVPR 2016): precision is the share of a class's
predicted contour that lies within d of the reference's contour of that class, recall the share of the reference's
contour that lies within d of the predicted one, F1 their harmonic mean.

Distances are Euclidean between pixel centres. A contour is the pixels of a class beside (not across a corner from)
another class, inside the class. 255 and the scene's edge make no boundary. Counted is where both maps hold a class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.evaluation.confusion import Ids
from geoseg.evaluation.discs import highest_within, near_another, reach
from geoseg.evaluation.metrics import mean, plain, ratio
from geoseg.legend import IGNORE, Legend

BoundaryCounts = npt.NDArray[np.int64]
"""(7, 256), pixels by class id; counts of parts add up. Rows: see ``_ROWS``."""

_ROWS = ("band_both", "band_truth", "band_predicted", "truth_found", "truth", "predicted_right", "predicted")


def no_boundaries() -> BoundaryCounts:
    """Nothing counted yet."""
    return np.zeros((len(_ROWS), 256), np.int64)


def halo_of(distance: float) -> int:
    """Rows and columns around a window that ``count_boundaries`` must see."""
    return reach(distance) + 1


def count_boundaries(truth: Ids, prediction: Ids, distance: float) -> BoundaryCounts:
    """The counts of a window.

    Args:
        truth: (h + 2 halo, w + 2 halo) uint8, halo as ``halo_of`` gives it; 255 beyond the scene.
        prediction: alike.
        distance: pixels, >= 1.
    """
    far = reach(distance)
    inside = (slice(far + 1, truth.shape[0] - far - 1), slice(far + 1, truth.shape[1] - far - 1))
    t, p = truth[inside], prediction[inside]
    scored = (t != IGNORE) & (p != IGNORE)
    counts = no_boundaries()
    band_t, band_p = (scored & near_another(ids[1:-1, 1:-1], distance) for ids in (truth, prediction))
    counts[0] = _by_class(t, band_t & band_p & (t == p))
    counts[1], counts[2] = _by_class(t, band_t), _by_class(p, band_p)
    lines = [np.where(near_another(ids, 1), ids[1:-1, 1:-1], IGNORE) for ids in (truth, prediction)]
    line_t, line_p = (line[far : far + t.shape[0], far : far + t.shape[1]] for line in lines)
    counts[4], counts[6] = (_by_class(line, scored & (line != IGNORE)) for line in (line_t, line_p))
    for c in np.flatnonzero(counts[4] + counts[6]):
        near_t, near_p = (highest_within((line == c).astype(np.uint8), distance) for line in lines)
        counts[3, c] = np.count_nonzero(scored & (line_t == c) & (near_p > 0))
        counts[5, c] = np.count_nonzero(scored & (line_p == c) & (near_t > 0))
    return counts


def summarise_boundaries(counts: BoundaryCounts, legend: Legend, *, distance: float) -> dict[str, Any]:
    """Scores as plain values for JSON; null where a score is undefined. Means are over the classes that have one."""
    both, truth, predicted, found, line, right, drawn = (row[list(legend.ids)] for row in counts)
    iou = ratio(both, truth + predicted - both)
    precision, recall = ratio(right, drawn), ratio(found, line)
    # A class that one map draws and the other does not is found nowhere.
    f1 = ratio(2 * np.nan_to_num(precision) * np.nan_to_num(recall), np.nan_to_num(precision) + np.nan_to_num(recall))
    f1 = np.where(np.isnan(f1) & (line + drawn > 0), 0.0, f1)
    scores = {"iou": iou, "f1": f1, "precision": precision, "recall": recall}
    return {
        "distance": distance,
        "miou": plain(mean(iou)),
        "mean_f1": plain(mean(f1)),
        "classes": [
            {"id": c.id, "name": c.name, **{name: plain(values[i]) for name, values in scores.items()}}
            for i, c in enumerate(legend)
        ],
    }


def _by_class(ids: Ids, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.asarray(np.bincount(ids[where], minlength=256), np.int64)
