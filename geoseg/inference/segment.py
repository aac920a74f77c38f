"""One tile: stored pixels in, classes out. Plain arrays and a predictor; no raster, no Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import Tile
from geoseg.geometry.windows import Window
from geoseg.inference.decide import Decider, TileResult
from geoseg.inference.fusion import Fusion
from geoseg.inference.lanes import Lanes
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Passes
from geoseg.inference.stitch import Stitcher
from geoseg.models.runtimes.base import Predictor, decides


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TilePixels:
    """What was read for a tile."""

    pixels: npt.NDArray[np.generic]
    """(C, h, w) as stored."""
    valid: npt.NDArray[np.bool_]
    """(h, w), True = data."""
    window: Window
    """Where it lies in the scene."""

    def padded(self, tile: Tile) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        """Pixels and validity of ``tile.padded``."""
        rows, cols = tile.read.within(self.window)
        return reflect_rim(
            self.pixels[:, rows, cols], self.valid[rows, cols], height=tile.padded.height, width=tile.padded.width
        )

    def valid_in(self, window: Window) -> npt.NDArray[np.bool_]:
        """Validity of a window of the scene that was read."""
        return self.valid[window.within(self.window)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs patches, and may be told to stop."""

    predictor: Predictor
    check_stop: Callable[[], None] = lambda: None
    """Called between batches; raises to stop."""
    lanes: Lanes | None = None
    """Where batches are run, some ahead of what is stitched, by a predictor that takes several callers; None: here."""

    def run(
        self,
        patches: Iterable[tuple[int, int]],
        source: TilePixels,
        tile: Tile,
        *,
        lattice: Lattice,
        stitcher: Stitcher,
        batch_size: int,
        ask: Callable[..., Any] | None = None,
    ) -> int:
        """Runs patches (row, column), in lattice order, into a stitcher; gives the pixels it took.

        ``ask`` is what the predictor is asked: its ``logits``, unless it is another method of it.
        """
        pixels, valid = source.padded(tile)
        rows, cols = lattice.rows, lattice.cols

        def answer(batch: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], Any]:
            slices = []
            for i, j in batch:
                top, left = rows.origin(i) - tile.padded.row_off, cols.origin(j) - tile.padded.col_off
                slices.append((slice(top, top + rows.side), slice(left, left + cols.side)))
            return batch, (ask or self.predictor.logits)(
                np.stack([pixels[:, down, across] for down, across in slices]),
                np.stack([valid[down, across] for down, across in slices]),
            )

        count = 0
        batches = self._stoppable(_batches(patches, batch_size))
        for batch, answers in map(answer, batches) if self.lanes is None else self.lanes.run(answer, batches):
            for (i, j), found in zip(batch, answers, strict=True):
                stitcher.add(i, j, found)
            count += len(batch)
        stitcher.finish()
        return count * rows.side * cols.side

    def _stoppable(self, batches: Iterable[list[tuple[int, int]]]) -> Iterator[list[tuple[int, int]]]:
        for batch in batches:
            self.check_stop()
            yield batch


def segment_tile(
    source: TilePixels,
    core: Window,
    *,
    passes: Passes,
    engine: Engine,
    layers: Layers | None = None,
    ids: tuple[int, ...] | None = None,
    temperature: float = 1.0,
) -> TileResult:
    """The layers of a tile's core.

    Patches without a valid pixel to answer for never reach the network; leaving them out changes no other patch.

    Args:
        source: at least ``passes.read(core)``.
        core: the pixels that are asked for.
        passes: contexts, lattices and how they are fused.
        engine: runs the patches.
        layers: what is wanted beside the classes.
        ids: class id of each channel; None means the channel's own number.
        temperature: see ``Decider``. Contexts are fused, and doubted, without it: it changes no class.
    """
    layers = layers or Layers()
    decider = Decider(core.shape, layers=layers, ids=ids, temperature=temperature)
    valid = source.valid_in(core)
    if len(passes.contexts) == 1 and passes.adaptive is None:
        ask, sink = _asked(engine.predictor, passes, layers, decider)
        spent = run_pass(0, source, core, passes=passes, engine=engine, sink=sink, ask=ask)
        alone = np.ones(core.shape, np.uint8) if layers.contexts else None
        return decider.finish(valid, contexts=alone, computed_pixels=spent)
    contexts = np.zeros(core.shape, np.uint8)
    spent = 0
    for block in passes.blocks(core):
        fusion = Fusion(block.shape)
        first = 1 if passes.adaptive is not None else len(passes.contexts)
        used = 0
        for k in range(first):
            sink = partial(fusion.add, k, passes.contexts[k].weight)
            used += run_pass(k, source, block, passes=passes, engine=engine, sink=sink)
        if passes.adaptive is not None:
            used += _run_again(source, block, passes=passes, engine=engine, fusion=fusion, first_pass=used)
        rows, cols = block.within(core)
        fusion.decide(decider, rows, cols)
        contexts[rows, cols] = fusion.contexts
        spent += used
    return decider.finish(valid, contexts=contexts if layers.contexts else None, computed_pixels=spent)


