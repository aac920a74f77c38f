"""Tiles: the lattice cut into units of work, retry and resume.

A tile's core is k x l whole cells. Tiles share nothing, so any order, any worker and any number of retries give the
same classes. Under ``crop`` each patch belongs to one tile; under blending a tile recomputes the patches on its rim.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from geoseg.choices import Stitch
from geoseg.geometry.lattice import Axis, Lattice
from geoseg.geometry.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One unit of work."""

    row: int
    """Row of the tile in its grid."""
    col: int
    """Column of the tile in its grid."""
    core: Window
    """The pixels the tile owns."""
    patch_rows: range
    """Patches of the row axis that have a say in the core."""
    patch_cols: range
    """Patches of the column axis that have a say in the core."""
    read: Window
    """What its patches reach, cut at the scene's edge, and the pixels their reflected rim repeats."""
    padded: Window
    """``read`` with the reflected rim right and below."""

    @property
    def key(self) -> str:
        """Name of the tile in stores and messages, e.g. ``"3.12"``."""
        return f"{self.row}.{self.col}"

    @property
    def patches(self) -> int:
        """Patches the tile computes."""
        return len(self.patch_rows) * len(self.patch_cols)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """All tiles of a scene; each is worked out when asked for, so a million of them cost nothing."""

    lattice: Lattice
    stitch: Stitch
    cells: tuple[int, int]
    """(rows, columns) of cells in a full core."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of tiles."""
        return -(-self.lattice.rows.count // self.cells[0]), -(-self.lattice.cols.count // self.cells[1])

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.shape[0] * self.shape[1]

    @property
    def core(self) -> tuple[int, int]:
        """(height, width) of a full core, pixels."""
        return self.cells[0] * self.lattice.stride[0], self.cells[1] * self.lattice.stride[1]

    @property
    def patches(self) -> int:
        """Patches computed over all tiles, recomputed rims included."""
        return self.patches_of(self.lattice, self.stitch)

    @property
    def computed_pixels(self) -> int:
        """Pixels of all network inputs, recomputed rims included."""
        return self.patches * self.lattice.patch[0] * self.lattice.patch[1]

    def patches_of(self, lattice: Lattice, stitch: Stitch) -> int:
        """Patches of another lattice of the same scene that these tiles' cores take, recomputed rims included."""
        rows, cols = self.patch_counts(lattice, stitch)
        return sum(rows) * sum(cols)

    def patch_counts(self, lattice: Lattice, stitch: Stitch) -> tuple[list[int], list[int]]:
        """Per row and per column of tiles, the rows and columns of patches of a lattice that their cores take."""
        rows, cols = (
            [len(axis.reaching(start, stop, stitch)) for start, stop in spans]
            for axis, spans in zip((lattice.rows, lattice.cols), self.spans(), strict=True)
        )
        return rows, cols

    def spans(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """[start, stop) of the cores, per row and per column of tiles."""
        rows, cols = ([self._core_span(which, i) for i in range(self.shape[which])] for which in (0, 1))
        return rows, cols

    def tile(self, row: int, col: int) -> Tile:
        """The tile at a row and column of the grid."""
        (top, bottom), (left, right) = self._core_span(0, row), self._core_span(1, col)
        core = Window.from_stops(row_off=top, col_off=left, row_stop=bottom, col_stop=right)
        return tile_over(self.lattice, core, stitch=self.stitch, row=row, col=col)

    def _core_span(self, which: int, index: int) -> tuple[int, int]:
        """[start, stop) of the cores at a row or column of the grid."""
        axis, cells = (self.lattice.rows, self.lattice.cols)[which], self.cells[which]
        return axis.cell(index * cells)[0], axis.cell(min((index + 1) * cells, axis.count) - 1)[1]

    def __iter__(self) -> Iterator[Tile]:
        rows, cols = self.shape
        return (self.tile(row, col) for row in range(rows) for col in range(cols))


def tile_over(lattice: Lattice, core: Window, *, stitch: Stitch, row: int = 0, col: int = 0) -> Tile:
    """What a lattice has to do with a core, which need not be whole cells of it.

    Args:
        lattice: the patches of one context.
        core: pixels of the scene.
        stitch: how patches join.
        row: of the tile in its grid.
        col: of the tile in its grid.
    """
    rows, cols = lattice.rows, lattice.cols
    patch_rows = rows.reaching(core.row_off, core.row_stop, stitch)
    patch_cols = cols.reaching(core.col_off, core.col_stop, stitch)
    padded = Window.from_stops(
        row_off=_first_read(rows, patch_rows),
        col_off=_first_read(cols, patch_cols),
        row_stop=rows.origin(patch_rows[-1]) + rows.side,
        col_stop=cols.origin(patch_cols[-1]) + cols.side,
    )
    read = padded.intersect(Window.whole(lattice.shape))
    return Tile(row=row, col=col, core=core, patch_rows=patch_rows, patch_cols=patch_cols, read=read, padded=padded)


def _first_read(axis: Axis, patches: range) -> int:
    """First pixel to read: the first patch's, or the one farthest from the end that the reflected rim repeats."""
    rim = axis.origin(patches[-1]) + axis.side - axis.length
    first = axis.origin(patches[0])
    return first if rim <= 0 else max(0, min(first, axis.length - 1 - rim))


def make_tiles(lattice: Lattice, *, stitch: Stitch, tile: int) -> TileGrid:
    """Tiles with cores of about ``tile`` pixels a side: at least one cell, whole cells, no more than there are."""

    def cells(axis: Axis) -> int:
        return max(1, min(axis.count, round(tile / axis.stride)))

    return TileGrid(lattice=lattice, stitch=stitch, cells=(cells(lattice.rows), cells(lattice.cols)))


def make_wide_tiles(lattice: Lattice, *, stitch: Stitch, tile: int) -> TileGrid:
    """Tiles for a scene that is stored in strips: as wide as the scene, of about as many pixels as square ones.

    A strip is decoded whole however little of it is read, so that square tiles decode it once for each of them. Where
    a single row of cells is more than one and a half times the pixels of a square tile it is cut, into as few as keep
    to that.
    """
    rows, cols = lattice.rows, lattice.cols
    pixels = tile * tile
    parts = -(-2 * rows.stride * cols.length // (3 * pixels))
    across = -(-cols.count // parts)
    down = max(1, min(rows.count, pixels // (rows.stride * min(cols.length, across * cols.stride))))
    return TileGrid(lattice=lattice, stitch=stitch, cells=(down, across))


def chunk_side(stride: int, *, least: int = 512) -> int:
    """Side of an inner chunk: ``stride / 2**j``, the largest j that leaves an integer >= ``least``; else the stride.

    Zarr demands that chunks divide shards, and a core is whole strides. Each chunk costs zarr, whatever its
    size: with those of 280 px a map of 10^8 took 7.2 s of processor time to write and turn into a COG, with 560 px
    4.9 s, with 1120 px 4.6 s (benchmarks/finishing.py).
    """
    while stride % 2 == 0 and stride // 2 >= least:
        stride //= 2
    return stride
