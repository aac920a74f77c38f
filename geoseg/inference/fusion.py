"""Fusing contexts: the weighted mean of their class probabilities.

Nogueira et al. (IEEE TGRS 57(10), 2019) sum the softmax of each context's averaged logits; so does this, with weights,
and as a running mean, because a pixel may have fewer contexts than another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geoseg.inference.arrays import Array, highest, log, softmax, to_host, zeros
from geoseg.inference.decide import Decider

_BAND = 256  # rows that are decided at once, so that no second map of all classes is needed


class Fusion:
    """The fused probabilities of one block.

    Args:
        shape: (height, width) of the block, pixels.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._mean: Array | None = None
        self._weight: Array = None
        self._contexts = np.zeros(shape, np.uint8)

    def add(self, k: int, weight: float, logits: Array, rows: slice, cols: slice) -> None:
        """Takes the finished logits (K, h, w) of context k at these rows and columns of the block."""
        if self._mean is None:
            self._mean = zeros((logits.shape[0], *self._shape), like=logits)
            self._weight = zeros(self._shape, like=logits)
        self._weight[rows, cols] += weight
        share = weight / self._weight[rows, cols]  # 1 for the first context: its probabilities as they are
        step = softmax(logits)
        step -= self._mean[:, rows, cols]
        step *= share
        self._mean[:, rows, cols] += step
        self._contexts[rows, cols] |= np.uint8(1 << k)

    @property
    def contexts(self) -> npt.NDArray[np.uint8]:
        """(h, w): bit k is set where context k had a say."""
        return self._contexts

    def confidence(self) -> npt.NDArray[np.float32]:
        """Probability of the winning class, (h, w); 0 where no context had a say."""
        if self._mean is None:
            return np.zeros(self._shape, np.float32)
        return to_host(highest(self._mean))

    def decide(self, decider: Decider, rows: slice, cols: slice) -> None:
        """Hands the fused probabilities to a decider, as logits whose softmax they are.

        Args:
            decider: takes them.
            rows: of the block in the decider's core.
            cols: likewise.
        """
        if self._mean is None:
            return
        for top in range(0, self._shape[0], _BAND):
            stop = min(top + _BAND, self._shape[0])
            decider(log(self._mean[:, top:stop]), slice(rows.start + top, rows.start + stop), cols)
