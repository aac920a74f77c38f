"""How often a patch's rim answers otherwise than the whole frame: the curve that tells the halo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

STEP = 8
"""Width of a bin of distances, pixels."""

FITS = 1.5
"""A patch is compared with frames of this many times its side: it must lie clear of the frame's own edges."""

Classes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A piece of a scene, as stored."""

    pixels: npt.NDArray[np.generic]
    """(C, S, S)."""
    valid: npt.NDArray[np.bool_]
    """(S, S), True = data."""

    @property
    def side(self) -> int:
        """S, pixels."""
        return int(self.valid.shape[0])

    def part(self, top: int, left: int, side: int) -> Frame:
        """A square of it."""
        rows, cols = slice(top, top + side), slice(left, left + side)
        return Frame(pixels=self.pixels[:, rows, cols], valid=self.valid[rows, cols])


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamCurve:
    """Disagreement of patches with full-frame inference, by distance from the nearest edge of the patch."""

    size: int
    """Side of the patches, pixels."""
    pixels: tuple[int, ...]
    """Pixels looked at, per bin of ``STEP`` pixels of distance; > 0."""
    changed: tuple[int, ...]
    """Those among them whose class is another than full-frame inference's."""

    def disagreement(self, patch: tuple[int, int], halo: int) -> float:
        """Share of a scene's pixels whose class would differ from full-frame inference's.

        Every pixel of a cell is weighed by its distance from the nearest edge of its patch. Beyond the distances that
        were measured the last quarter of them stands for all. The scene's own edges are counted as if they were seams,
        so small scenes are a little better than this says.

        Args:
            patch: (height, width), pixels.
            halo: pixels at the rim of a patch that are not used.
        """
        least = min(patch)
        if 2 * halo >= least:
            return 0.0
        distance = np.arange(halo, -(-least // 2))
        high, wide = patch[0] - 2 * distance, patch[1] - 2 * distance
        ring = high * wide - np.maximum(high - 2, 0) * np.maximum(wide - 2, 0)
        return float((self._rates(distance) * ring).sum() / ring.sum())

    def at_seam(self, halo: int) -> float:
        """Share of the pixels within two bins inside a halo whose class differs."""
        return float(self._rates(np.arange(halo, halo + 2 * STEP)).mean())

    def _rates(self, distance: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Share of pixels that differ at distances from the nearest edge."""
        tail = 3 * len(self.pixels) // 4
        beyond = sum(self.changed[tail:]) / sum(self.pixels[tail:])
        rates = np.append(np.array(self.changed) / np.array(self.pixels), beyond)
        found: npt.NDArray[np.float64] = rates[np.minimum(distance // STEP, len(self.pixels))]
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` is the inverse."""
        return {"size": self.size, "pixels": [*self.pixels], "changed": [*self.changed]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SeamCurve:
        """A curve from what ``to_json`` gave."""
        return cls(
            size=int(data["size"]),
            pixels=tuple(int(n) for n in data["pixels"]),
            changed=tuple(int(n) for n in data["changed"]),
        )


def rim_of(side: int, multiple: int) -> int:
    """Pixels at the rim of a frame that are no reference: its own edges are seams too."""
    return side // 8 // multiple * multiple


def seam_curve(
    frames: Sequence[Frame],
    wholes: Sequence[Classes],
    *,
    classes_of: Callable[[Sequence[Frame]], Sequence[Classes]],
    size: int,
    multiple: int,
    most: int = 9,
) -> SeamCurve:
    """Runs patches cut out of frames and compares each with the frame's own answer there.

    Args:
        frames: real content, each at least ``size`` and two rims (:func:`rim_of`) wide.
        wholes: (S, S) classes of each frame from one forward pass.
        classes_of: (s, s) classes of each of some patches, from the same network.
        size: side of the patches, pixels.
        multiple: of the network; patches are cut at multiples of it.
        most: patches per frame at most, spread over it.
    """
    axis = np.minimum(np.arange(size), np.arange(size)[::-1])
    bins = np.minimum(axis[:, None], axis[None]) // STEP
    count = int(bins.max()) + 1
    pixels, changed = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for frame, whole in zip(frames, wholes, strict=True):
        corners = places(frame.side, size=size, multiple=multiple, most=most)
        patches = [frame.part(top, left, size) for top, left in corners]
        for (top, left), patch, classes in zip(corners, patches, classes_of(patches), strict=True):
            other = classes != whole[top : top + size, left : left + size]
            pixels += np.bincount(bins[patch.valid], minlength=count)
            changed += np.bincount(bins[patch.valid & other], minlength=count)
    seen = pixels > 0  # what holds no data has no class to change
    return SeamCurve(
        size=size,
        pixels=tuple(int(n) for n in np.where(seen, pixels, 1)),
        changed=tuple(int(n) for n in changed),
    )


def places(side: int, *, size: int, multiple: int, most: int) -> list[tuple[int, int]]:
    """(top, left) of at most ``most`` patches in a frame, a square grid of them clear of its rim; none if too small."""
    rim = rim_of(side, multiple)
    room = (side - 2 * rim - size) // multiple  # how far a patch can be moved, in multiples
    if room < 0:
        return []
    each = min(int(most**0.5), max(2, (side - 2 * rim) // size))  # two may overlap: their edges differ
    if room == 0 or each == 1:
        starts = [rim + multiple * (room // 2)]
    else:
        starts = sorted({rim + multiple * round(room * i / (each - 1)) for i in range(each)})
    return list(product(starts, starts))
