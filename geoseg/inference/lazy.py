"""A plan as a lazy Dask array: one chunk per tile, computed by whatever scheduler asks for it. Nothing is stored."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.choices import LazyLayer
from geoseg.errors import BundleError, GeosegError
from geoseg.inference.devices import slot
from geoseg.inference.plan import Plan
from geoseg.inference.tilework import segment
from geoseg.legend import IGNORE
from geoseg.models.source import ModelRecipe, ModelSource


@dataclass(frozen=True, kw_only=True, eq=False)
class LazyWork:
    """What every tile of a lazy array needs; it stands in the graph once, without handles or weights."""

    plan: Plan
    model: ModelRecipe
    layer: LazyLayer
    process: int
    """The process that made it: the only one that has a caller's module."""

    def __call__(self, row: int, col: int) -> npt.NDArray[np.uint8]:
        """The layer (height, width) of a tile's core.

        Raises:
            SceneReadError: if the scene cannot be read.
            BundleError: if the model is another, or a module that only its own process has.
        """
        if self.model.path is None and os.getpid() != self.process:
            raise BundleError(
                "a torch.nn.Module exists in its own process only: compute with threads, or save it as a bundle"
            )
        with slot(self.plan.slots):
            result, _ = segment(self.plan, self.model, self.plan.grid.tile(row, col))
        found = result.classes if self.layer == "classes" else result.confidence
        assert found is not None
        return found


def lazy_tiles(plan: Plan, model: ModelSource, *, layer: LazyLayer = "classes") -> Any:
    """The layer as a ``dask.array`` (height, width) of uint8, named after the plan's digest.

    Tiles that the run would not work on are 255 and cost nothing. A module is forgotten when the last array that came
    of it is gone.
    """
    import dask.array
    from dask.highlevelgraph import HighLevelGraph

    grid = plan.grid
    rows, cols = grid.shape
    heights = tuple(grid.tile(row, 0).core.height for row in range(rows))
    widths = tuple(grid.tile(0, col).core.width for col in range(cols))
    name, common = f"geoseg-{layer}-{plan.digest}", f"geoseg-plan-{layer}-{plan.digest}"
    work = LazyWork(plan=plan, model=model.recipe, layer=layer, process=os.getpid())
    if model.path is None:
        weakref.finalize(work, model.release)
    graph: dict[Any, Any] = {
        (name, row, col): (_nothing, heights[row], widths[col]) for row in range(rows) for col in range(cols)
    }
    graph |= {(name, tile.row, tile.col): (_tile, common, tile.row, tile.col) for tile in plan.tiles()}
    graph[common] = work
    return dask.array.Array(  # type: ignore[no-untyped-call]
        HighLevelGraph.from_collections(name, graph, dependencies=[]),
        name,
        chunks=(heights, widths),
        dtype=np.uint8,
        meta=np.empty((0, 0), np.uint8),
    )


def _tile(work: Callable[[int, int], npt.NDArray[np.uint8]], row: int, col: int) -> npt.NDArray[np.uint8]:
    """A tile; its errors lose what caused them: GDAL's own, which cannot be pickled."""
    try:
        return work(row, col)
    except GeosegError as error:
        failure = type(error)(str(error))
    raise failure


def _nothing(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.full((height, width), IGNORE, np.uint8)
