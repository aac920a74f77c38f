"""From finished logits to the layers of a core: classes, confidence, probabilities, all uint8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.inference.arrays import Array, empty_map, highest, percent, softmax, to_host, winners
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
    """Takes finished logits region by region and keeps what is wanted of them, where they are.

    A GPU's maps come home once, at the end: until then nobody waits for it.

    Args:
        shape: (height, width) of the core.
        layers: what is wanted beside the classes.
        ids: class id of each channel; None means the channel's own number.
        temperature: what logits are divided by before the softmax; it changes confidence, and no class.
    """

    def __init__(
        self, shape: tuple[int, int], *, layers: Layers, ids: tuple[int, ...] | None = None, temperature: float = 1.0
    ) -> None:
        self._shape, self._layers, self._temperature = shape, layers, temperature
        self._ids: npt.NDArray[np.uint8] | None = None
        if ids is not None and ids != tuple(range(len(ids))):
            self._ids = np.arange(IGNORE + 1, dtype=np.uint8)  # 255 stays 255
            self._ids[: len(ids)] = ids
        self._maps: dict[str, Array] = {}

    def __call__(self, logits: Array, rows: slice, cols: slice) -> None:
        """Decides finished logits (K, h, w) at these rows and columns of the core; ties go to the lower channel."""
        self._map("classes", like=logits)[rows, cols] = winners(logits)
        if not (self._layers.confidence or self._layers.probabilities):
            return
        shares = softmax(logits if self._temperature == 1 else logits / self._temperature)
        if self._layers.confidence:
            self._map("confidence", like=logits)[rows, cols] = percent(highest(shares))
        if self._layers.probabilities:
            self._map("probabilities", like=logits, bands=len(logits))[:, rows, cols] = percent(shares)

    def take(self, winners: Array, rows: slice, cols: slice) -> None:
        """Takes channels that were decided where the logits were (1, h, w); for a run that wants classes alone."""
        self._map("classes", like=winners)[rows, cols] = winners[0]

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
        found = {name: to_host(layer) for name, layer in self._maps.items()}
        if not found:  # not a patch was run
            found["classes"] = np.full(self._shape, IGNORE, np.uint8)
            if self._layers.confidence:
                found["confidence"] = found["classes"].copy()
        if self._ids is not None:
            found["classes"] = self._ids[found["classes"]]
        if not valid.all():  # a mask costs all of its pixels, however few are set
            invalid = ~valid
            for layer in (*found.values(), contexts):
                if layer is not None:
                    layer[..., invalid] = IGNORE
        return TileResult(**found, contexts=contexts, computed_pixels=computed_pixels)

    def _map(self, name: str, *, like: Array, bands: int = 0) -> Array:
        """The map of a layer, made where ``like`` is when it is first asked for."""
        if name not in self._maps:
            self._maps[name] = empty_map((bands, *self._shape) if bands else self._shape, like=like)
        return self._maps[name]
