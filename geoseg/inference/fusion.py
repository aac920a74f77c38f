"""Fusing contexts: the weighted mean of their class probabilities.

Nogueira et al. (IEEE TGRS 57(10), 2019) sum the softmax of each context's averaged logits; so does this, with weights,
and as a running mean, because a pixel may have fewer contexts than another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from geoseg.inference.decide import Decider

_BAND = 256  # rows that are decided at once, so that no second map of all classes is needed


class Fusion:
    """The fused probabilities of one block.

    Args:
        shape: (height, width) of the block, pixels.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._mean: torch.Tensor | None = None
        self._weight = torch.zeros(shape)
        self._contexts = np.zeros(shape, np.uint8)

    def add(self, k: int, weight: float, logits: torch.Tensor, rows: slice, cols: slice) -> None:
        """Takes the finished logits (K, h, w) of context k at these rows and columns of the block."""
        if self._mean is None:
            self._mean = logits.new_zeros((logits.shape[0], *self._shape))
            self._weight = self._weight.to(logits.device)
        total = self._weight[rows, cols].add_(weight)
        share = (weight / total).unsqueeze(0)  # 1 for the first context: its probabilities as they are
        self._mean[:, rows, cols] = torch.lerp(self._mean[:, rows, cols], torch.softmax(logits, dim=0), share)
        self._contexts[rows, cols] |= np.uint8(1 << k)

    @property
    def contexts(self) -> npt.NDArray[np.uint8]:
        """(h, w): bit k is set where context k had a say."""
        return self._contexts

    def confidence(self) -> npt.NDArray[np.float32]:
        """Probability of the winning class, (h, w); 0 where no context had a say."""
        if self._mean is None:
            return np.zeros(self._shape, np.float32)
        return np.asarray(self._mean.amax(dim=0).cpu().numpy())

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
            decider(torch.log(self._mean[:, top:stop]), slice(rows.start + top, rows.start + stop), cols)
