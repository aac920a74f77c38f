"""The tiles that a run works on: all, or those that its area of interest touches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from geoseg.geometry.tiles import Tile, TileGrid
from geoseg.inference.passes import Passes
from geoseg.raster.aoi import AreaOfInterest, touched


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileMask:
    """Tiles of a grid, chosen or not."""

    grid: TileGrid
    chosen: npt.NDArray[np.bool_] | None
    """(rows, columns) of the grid; None = all tiles."""

    @property
    def count(self) -> int:
        """Number of chosen tiles."""
        return self.grid.count if self.chosen is None else int(self.chosen.sum())

    @property
    def pixels(self) -> int:
        """Pixels of their cores."""
        rows, cols = self.grid.spans()
        return self._sum([stop - start for start, stop in rows], [stop - start for start, stop in cols])

    def tiles(self) -> Iterator[Tile]:
        """The chosen tiles, row by row; each is worked out when asked for."""
        if self.chosen is None:
            return iter(self.grid)
        return (self.grid.tile(int(row), int(col)) for row, col in zip(*np.nonzero(self.chosen), strict=True))

    def patches(self, passes: Passes) -> int:
        """Patches of a run over the chosen tiles; where passes are adaptive, about those of the first pass."""
        if self.chosen is None or passes.adaptive is not None:
            return round(passes.patches(self.grid) * self._share())
        return sum(self._sum(*self.grid.patch_counts(c.lattice, passes.stitch)) for c in passes.contexts)

    def computed_pixels(self, passes: Passes) -> int:
        """Pixels of all network inputs of a run over the chosen tiles; where passes are adaptive, about the most."""
        if self.chosen is None or passes.adaptive is not None:
            return round(passes.computed_pixels(self.grid) * self._share())
        return sum(
            self._sum(*self.grid.patch_counts(c.lattice, passes.stitch)) * c.lattice.patch[0] * c.lattice.patch[1]
            for c in passes.contexts
        )

    def _share(self) -> float:
        return 1.0 if self.chosen is None else self.count / self.grid.count

    def _sum(self, rows: list[int], cols: list[int]) -> int:
        """Sum over the chosen tiles of a number per row of tiles times one per column."""
        if self.chosen is None:
            return sum(rows) * sum(cols)
        return int(np.array(rows) @ self.chosen.astype(np.int64) @ np.array(cols))


@lru_cache(maxsize=8)
def tiles_touched(grid: TileGrid, area: AreaOfInterest | None) -> TileMask:
    """The tiles whose cores an area touches; all where there is none."""
    return TileMask(grid=grid, chosen=None if area is None else touched(area, *grid.spans()))
