"""From the logits of patches to the classes of a tile: a weighted sum, by the lattice's partition of unity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from geoseg.errors import PlanError
from geoseg.geometry.tiles import Tile, TileGrid
from geoseg.geometry.windows import Window
from geoseg.inference.layers import Layers
from geoseg.legend import IGNORE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileResult:
    """The stitched layers of one tile's core; nodata is 255 in the uint8 ones."""

    classes: npt.NDArray[np.uint8]
    """(h, w) class ids."""
    confidence: npt.NDArray[np.uint8] | None = None
    """(h, w) percent."""
    probabilities: npt.NDArray[np.uint8] | None = None
    """(K, h, w) percent."""


class Stitcher:
    """Collects the patches of one tile, in lattice order.

    Under ``crop`` every patch is final the moment it arrives and only uint8 is kept; under blending a (K, p, w) sum
    rolls down the core. It runs in lattice order whatever the tile, so tile size cannot change its rounding.
    """

    def __init__(
        self,
        grid: TileGrid,
        tile: Tile,
        *,
        layers: Layers,
        ids: tuple[int, ...] | None = None,
        keep_logits: bool = False,
    ) -> None:
        """Starts empty.

        Args:
            grid: the tiles of the scene.
            tile: the one to be stitched.
            layers: what is wanted beside the classes.
            ids: class id of each channel; None means the channel's own number.
            keep_logits: sum the logits of the core under ``crop`` too, for :meth:`stitched_logits`.
        """
        self._grid, self._tile, self._layers = grid, tile, layers
        self._keep_logits = keep_logits
        contiguous = ids is None or ids == tuple(range(len(ids)))
        self._ids = None if contiguous or ids is None else torch.tensor(ids, dtype=torch.uint8)
        height, width = tile.core.shape
        self._classes = torch.full((height, width), IGNORE, dtype=torch.uint8)
        self._confidence = torch.full((height, width), IGNORE, dtype=torch.uint8) if layers.confidence else None
        self._probabilities: torch.Tensor | None = None
        self._sum: torch.Tensor | None = None
        self._first = 0  # row of the core that the sum's first row is

    def part(self, i: int, j: int) -> Window:
        """The pixels of the core that patch (i, j) has a say in."""
        (top, bottom), (left, right) = self._spans(i, j)
        return Window.from_stops(row_off=top, col_off=left, row_stop=bottom, col_stop=right).intersect(self._tile.core)

    def add(self, i: int, j: int, logits: torch.Tensor) -> None:
        """Takes the logits (K, p, p) of patch (i, j).

        Raises:
            PlanError: if K is more than ids there are.
        """
        if logits.shape[0] > IGNORE:
            raise PlanError(f"the network has {logits.shape[0]} channels, class maps hold {IGNORE} classes at most")
        lattice = self._grid.lattice
        part = self.part(i, j)
        top, left = part.row_off - lattice.rows.origin(i), part.col_off - lattice.cols.origin(j)
        inner = logits[:, top : top + part.height, left : left + part.width]
        rows, cols = part.within(self._tile.core)
        if self._grid.stitch == "crop" and not self._keep_logits:
            self._decide(inner, rows, cols)
            return
        if self._sum is None:
            height, width = self._tile.core.shape
            height = height if self._keep_logits else min(height, lattice.rows.side)
            self._sum = logits.new_zeros((logits.shape[0], height, width))
        if not self._keep_logits:
            self._advance(rows.start)
        weights = self._weights(i, j, part).to(logits.device)
        self._sum[:, rows.start - self._first : rows.stop - self._first, cols].add_(inner * weights)

    def _advance(self, first: int) -> None:
        """Decides the core's rows above ``first``: patches come in lattice order, so nothing is added to them any more.

        Only as many rows as a patch has are summed at once, however tall the core.
        """
        assert self._sum is not None
        ready = first - self._first
        if ready <= 0:
            return
        held = self._sum.shape[1]
        count = min(ready, held)
        self._decide(self._sum[:, :count], slice(self._first, self._first + count), slice(None))
        if count < held:
            self._sum[:, : held - count] = self._sum[:, count:].clone()
        self._sum[:, held - count :] = 0
        self._first = first

    def stitched_logits(self) -> npt.NDArray[np.float32]:
        """The summed logits of the core, (K, h, w); only after ``keep_logits`` and at least one patch."""
        assert self._sum is not None
        return np.asarray(self._sum.cpu().numpy())

    def finish(self, valid: npt.NDArray[np.bool_]) -> TileResult:
        """The layers of the core; ``valid`` (h, w) of the core, its False pixels become nodata."""
        if self._sum is not None:
            rest = min(self._sum.shape[1], self._tile.core.height - self._first)
            self._decide(self._sum[:, :rest], slice(self._first, self._first + rest), slice(None))
        invalid = ~valid
        classes = self._classes.numpy()
        classes[invalid] = IGNORE
        confidence = None if self._confidence is None else self._confidence.numpy()
        if confidence is not None:
            confidence[invalid] = IGNORE
        probabilities = None if self._probabilities is None else self._probabilities.numpy()
        if probabilities is not None:
            probabilities[:, invalid] = IGNORE
        return TileResult(classes=classes, confidence=confidence, probabilities=probabilities)

    def _weights(self, i: int, j: int, part: Window) -> torch.Tensor:
        """The two-dimensional weights of patch (i, j) at ``part``."""
        lattice, stitch = self._grid.lattice, self._grid.stitch
        (top, _), (left, _) = self._spans(i, j)
        down = torch.from_numpy(lattice.rows.weights(i, stitch)[part.row_off - top :][: part.height])
        across = torch.from_numpy(lattice.cols.weights(j, stitch)[part.col_off - left :][: part.width])
        return down[:, None] * across[None, :]

    def _spans(self, i: int, j: int) -> tuple[tuple[int, int], tuple[int, int]]:
        lattice, stitch = self._grid.lattice, self._grid.stitch
        return lattice.rows.span(i, stitch), lattice.cols.span(j, stitch)

    def _decide(self, logits: torch.Tensor, rows: slice, cols: slice) -> None:
        """Classes, confidence and probabilities of finished logits (K, h, w); ties go to the lower channel."""
        best, winner = logits.max(dim=0)
        winner = winner.to(torch.uint8)
        if self._ids is not None:
            winner = self._ids.to(winner.device)[winner.long()]
        self._classes[rows, cols] = winner.cpu()
        if self._confidence is not None:
            share = torch.exp(logits - best).sum(dim=0).reciprocal_()  # softmax of the winner
            self._confidence[rows, cols] = (share * 100).round_().to(torch.uint8).cpu()
        if self._layers.probabilities:
            if self._probabilities is None:
                shape = (logits.shape[0], *self._tile.core.shape)
                self._probabilities = torch.full(shape, IGNORE, dtype=torch.uint8)
            percent = torch.softmax(logits, dim=0).mul_(100).round_().to(torch.uint8)
            self._probabilities[:, rows, cols] = percent.cpu()
