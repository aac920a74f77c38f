"""Random variations of a patch: where its pixels lie in the scene, and their colours. NumPy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.training.settings import AugmentConfig

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a patch lies on the scene, about its centre."""

    angle: float = 0.0
    """Turn, radians."""
    scale: float = 1.0
    """Scene pixels per patch pixel."""
    turns: int = 0
    """Quarter turns."""
    mirror: bool = False
    """Mirrored along the columns (with the quarter turns: all eight symmetries)."""

    @property
    def is_exact(self) -> bool:
        """True if patch pixels are scene pixels, so that nothing is interpolated."""
        return self.angle == 0.0 and self.scale == 1.0

    def reach(self, size: int) -> int:
        """Side of the square of scene pixels that a patch of ``size`` needs."""
        if self.is_exact:
            return size
        return math.ceil(size * self.scale * (abs(math.cos(self.angle)) + abs(math.sin(self.angle)))) + 2

    def grid(self, size: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(rows, columns) of the patch's pixels relative to its centre, each (size, size), scene pixels."""
        steps = (np.arange(size) - (size - 1) / 2) * self.scale
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        rows = steps[:, None] * cos - steps[None, :] * sin
        cols = steps[:, None] * sin + steps[None, :] * cos
        return rows, cols


def random_placement(config: AugmentConfig, rng: np.random.Generator) -> Placement:
    """Draws where a patch lies."""
    low, high = config.scale
    scale = math.exp(rng.uniform(math.log(low), math.log(high))) if low < high else low
    angle = rng.uniform(-math.pi / 4, math.pi / 4) if rng.random() < config.rotation else 0.0
    turns = int(rng.integers(4)) if config.quarter_turns else (2 * int(rng.integers(2)) if config.flips else 0)
    return Placement(angle=angle, scale=scale, turns=turns, mirror=bool(config.flips and rng.random() < 0.5))


def oriented(array: npt.NDArray[np.generic], placement: Placement) -> npt.NDArray[np.generic]:
    """The array (…, S, S) turned and mirrored as the placement says."""
    turned = np.rot90(array, placement.turns, axes=(-2, -1))
    return turned[..., ::-1] if placement.mirror else turned


def recoloured(pixels: Floats, config: AugmentConfig, rng: np.random.Generator) -> Floats:
    """Normalised pixels (C, H, W) with colours, light and noise changed at random."""
    bands = len(pixels)
    if config.saturation or config.hue:
        matrix = _colour_matrix(bands, config, rng)
        pixels = np.einsum("ij,jhw->ihw", matrix, pixels)  # not BLAS, which would wake every core
    if config.contrast:
        mean = pixels.mean(axis=(1, 2), keepdims=True)
        pixels = (pixels - mean) * np.float32(1 + rng.uniform(-config.contrast, config.contrast)) + mean
    shift = rng.uniform(-config.brightness, config.brightness) + rng.uniform(-config.cast, config.cast, bands)
    pixels = pixels + shift.astype(np.float32)[:, None, None]
    if config.noise:
        amount = np.float32(rng.uniform(0, config.noise))
        pixels = pixels + amount * rng.standard_normal(pixels.shape, dtype=np.float32)
    return pixels.astype(np.float32, copy=False)


def _colour_matrix(bands: int, config: AugmentConfig, rng: np.random.Generator) -> Floats:
    """(C, C): stretches every pixel's distance from grey, and turns three bands about the grey axis (Rodrigues)."""
    grey = np.full((bands, bands), 1 / bands)
    matrix = grey + (1 + rng.uniform(-config.saturation, config.saturation)) * (np.eye(bands) - grey)
    if config.hue:
        angle = 2 * math.pi * rng.uniform(-config.hue, config.hue)
        cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        turn = math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * grey
        matrix = turn @ matrix
    result: Floats = matrix.astype(np.float32)
    return result
