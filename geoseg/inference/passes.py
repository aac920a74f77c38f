"""The passes of a run: the contexts a tile is run at, each with its own lattice, and how their answers are fused.

The core of a tile is whole cells of the first context; the others' cells need not end where it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from geoseg.choices import Stitch
from geoseg.contexts.candidates import SizeRule
from geoseg.errors import PlanError
from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import Tile, TileGrid, tile_over
from geoseg.geometry.windows import Window, sized


def fit_lattice(
    shape: tuple[int, int],
    *,
    context: int,
    halo: int,
    rule: SizeRule,
    exact: bool = False,
    core: tuple[int, int] | None = None,
) -> Lattice:
    """The lattice of a context on a scene, of sides that the network takes.

    Args:
        shape: (height, width) of the scene, pixels.
        context: wanted patch side, pixels.
        halo: pixels at a patch's rim that are not trusted; rounded up to the network's multiple.
        rule: what the network takes; networks of fixed size get the context as it is.
        exact: take the context as the patch side as it is.
        core: as for :func:`geoseg.geometry.lattice.make_lattice`.

    Raises:
        PlanError: if the sizes cannot be met together, or the scene would be cut into a size that is not taken.
    """
    lattice = make_lattice(
        shape,
        context=context,
        halo=halo,
        multiple=rule.multiple,
        exact=exact or bool(rule.only),
        least=rule.least,
        core=core,
    )
    for side in lattice.patch:
        reason = rule.refusal(side)
        if reason is not None:
            raise PlanError(f"a scene of {sized(shape)} px would be cut into patches of {reason}")
    return lattice


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPass:
    """One context as it is run."""

    size: int
    """The context, pixels."""
    lattice: Lattice
    weight: float = 1.0
    """In the fusion, > 0."""
    batch_size: int = 1
    """Patches per forward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """How doubtful patches are run again: decided within blocks, which belong to the scene, not to tiles."""

    budget: float
    """Most that a block may cost, in units of its first pass; >= 1."""
    confident: float
    """Patches whose mean probability of the winning class is at least this are not run again."""
    block: tuple[int, int]
    """(rows, columns) of the first context's cells in a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """All contexts of a run, the first one first."""

    contexts: tuple[ContextPass, ...]
    stitch: Stitch
    adaptive: Adaptive | None = None

    def stitch_of(self, k: int) -> Stitch:
        """How the patches of context k join: what is run again answers for its own cells, so nothing overlaps."""
        return "crop" if self.adaptive is not None and k else self.stitch

    def tile(self, k: int, core: Window) -> Tile:
        """What context k has to do with a core."""
        return tile_over(self.contexts[k].lattice, core, stitch=self.stitch_of(k))

    def read(self, core: Window) -> Window:
        """The pixels that all contexts together need for a core: they are read once."""
        return reduce(Window.union, (self.tile(k, core).read for k in range(len(self.contexts))))

    def blocks(self, core: Window) -> Iterator[Window]:
        """The core, or, where passes are adaptive, its blocks."""
        if self.adaptive is None:
            yield core
            return
        high, wide = (
            cells * stride for cells, stride in zip(self.adaptive.block, self.contexts[0].lattice.stride, strict=True)
        )
        for top in range(core.row_off, core.row_stop, high):
            for left in range(core.col_off, core.col_stop, wide):
                yield Window.from_stops(
                    row_off=top,
                    col_off=left,
                    row_stop=min(top + high, core.row_stop),
                    col_stop=min(left + wide, core.col_stop),
                )

    def patches(self, grid: TileGrid) -> int:
        """Patches of a run over all tiles of a grid, rims included; where passes are adaptive, of its first pass."""
        if self.adaptive is not None:
            blocks = TileGrid(lattice=grid.lattice, stitch=grid.stitch, cells=self.adaptive.block)
            return blocks.patches
        return sum(grid.patches_of(c.lattice, self.stitch) for c in self.contexts)

    def computed_pixels(self, grid: TileGrid) -> int:
        """Pixels of all network inputs of a run, rims included; where passes are adaptive, the most there can be."""
        if self.adaptive is not None:
            blocks = TileGrid(lattice=grid.lattice, stitch=grid.stitch, cells=self.adaptive.block)
            return int(blocks.computed_pixels * self.adaptive.budget)
        sides = [(c.lattice, c.lattice.patch[0] * c.lattice.patch[1]) for c in self.contexts]
        return sum(grid.patches_of(lattice, self.stitch) * area for lattice, area in sides)
