"""Labelled scenes as training sees them: pixels by window, labels mapped from a flat file, classes counted by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError, GeosegError, OutputError
from geoseg.geometry.windows import Window, split
from geoseg.legend import IGNORE, Legend
from geoseg.models.card import Normalisation

Labels = npt.NDArray[np.uint8]
ReadPixels = Callable[[Window], tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]]
"""Stored pixels (C, h, w) and validity (h, w) of a window."""
ReadLabels = Callable[[Window], Labels]
"""Class ids (h, w) of a window, 255 where there is none."""

BLOCK = 128
"""Side of the blocks in which classes are counted, pixels."""

_STRIP = 4 * BLOCK
"""Rows of labels that are read at once while they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledScene:
    """A scene to draw patches from."""

    name: str
    read: ReadPixels
    labels: Labels
    """(H, W) channel indices, 255 = not learnt from; usually mapped from a file."""
    counts: npt.NDArray[np.int64]
    """(block rows, block columns, classes): pixels of each class in each block."""
    weight: float = 1.0
    """How often it is drawn, relative to the others."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), pixels."""
        height, width = self.labels.shape
        return height, width


def scan_labels(
    read: ReadLabels, *, shape: tuple[int, int], legend: Legend, path: Path
) -> tuple[Labels, npt.NDArray[np.int64]]:
    """Copies a label raster into a flat file of channel indices and counts classes by block, strip by strip.

    Returns:
        The labels (H, W) mapped from ``path``, and the counts (block rows, block columns, classes).

    Raises:
        OutputError: if the file cannot be written.
    """
    channel = np.full(256, IGNORE, dtype=np.uint8)
    channel[list(legend.ids)] = np.arange(len(legend))
    height, width = shape
    classes = len(legend)
    counts = np.zeros((math.ceil(height / BLOCK), math.ceil(width / BLOCK), classes), dtype=np.int64)
    column = np.arange(width) // BLOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:  # not through the mapping: a full disk would be a bus error there
            for window in split(shape, size=(_STRIP, width)):
                strip = channel[read(window)]
                target.write(strip.tobytes())
                for row in range(0, window.height, BLOCK):
                    part = strip[row : row + BLOCK]
                    known = part != IGNORE
                    where = np.broadcast_to(column, part.shape)[known] * classes + part[known]
                    found = np.bincount(where, minlength=counts.shape[1] * classes)
                    counts[(window.row_off + row) // BLOCK] = found.reshape(counts.shape[1], classes)
    except OSError as error:
        if isinstance(error, GeosegError):  # the label raster, not our copy of it
            raise
        raise OutputError(f"cannot copy labels to {path}: {error.strerror or error}; change output.work") from error
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape), counts


def check_classes(scenes: Sequence[LabelledScene], legend: Legend) -> None:
    """Refuses a legend with a class that no training scene has a pixel of: the network could never learn it.

    Raises:
        ConfigError: naming such classes, and the pixels of the others.
    """
    totals = sum((scene.counts.sum(axis=(0, 1)) for scene in scenes), np.zeros(len(legend), np.int64))
    found = dict(zip(legend.names, totals.tolist(), strict=True))
    missing = [name for name, count in found.items() if count == 0]
    if missing:
        kept = ", ".join(f"{name} {count:,}" for name, count in found.items() if count)
        raise ConfigError(
            f"no training scene has a pixel of {', '.join(map(repr, missing))} (pixels of the others: {kept});"
            " add a scene that has, or leave it out of [[legend]]"
        )


def measure_normalisation(scenes: Sequence[LabelledScene], *, side: int = 256, windows: int = 36) -> Normalisation:
    """Mean and deviation per band over an even sample of the valid pixels, every scene by its weight.

    Raises:
        ConfigError: if no scene has a valid pixel.
    """
    total, first, second = 0.0, np.zeros(1), np.zeros(1)
    for scene in scenes:
        known = [_valid_values(scene, window) for window in _spread(scene.shape, side=side, count=windows)]
        values = np.concatenate(known, axis=1)
        if values.shape[1]:
            first = first + scene.weight * values.mean(axis=1)
            second = second + scene.weight * np.square(values).mean(axis=1)
            total += scene.weight
    if total == 0:
        raise ConfigError(f"no valid pixel was found in {len(scenes)} training scenes; check their nodata values")
    mean = first / total
    std = np.sqrt(np.maximum(second / total - np.square(mean), 0))
    std[std == 0] = 1.0  # a band that never changes says nothing, at whatever scale
    return Normalisation(mean=tuple(round(float(v), 4) for v in mean), std=tuple(round(float(v), 4) for v in std))


def _valid_values(scene: LabelledScene, window: Window) -> npt.NDArray[np.float64]:
    pixels, valid = scene.read(window)
    return pixels[:, valid].astype(np.float64)


def _spread(shape: tuple[int, int], *, side: int, count: int) -> Iterator[Window]:
    """At most ``count`` windows, evenly over the scene."""
    per_axis = math.isqrt(count)
    starts = [
        sorted({round(v) for v in np.linspace(0, max(0, n - side), min(per_axis, math.ceil(n / side)))}) for n in shape
    ]
    for row in starts[0]:
        for col in starts[1]:
            yield Window(row_off=row, col_off=col, height=min(side, shape[0]), width=min(side, shape[1]))
