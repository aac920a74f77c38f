"""What every runtime gives: logits for a batch of patches as they are stored. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from geoseg.errors import OutOfMemoryError, PlanError
from geoseg.geometry.windows import sized
from geoseg.models.runtimes.memory import is_out_of_memory

if TYPE_CHECKING:
    import torch

Logits: TypeAlias = "torch.Tensor | npt.NDArray[np.float32]"
"""Logits of patches: a tensor on the predictor's device, or, from a runtime without torch, an array."""


class Predictor(Protocol):
    """Anything that gives logits for patches.

    OpenVINO's takes several callers at once; the others are not thread-safe, and each device has one thread for them.
    """

    multiple: int
    """Sides of patches must be multiples of it."""

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Logits:
        """Logits of a batch.

        Args:
            pixels: (N, C, h, w) in the scene's stored dtype.
            valid: (N, h, w), True = data. What invalid pixels hold has no influence.

        Returns:
            (N, K, h, w) float32.
        """


class DecidingPredictor(Predictor, Protocol):
    """One that can do without handing out logits."""

    def winners(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """The channel with the highest logit, (N, 1, h, w) uint8; ties go to the lower one. Arguments as ``logits``."""


def decides(predictor: Predictor) -> TypeGuard[DecidingPredictor]:
    """True if a predictor is a ``DecidingPredictor``; one that runs another is if that is."""
    inner = getattr(predictor, "inner", predictor)
    return hasattr(inner, "winners")


def described(shape: tuple[int, ...]) -> str:
    """A batch (N, C, h, w) in words, for messages."""
    count, bands, height, width = shape
    return f"{count} patch{'es' * (count != 1)} of {sized((height, width))} px with {bands} bands"


def failure(error: Exception, shape: tuple[int, ...], *, multiple: int) -> PlanError:
    """What a runtime's error on a batch (N, C, h, w) means, in one line with the way out.

    Args:
        error: what the runtime raised.
        shape: of the batch.
        multiple: what sides were planned to be multiples of.
    """
    reason = " ".join(str(error).split())
    if is_out_of_memory(error):
        smaller = "--patch-size" if shape[0] == 1 else "--batch-size or --patch-size"
        return OutOfMemoryError(f"out of memory with {described(shape)}: use a smaller {smaller}")
    return PlanError(f"the network does not take {described(shape)} (multiples of {multiple} were planned): {reason}")
