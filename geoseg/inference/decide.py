"""From finished logits to the layers of a core: classes, confidence, probabilities, all uint8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.inference.arrays import Array, highest, percent, softmax, winners
from geoseg.inference.layers import Layers
from geoseg.legend import IGNORE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileResult:
    """The layers of one tile's core; nodata is 255 in each."""

    classes: npt.NDArray[np.uint8]
    """(h, w) class ids."""
    confidence: npt.NDArray[np.uint8] | None = None
    """(h, w) percent."""
    probabilities: npt.NDArray[np.uint8] | None = None
    """(K, h, w) percent."""
    contexts: npt.NDArray[np.uint8] | None = None
    """(h, w): bit k is set where context k had a say."""
    computed_pixels: int = 0
    """Pixels of all network inputs that it took."""


class Decider:
    """Takes finished logits region by region and keeps what is wanted of them.

    Args:
        shape: (height, width) of the core.
        layers: what is wanted beside the classes.
        ids: class id of each channel; None means the channel's own number.
    """

    def __init__(self, shape: tuple[int, int], *, layers: Layers, ids: tuple[int, ...] | None = None) -> None:
        self._layers = layers
        contiguous = ids is None or ids == tuple(range(len(ids)))
        self._ids = None if contiguous or ids is None else np.array(ids, np.uint8)
        self._classes = np.full(shape, IGNORE, np.uint8)
        self._confidence = np.full(shape, IGNORE, np.uint8) if layers.confidence else None
        self._probabilities: npt.NDArray[np.uint8] | None = None

    def __call__(self, logits: Array, rows: slice, cols: slice) -> None:
        """Decides finished logits (K, h, w) at these rows and columns of the core; ties go to the lower channel."""
        winner = winners(logits)
        self._classes[rows, cols] = winner if self._ids is None else self._ids[winner]
        if not (self._layers.confidence or self._layers.probabilities):
            return
        shares = softmax(logits)
        if self._confidence is not None:
            self._confidence[rows, cols] = percent(highest(shares))
        if self._layers.probabilities:
            if self._probabilities is None:
                self._probabilities = np.full((logits.shape[0], *self._classes.shape), IGNORE, np.uint8)
            self._probabilities[:, rows, cols] = percent(shares)

    def finish(
        self,
        valid: npt.NDArray[np.bool_],
        *,
        contexts: npt.NDArray[np.uint8] | None = None,
        computed_pixels: int = 0,
    ) -> TileResult:
        """The layers; ``valid`` (h, w) of the core, its False pixels become nodata.

        Args:
            valid: True = data.
            contexts: (h, w), which contexts had a say.
            computed_pixels: what it took.
        """
        invalid = ~valid
        for layer in (self._classes, self._confidence, self._probabilities, contexts):
            if layer is not None:
                layer[..., invalid] = IGNORE
        return TileResult(
            classes=self._classes,
            confidence=self._confidence,
            probabilities=self._probabilities,
            contexts=contexts,
            computed_pixels=computed_pixels,
        )