def reflect_rim(
    pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], *, height: int, width: int
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Pixels (C, h, w) and valid (h, w) grown to ``height`` x ``width`` by reflection on the right and bottom.

    As NumPy's ``reflect``: the edge pixel is not repeated, and a rim wider than the scene folds back and forth
    (PyTorch's refuses that).
    """
    down, across = height - valid.shape[0], width - valid.shape[1]
    if down == 0 and across == 0:
        return pixels, valid
    rim = ((0, down), (0, across))
    return np.pad(pixels, ((0, 0), *rim), mode="reflect"), np.pad(valid, rim, mode="reflect")


def run_pass(
    k: int,
    source: TilePixels,
    block: Window,
    *,
    passes: Passes,
    engine: Engine,
    sink: Callable[..., None],
    ask: Callable[..., Any] | None = None,
) -> int:
    """All patches of context k over a block; gives the pixels it took.

    Args:
        k: which of the contexts.
        source: at least ``passes.read(block)``.
        block: the pixels that are asked for.
        passes: contexts and lattices.
        engine: runs the patches.
        sink: takes finished logits (K, h, w), and the rows and columns of the block that they are of.
        ask: see ``Engine.run``.
    """
    context, tile = passes.contexts[k], passes.tile(k, block)
    stitcher = Stitcher(context.lattice, tile, stitch=passes.stitch_of(k), sink=sink)
    wanted = _patches_with_data(source, tile, stitcher)
    return engine.run(
        wanted, source, tile, lattice=context.lattice, stitcher=stitcher, batch_size=context.batch_size, ask=ask
    )


def _asked(
    predictor: Predictor, passes: Passes, layers: Layers, decider: Decider
) -> tuple[Callable[..., Any], Callable[..., None]]:
    """What to ask the predictor, and who takes the answers: where no sums are made of logits, winners are enough."""
    plain = passes.stitch_of(0) == "crop" and not (layers.confidence or layers.probabilities)
    if plain and decides(predictor):
        return predictor.winners, decider.take
    return predictor.logits, decider


def _run_again(
    source: TilePixels, block: Window, *, passes: Passes, engine: Engine, fusion: Fusion, first_pass: int
) -> int:
    """Runs the least confident patches again, context after context, as far as the budget goes.

    What is run again depends on the block alone: on the confidence over each patch's own part of it, ties in lattice
    order. So tiles, workers and retries change nothing.
    """
    assert passes.adaptive is not None
    left = int((passes.adaptive.budget - 1) * first_pass)
    spent = 0
    for k in range(1, len(passes.contexts)):
        context, tile = passes.contexts[k], passes.tile(k, block)
        area = context.lattice.patch[0] * context.lattice.patch[1]
        if area > left:
            continue
        sink = partial(fusion.add, k, context.weight)
        stitcher = Stitcher(context.lattice, tile, stitch=passes.stitch_of(k), sink=sink)
        confidence = fusion.confidence()
        doubts = []
        for i, j in _patches_with_data(source, tile, stitcher):
            part = stitcher.part(i, j)
            known = source.valid_in(part)
            mean = float(confidence[part.within(block)][known].mean(dtype=np.float64))
            if mean < passes.adaptive.confident:
                doubts.append((mean, i, j))
        chosen = sorted((i, j) for _, i, j in sorted(doubts)[: left // area])
        used = engine.run(
            chosen, source, tile, lattice=context.lattice, stitcher=stitcher, batch_size=context.batch_size
        )
        spent, left = spent + used, left - used
    return spent


def _patches_with_data(source: TilePixels, tile: Tile, stitcher: Stitcher) -> Iterator[tuple[int, int]]:
    """The patches of a tile, in lattice order, that have a say in at least one valid pixel."""
    everything = bool(source.valid_in(tile.core).all())
    for i in tile.patch_rows:
        for j in tile.patch_cols:
            if everything or source.valid_in(stitcher.part(i, j)).any():
                yield i, j


def _batches(patches: Iterable[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    batch: list[tuple[int, int]] = []
    for patch in patches:
        batch.append(patch)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
