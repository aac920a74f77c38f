"""A predictor that halves its batch where memory runs out; the geometry stays what was planned."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from geoseg.errors import OutOfMemoryError
from geoseg.models.runtimes.base import DecidingPredictor, Logits, Predictor

_LOG = logging.getLogger(__name__)

_HALVED = "batch halved to "


class HalvingPredictor:
    """Runs another predictor, in smaller batches from the first time that memory does not take one.

    Args:
        inner: raises OutOfMemoryError where memory runs out.
    """

    def __init__(self, inner: Predictor) -> None:
        self.inner = inner
        self.multiple = inner.multiple
        self._most: int | None = None

    def notes(self, batch: int) -> tuple[str, ...]:
        """What the user of a run should know of how it was computed.

        Args:
            batch: the largest of the run, patches: an earlier run's limit does not concern one that keeps to it.
        """
        own: tuple[str, ...] = getattr(self.inner, "notes", ())
        if self._most is None or batch <= self._most:
            return own
        return (*own, f"{_HALVED}{self._most}: memory ran out; classes may differ within float noise")

    @property
    def decides(self) -> bool:
        """True if ``winners`` may be called."""
        return hasattr(self.inner, "winners")

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Logits:
        """See :class:`geoseg.models.runtimes.base.Predictor`.

        Raises:
            OutOfMemoryError: if memory does not take a single patch.
        """
        found: Logits = self._answers(self.inner.logits, pixels, valid)
        return found

    def winners(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Any:
        """See :class:`geoseg.models.runtimes.base.DecidingPredictor`, which the inner one must be.

        Raises:
            OutOfMemoryError: if memory does not take a single patch.
        """
        return self._answers(cast("DecidingPredictor", self.inner).winners, pixels, valid)

    def _answers(self, ask: Callable[..., Any], pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Any:
        most = len(pixels) if self._most is None else self._most
        found: list[Any] = []
        first = 0
        while first < len(pixels):
            part = slice(first, first + most)
            try:
                found.append(ask(pixels[part], valid[part]))
            except OutOfMemoryError:
                most = min(most, len(pixels) - first) // 2
                if most == 0:
                    raise
            else:
                first += most
                continue
            self._most = most  # outside the handler, whose exception keeps the failed batch's tensors alive
            _LOG.warning(self.notes(len(pixels))[-1])
        return found[0] if len(found) == 1 else _joined(found)


def with_notes(told: list[str], more: tuple[str, ...]) -> list[str]:
    """Notes with others added, each once; of halved batches the smallest alone."""
    found = [*dict.fromkeys([*told, *more])]
    halved = [note for note in found if note.startswith(_HALVED)]
    if len(halved) < 2:
        return found
    least = min(halved, key=lambda note: int(note.removeprefix(_HALVED).partition(":")[0]))
    return [note for note in found if note == least or note not in halved]


def _joined(parts: list[Logits]) -> Logits:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)  # type: ignore[arg-type]
