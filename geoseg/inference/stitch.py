"""From the logits of patches to finished logits of a tile: a weighted sum, by the lattice's partition of unity."""

from __future__ import annotations

from collections.abc import Callable

from geoseg.choices import Stitch
from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import Tile
from geoseg.geometry.windows import Window
from geoseg.inference.arrays import Array, beside, duplicate, zeros
from geoseg.legend import IGNORE

Sink = Callable[[Array, slice, slice], None]
"""Takes finished logits (K, h, w) and the rows and columns of the core where they lie."""


class Stitcher:
    """Collects the patches of one tile, in lattice order, and hands on what is finished.

    Under ``crop`` every patch is final the moment it arrives; under blending a (K, p, w) sum rolls down the core. It
    runs in lattice order whatever the tile, so tile size cannot change its rounding.

    Args:
        lattice: the patches of the scene.
        tile: what the lattice has to do with the core.
        stitch: how patches join.
        sink: takes what is finished; every pixel of a patch's part once.
    """

    def __init__(self, lattice: Lattice, tile: Tile, *, stitch: Stitch, sink: Sink) -> None:
        self._lattice, self._tile, self._stitch, self._sink = lattice, tile, stitch, sink
        self._sum: Array | None = None
        self._first = 0  # row of the core that the sum's first row is

    def part(self, i: int, j: int) -> Window:
        """The pixels of the core that patch (i, j) has a say in."""
        (top, bottom), (left, right) = self._spans(i, j)
        return Window.from_stops(row_off=top, col_off=left, row_stop=bottom, col_stop=right).intersect(self._tile.core)

    def add(self, i: int, j: int, logits: Array) -> None:
        """Takes the logits (K, p, p) of patch (i, j).

        Raises:
            PlanError: if K is more than ids there are.
        """
        if logits.shape[0] > IGNORE:
            raise PlanError(f"the network has {logits.shape[0]} channels, class maps hold {IGNORE} classes at most")
        part = self.part(i, j)
        top, left = part.row_off - self._lattice.rows.origin(i), part.col_off - self._lattice.cols.origin(j)
        inner = logits[:, top : top + part.height, left : left + part.width]
        rows, cols = part.within(self._tile.core)
        if self._stitch == "crop":
            self._sink(inner, rows, cols)
            return
        if self._sum is None:
            height, width = self._tile.core.shape
            shape = (logits.shape[0], min(height, self._lattice.rows.side), width)
            self._sum = zeros(shape, like=logits)
        self._advance(rows.start)
        weights = self._weights(i, j, part, like=logits)
        self._sum[:, rows.start - self._first : rows.stop - self._first, cols] += inner * weights

    def finish(self) -> None:
        """Hands on what is left, after the last patch."""
        if self._sum is not None:
            rest = min(self._sum.shape[1], self._tile.core.height - self._first)
            self._sink(self._sum[:, :rest], slice(self._first, self._first + rest), slice(0, self._sum.shape[2]))

    def _advance(self, first: int) -> None:
        """Hands on the core's rows above ``first``: patches come in lattice order, so nothing more is added to them.

        Only as many rows as a patch has are summed at once, however tall the core.
        """
        assert self._sum is not None
        ready = first - self._first
        if ready <= 0:
            return
        held = self._sum.shape[1]
        count = min(ready, held)
        self._sink(self._sum[:, :count], slice(self._first, self._first + count), slice(0, self._sum.shape[2]))
        if count < held:
            self._sum[:, : held - count] = duplicate(self._sum[:, count:])  # it overlaps where it goes
        self._sum[:, held - count :] = 0.0
        self._first = first

    def _weights(self, i: int, j: int, part: Window, *, like: Array) -> Array:
        """The two-dimensional weights of patch (i, j) at ``part``, where ``like`` is."""
        (top, _), (left, _) = self._spans(i, j)
        down = self._lattice.rows.weights(i, self._stitch)[part.row_off - top :][: part.height]
        across = self._lattice.cols.weights(j, self._stitch)[part.col_off - left :][: part.width]
        return beside(down[:, None] * across[None, :], like)

    def _spans(self, i: int, j: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return self._lattice.rows.span(i, self._stitch), self._lattice.cols.span(j, self._stitch)
