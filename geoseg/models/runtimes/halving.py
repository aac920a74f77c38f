"""A predictor that halves its batch where memory runs out; the geometry stays what was planned."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from geoseg.errors import OutOfMemoryError
from geoseg.models.runtimes.base import DecidingPredictor, Logits, Predictor

_LOG = logging.getLogger(__name__)

_HALVED = "batch halved to "

_ALONE = "patches are computed one after the other, no longer two at once: memory ran out"


class HalvingPredictor:
    """Runs another predictor, in smaller batches from the first time that memory does not take one.

    Where several call at once, and memory does not take a single patch, it is tried once more alone; from then on
    callers wait for each other.

    Args:
        inner: raises OutOfMemoryError where memory runs out.
    """

    def __init__(self, inner: Predictor) -> None:
        self.inner = inner
        self.multiple = inner.multiple
        self._most: int | None = None
        self._changed = threading.Condition()
        self._inside = 0
        self._together = self._alone = False

    def notes(self, batch: int) -> tuple[str, ...]:
        """What the user of a run should know of how it was computed.

        Args:
            batch: the largest of the run, patches: an earlier run's limit does not concern one that keeps to it.
        """
        own: tuple[str, ...] = getattr(self.inner, "notes", ())
        if self._most is not None and batch > self._most:
            own = (*own, _halved(self._most))
        return (*own, _ALONE) if self._alone else own

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
                with self._turn():
                    found.append(ask(pixels[part], valid[part]))
            except OutOfMemoryError:
                halved = min(most, len(pixels) - first) // 2
                if halved == 0 and (self._alone or not self._together):
                    raise
            else:
                first += most
                continue
            # outside the handler, whose exception keeps the failed batch's tensors alive
            most = max(1, halved)
            self._keep_to(most if halved else None)
        return found[0] if len(found) == 1 else _joined(found)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Waits for the others, once that is called for."""
        with self._changed:
            while self._alone and self._inside:
                self._changed.wait()
            self._inside += 1
            self._together = self._together or self._inside > 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _keep_to(self, most: int | None) -> None:
        """Keeps to so many patches from now on, None: to one caller; and says it, if no other caller has meanwhile."""
        with self._changed:
            if most is None:
                if self._alone:
                    return
                self._alone = True
            elif self._most is not None and self._most <= most:
                return
            else:
                self._most = most
        _LOG.warning(_ALONE if most is None else _halved(most))


def _halved(most: int) -> str:
    return f"{_HALVED}{most}: memory ran out; classes may differ within float noise"


def with_notes(told: list[str], more: tuple[str, ...]) -> list[str]:
    """Notes with others added, each once; of halved batches the smallest alone."""
    found = [*dict.fromkeys([*told, *more])]
    halved = [note for note in found if note.startswith(_HALVED)]
    if len(halved) < 2:
        return found
    least = min(halved, key=lambda note: int(note.removeprefix(_HALVED).partition(":")[0]))
    return [note for note in found if note == least or note not in halved]


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)
