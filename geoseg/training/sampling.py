"""Class-balanced patches, drawn straight from rasters.

A step draws one context for its whole batch, and as many patches of that size as the pixel budget takes, so large
patches need no more memory than small ones. A patch is a function of (seed, step, position in the batch) and of nothing
else, so a resumed run sees exactly the patches an uninterrupted one would have seen, and there is no sampler state to
keep. Memory is bounded: pixels are read by window, labels are copied once into a flat file (a PNG cannot be read out of
order) and mapped from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.ahead import in_order
from geoseg.contexts.distributions import Distribution
from geoseg.errors import ConfigError
from geoseg.models.card import Normalisation
from geoseg.training.augment import Floats, random_placement, recoloured
from geoseg.training.elastic import deformed, random_field
from geoseg.training.patches import cut_patch
from geoseg.training.scenes import BLOCK, LabelledScene, Labels
from geoseg.training.settings import AugmentConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """What one step learns from."""

    pixels: Floats
    """(N, C, P, P), normalised; 0 where there is no data."""
    labels: npt.NDArray[np.int64]
    """(N, P, P) channel indices, 255 = ignored."""
    border: Floats | None = None
    """(N, P, P), the border part of U-Net's weight map; None: not wanted."""


class PatchSampler:
    """Draws batches; every draw is a pure function of the seed and the step.

    Args:
        scenes: what to draw from.
        normalisation: applied to stored pixels.
        contexts: what a step draws the side of its patches from.
        pixel_budget: input pixels of a step; a batch is as many patches as fit, at least one.
        augment: how they are varied.
        balance: 0 draws classes by their area, 1 all alike.
        seed: seed of everything drawn.
        border: from a patch's labels (P, P) the border part of U-Net's weight map; None: not wanted.

    Raises:
        ConfigError: if no scene has a labelled pixel.
    """

    def __init__(
        self,
        scenes: Sequence[LabelledScene],
        *,
        normalisation: Normalisation,
        contexts: Distribution,
        pixel_budget: int,
        augment: AugmentConfig,
        balance: float = 1.0,
        seed: int = 0,
        border: Callable[[Labels], Floats] | None = None,
    ) -> None:
        self._scenes = [s for s in scenes if s.counts.any()]
        if not self._scenes:
            raise ConfigError(f"none of the {len(scenes)} training scenes has a labelled pixel; check the legend's ids")
        weights = np.array([s.weight for s in self._scenes])
        self._scene_odds = np.cumsum(weights / weights.sum())
        self._class_odds = [_class_odds(s.counts, balance=balance) for s in self._scenes]
        self._block_odds = [_block_odds(s.counts) for s in self._scenes]
        self._mean = np.array(normalisation.mean, dtype=np.float32)[:, None, None]
        self._scale = np.array([1 / s for s in normalisation.std], dtype=np.float32)[:, None, None]
        self._contexts = contexts
        self._budget = pixel_budget
        self._augment = augment
        self._seed = seed
        self._border = border

    def batch(self, step: int) -> Batch:
        """The batch of a step: patches of one size."""
        size = self._contexts.size_at(step, seed=self._seed)
        count = max(1, self._budget // size**2)
        drawn = [self._patch(size, np.random.default_rng((self._seed, step, i))) for i in range(count)]
        return Batch(
            pixels=np.stack([pixels for pixels, _ in drawn]),
            labels=np.stack([labels for _, labels in drawn]).astype(np.int64),
            border=None if self._border is None else np.stack([self._border(labels) for _, labels in drawn]),
        )

    def batches(self, *, start: int, stop: int, loaders: int = 1) -> Iterator[Batch]:
        """The batches of steps ``start`` to ``stop``, prepared ahead by ``loaders`` threads."""
        pool = ThreadPoolExecutor(loaders, thread_name_prefix="geoseg-patches")
        try:
            yield from in_order(pool, self.batch, range(start, stop), ahead=2 * loaders + 1)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _patch(self, size: int, rng: np.random.Generator) -> tuple[Floats, Labels]:
        index = _pick(self._scene_odds, rng)
        scene = self._scenes[index]
        row, col = self._pixel(index, rng)
        placement = random_placement(self._augment, rng)
        shift = rng.uniform(-size / 3, size / 3, size=2)  # the drawn pixel need not be in the middle
        pixels, valid, labels = cut_patch(
            scene, centre=(row + shift[0], col + shift[1]), placement=placement, size=size, normalise=self._norm
        )
        if self._augment.elastic and rng.random() < self._augment.elastic:
            alpha, sigma = self._augment.elastic_alpha, self._augment.elastic_sigma
            field = random_field(size, alpha=alpha, sigma=sigma, rng=rng)
            pixels, valid, labels = deformed(pixels, valid, labels, field=field)
        pixels = recoloured(pixels, self._augment, rng)
        pixels[:, ~valid] = 0.0  # the rule of prediction: what has no data is the mean
        return pixels, labels

    def _pixel(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """A random pixel of a random class: the class by balance, the block by the root of its count."""
        scene = self._scenes[index]
        wanted = int(rng.choice(scene.counts.shape[2], p=self._class_odds[index]))
        block = _pick(self._block_odds[index][wanted], rng)
        top, left = (int(v) * BLOCK for v in divmod(block, scene.counts.shape[1]))
        part = scene.labels[top : top + BLOCK, left : left + BLOCK]
        rows, cols = np.nonzero(part == wanted)
        hit = int(rng.integers(len(rows)))
        return top + int(rows[hit]), left + int(cols[hit])

    def _norm(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Floats:
        values: Floats = (pixels.astype(np.float32) - self._mean) * self._scale
        values[:, ~valid] = 0.0
        return values


def _pick(running: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index with the odds whose running sum this is; never one whose odds are 0."""
    at = min(rng.random() * running[-1], np.nextafter(running[-1], 0))
    return int(np.searchsorted(running, at, side="right"))


def _class_odds(counts: npt.NDArray[np.int64], *, balance: float) -> npt.NDArray[np.float64]:
    totals = counts.sum(axis=(0, 1)).astype(np.float64)
    shares = totals / totals.sum()
    odds = np.where(shares > 0, np.power(shares, 1 - balance, where=shares > 0, out=np.zeros_like(shares)), 0.0)
    result: npt.NDArray[np.float64] = odds / odds.sum()
    return result


def _block_odds(counts: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
    """Per class, the running sum of the blocks' odds: the root of the count, so that rims are not forgotten."""
    return [np.cumsum(np.sqrt(counts[:, :, k].ravel())) for k in range(counts.shape[2])]
