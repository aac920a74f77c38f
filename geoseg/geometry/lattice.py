"""The lattice: which patches a scene is cut into, and which pixels each patch answers for.

It belongs to the scene, not to tiles, so how the work is divided can never change the result. One :class:`Axis` per
direction; everything two-dimensional is a product of two axes.

Per axis of length L, with the network's multiple m, halo h (a multiple of m) and patch p (a multiple of m):

- L' is L rounded up to m (the scene is reflected on its right and bottom by less than m pixels);
- the stride is s = p - 2h, and there are n = ceil(L / s) *cells* ``[i*s, min((i+1)*s, L))``;
- cell i is predicted by the patch at ``clamp(i*s - h, 0, L' - p)``.

So every origin is a multiple of m (pooled networks are equivariant to no other shift), a patch edge that is the
scene's edge is exactly that, and every cell lies at least h inside each patch edge that is not. If L' <= p there is
one patch of L'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.choices import Stitch
from geoseg.errors import PlanError


def round_up(value: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is >= ``value``."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One direction of a lattice.

    Raises:
        PlanError: if the patch or the halo is no multiple of ``multiple``, or the halo leaves no cell.
    """

    length: int
    """L: pixels of the scene, >= 1."""
    patch: int
    """p: wanted side of a patch, pixels; :attr:`side` is what the network gets."""
    halo: int
    """h: pixels at a patch's rim that are not trusted; overlap = 2h."""
    multiple: int = 1
    """m: sides and origins of patches are multiples of it."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.multiple < 1 or self.halo < 0:
            raise PlanError(f"length {self.length}, multiple {self.multiple}, halo {self.halo}: impossible")
        if self.patch < 1 or self.patch % self.multiple:
            below = self.patch // self.multiple * self.multiple
            near = [v for v in (below, below + self.multiple) if v > 0]
            raise PlanError(
                f"a patch of {self.patch} px does not fit the network: its sides are multiples of {self.multiple};"
                f" use {' or '.join(str(v) for v in near)}"
            )
        if self.halo % self.multiple:
            raise PlanError(f"a halo of {self.halo} px is no multiple of the network's {self.multiple}")
        if self.padded > self.patch and self.patch <= 2 * self.halo:
            raise PlanError(
                f"a patch of {self.patch} px leaves nothing inside an overlap of {2 * self.halo} px;"
                f" use patches of more than {2 * self.halo} px or a smaller overlap"
            )

    @property
    def padded(self) -> int:
        """L': the length the network sees."""
        return round_up(self.length, self.multiple)

    @property
    def side(self) -> int:
        """Side of every patch on this axis: p, or L' where the whole axis is one patch."""
        return min(self.patch, self.padded)

    @property
    def stride(self) -> int:
        """s: side of a full cell; the whole axis where there is one patch."""
        return self.padded if self.padded <= self.patch else self.patch - 2 * self.halo

    @property
    def count(self) -> int:
        """n: number of cells, and of patches."""
        return -(-self.length // self.stride)

    def cell(self, i: int) -> tuple[int, int]:
        """[start, stop) of cell i, pixels of the scene."""
        return i * self.stride, min((i + 1) * self.stride, self.length)

    def origin(self, i: int) -> int:
        """First pixel of patch i; ``origin + side`` may pass the scene's end by less than m (reflected)."""
        return max(0, min(i * self.stride - self.halo, self.padded - self.side))

    def span(self, i: int, stitch: Stitch) -> tuple[int, int]:
        """[start, stop) of the pixels patch i has a say in: its cell under ``crop``, all it sees otherwise."""
        if stitch == "crop":
            return self.cell(i)
        return self.origin(i), min(self.origin(i) + self.side, self.length)

    def reaching(self, start: int, stop: int, stitch: Stitch) -> range:
        """The patches that have a say in the pixels [start, stop), in order; a run without gaps."""
        first, last = start // self.stride, min(-(-stop // self.stride), self.count)
        if stitch == "crop":
            return range(first, last)
        while first > 0 and self.span(first - 1, stitch)[1] > start:
            first -= 1
        while last < self.count and self.span(last, stitch)[0] < stop:
            last += 1
        return range(first, last)

    def weights(self, i: int, stitch: Stitch) -> npt.NDArray[np.float32]:
        """Weight of patch i at each pixel of its :meth:`span`; over all patches they sum to 1 at every pixel.

        That partition of unity is why stitching is a plain weighted sum: no hit counts, no division, no dead corner.
        ``crop`` is 1 on the cell, ``average`` is the paper's mean of all patches (Nogueira et al. 2019), ``hann``
        and ``gaussian`` (sigma = side / 8, as MONAI's) favour a patch's middle.
        """
        start, stop = self.span(i, stitch)
        if stitch == "crop":
            return np.ones(stop - start, np.float32)
        total = np.zeros(stop - start, np.float64)
        own = total
        for j in self.reaching(start, stop, stitch):
            low, high = self.span(j, stitch)
            low, high = max(low, start), min(high, stop)
            part = _profile(self.side, stitch)[low - self.origin(j) : high - self.origin(j)]
            total[low - start : high - start] += part
            if j == i:
                own = part
        return (own / total).astype(np.float32)


def _profile(side: int, stitch: Stitch) -> npt.NDArray[np.float64]:
    """An unnormalised weight for each pixel of a patch, positive everywhere."""
    position = (np.arange(side) + 0.5) / side
    if stitch == "hann":
        return np.asarray(np.sin(np.pi * position) ** 2)
    if stitch == "gaussian":
        return np.asarray(np.exp(-0.5 * ((position - 0.5) * 8) ** 2))
    return np.ones(side)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """All cells and patches of a scene: the product of its axes, rows first."""

    rows: Axis
    cols: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the scene, pixels."""
        return self.rows.length, self.cols.length

    @property
    def patch(self) -> tuple[int, int]:
        """(height, width) of every patch, pixels."""
        return self.rows.side, self.cols.side

    @property
    def stride(self) -> tuple[int, int]:
        """(height, width) of a full cell, pixels."""
        return self.rows.stride, self.cols.stride

    @property
    def count(self) -> int:
        """Number of patches."""
        return self.rows.count * self.cols.count
