"""Makes the plan: every ``auto`` is decided here, once, from the scene, the model and the machine."""

from __future__ import annotations

from dataclasses import replace

from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice, make_lattice, round_up
from geoseg.geometry.tiles import TileGrid, chunk_side, make_tiles
from geoseg.inference import machine
from geoseg.inference.context_choice import Choice, choose_contexts
from geoseg.inference.costs import SLOTS, cost_of, memory_bytes, memory_to_give
from geoseg.inference.options import PlanOptions
from geoseg.inference.passes import Adaptive, ContextPass, Passes
from geoseg.inference.plan import Plan, PlannedContext
from geoseg.models.device import pick_device
from geoseg.models.source import ModelSource
from geoseg.raster.scene import SceneInfo

CROP_TILE, BLEND_TILE = 2048, 6144
"""Default core side, pixels. Blending recomputes a tile's rim, so its tiles are larger."""

CONFIDENT = 0.9
"""Mean probability of the winning class from which on an adaptive run leaves a patch as it is."""

_BATCH_PIXELS = {"cpu": 1_200_000, "cuda": 8_000_000}
"""Input pixels of a batch by device: enough to fill the machine, small enough for its memory."""


def make_plan(info: SceneInfo, model: ModelSource, options: PlanOptions) -> Plan:
    """The plan of one scene.

    Raises:
        PlanError: if the options cannot be met together or within the machine's memory.
    """
    options.check()
    options = replace(options, device=pick_device(options.device))
    notes = [*info.notes, *_dtype_notes(info, model)]
    planner = _Planner(info, model, options, halo=_halo(model, options, notes))
    choice = planner.choose()
    notes += choice.notes
    passes, grid = planner.passes(choice)
    if options.tile is not None and grid.core != (options.tile, options.tile) and grid.count > 1:
        unit = "cells" if passes.adaptive is None else "blocks"
        notes.append(f"tiles of {options.tile} px rounded to whole {unit}: {grid.core[0]} x {grid.core[1]} px")
    stride = grid.lattice.stride
    return Plan(
        recipe=info.recipe,
        stamp=info.stamp,
        geobox=info.geobox,
        dtype=info.dtype,
        valid_from=info.valid_from,
        model=model.name,
        model_digest=model.digest,
        legend=model.legend,
        contexts=tuple(
            PlannedContext(size=c.size, patch_size=c.lattice.patch, weight=c.weight, batch_size=c.batch_size)
            for c in passes.contexts
        ),
        chosen=choice.reason,
        adaptive=passes.adaptive,
        multiple=model.rule.multiple,
        halo=grid.lattice.rows.halo,
        cells=grid.cells,
        stitch=options.stitch,
        device=options.device,
        runtime="eager",
        threads=options.threads or machine.core_count(),
        slots=SLOTS,
        layers=options.layers,
        zarr_format=options.zarr_format,
        chunk=(chunk_side(stride[0]), chunk_side(stride[1])),
        cost=cost_of(passes, grid, model=model, info=info, layers=options.layers, device=options.device),
        notes=tuple(notes),
    )


class _Planner:
    """Contexts, lattices and tiles of one scene."""

    def __init__(self, info: SceneInfo, model: ModelSource, options: PlanOptions, *, halo: int) -> None:
        self._info, self._model, self._options, self._halo = info, model, options, halo

    def choose(self) -> Choice:
        """The contexts: the one that was asked for, or the card's best."""
        options = self._options
        if options.patch_size is not None:
            if options.contexts != 1:
                raise PlanError(
                    f"a patch size of {options.patch_size} px is one context, {options.contexts} were asked for: leave"
                    " --patch-size to auto, or leave out --contexts"
                )
            self._demand_memory(self._lattice(options.patch_size))
            return Choice(sizes=(options.patch_size,), weights=(1.0,), reason="asked for")
        choice = choose_contexts(
            self._model,
            contexts=options.contexts,
            fuse=options.fuse,
            lattice_of=self._lattice,
            fits=lambda lattice: options.device != "cpu" or self._need(lattice) <= memory_to_give(),
        )
        has_scores = self._model.calibration is not None or self._model.context_scores is not None
        return choice if has_scores else self._halved(choice)

    def passes(self, choice: Choice) -> tuple[Passes, TileGrid]:
        """The contexts with their lattices, and the tiles.

        The lattices are fitted to the default core, not to ``--tile``: tile size may not change a class.

        Raises:
            PlanError: if they need more memory than there is.
        """
        options = self._options
        first = self._lattice(choice.sizes[0])
        side = CROP_TILE if options.stitch == "crop" else BLEND_TILE
        if len(choice.sizes) > 1:
            side = max(side, *choice.sizes)  # or a larger context would be computed for every core it reaches
        block = make_tiles(first, stitch=options.stitch, tile=side)
        contexts = [ContextPass(size=choice.sizes[0], lattice=first, weight=choice.weights[0])]
        for size, weight in zip(choice.sizes[1:], choice.weights[1:], strict=True):
            lattice = self._lattice(size, core=block.core)
            if lattice.patch not in [c.lattice.patch for c in contexts]:  # fitted to the core, two may be one
                contexts.append(ContextPass(size=size, lattice=lattice, weight=weight))
        adaptive = None
        grid = block if options.tile is None else make_tiles(first, stitch=options.stitch, tile=options.tile)
        if options.contexts == "adaptive":
            adaptive = Adaptive(budget=options.budget, confident=CONFIDENT, block=block.cells)
            down, across = (max(1, round(n / b)) * b for n, b in zip(grid.cells, block.cells, strict=True))
            grid = replace(grid, cells=(down, across))
        passes = Passes(contexts=tuple(contexts), stitch=options.stitch, adaptive=adaptive)
        return self._batched(passes, grid), grid

    def _lattice(self, size: int, *, core: tuple[int, int] | None = None) -> Lattice:
        rule = self._model.rule
        lattice = make_lattice(
            self._info.geobox.shape,
            context=size,
            halo=self._halo,
            multiple=rule.multiple,
            exact=self._options.exact or bool(rule.only),
            least=rule.least,
            core=core,
        )
        for side in lattice.patch:
            reason = rule.refusal(side)
            if reason is not None:
                height, width = lattice.shape
                raise PlanError(f"a scene of {height} x {width} px would be cut into patches of {reason}")
        return lattice

    def _need(self, lattice: Lattice, *, batch: int = 1) -> int:
        """Bytes that one context alone needs."""
        contexts = (ContextPass(size=1, lattice=lattice, batch_size=batch),)
        return self._memory(Passes(contexts=contexts, stitch=self._options.stitch))

    def _memory(self, passes: Passes, grid: TileGrid | None = None) -> int:
        options = self._options
        if grid is None:
            side = options.tile or (CROP_TILE if options.stitch == "crop" else BLEND_TILE)
            grid = make_tiles(passes.contexts[0].lattice, stitch=options.stitch, tile=side)
        return memory_bytes(
            passes, grid, model=self._model, info=self._info, layers=options.layers, device=options.device
        )

    def _demand_memory(self, lattice: Lattice) -> None:
        need, have = self._need(lattice), memory_to_give()
        if self._options.device == "cpu" and need > have:
            raise PlanError(
                f"patches of {lattice.patch[0]} x {lattice.patch[1]} px need about {need / 1e9:.1f} GB, this machine"
                f" has {have / 1e9:.1f} GB to give; use a smaller --patch-size"
            )

    def _halved(self, choice: Choice) -> Choice:
        """A default context that memory does not take is halved until it does."""
        wanted = context = choice.sizes[0]
        while self._options.device == "cpu" and self._need(self._lattice(context)) > memory_to_give():
            smaller = round_up(context // 2, self._model.rule.multiple)
            if smaller <= 2 * self._halo or smaller >= context or self._model.rule.refusal(smaller) is not None:
                self._demand_memory(self._lattice(context))
            context = smaller
        if context == wanted:
            return choice
        note = f"context {context} instead of {wanted}: what this machine's memory takes"
        return replace(choice, sizes=(context,), notes=(*choice.notes, note))

    def _batched(self, passes: Passes, grid: TileGrid) -> Passes:
        """The passes with batches that together make a forward pass worth its while, within memory.

        Raises:
            PlanError: if what was asked for, or one patch at a time, needs more memory than there is.
        """
        options = self._options
        on_cpu, asked = options.device == "cpu", options.batch_size
        first = passes.contexts[0].lattice.patch
        pixels = _BATCH_PIXELS[options.device.split(":")[0]] if asked is None else asked * first[0] * first[1]
        most = (16 if on_cpu else 64) if asked is None else asked
        while True:
            sizes = [max(1, min(most, pixels // (c.lattice.patch[0] * c.lattice.patch[1]))) for c in passes.contexts]
            found = replace(
                passes,
                contexts=tuple(replace(c, batch_size=n) for c, n in zip(passes.contexts, sizes, strict=True)),
            )
            need, have = self._memory(found, grid), memory_to_give()
            if not on_cpu or need <= have:
                return found
            if asked is not None:
                raise PlanError(
                    f"batches of {asked} patches need about {need / 1e9:.1f} GB, this machine has {have / 1e9:.1f} GB"
                    " to give; use a smaller --batch-size"
                )
            if max(sizes) == 1:
                raise PlanError(
                    f"{len(sizes)} contexts in tiles of {grid.core[0]} x {grid.core[1]} px need about"
                    f" {need / 1e9:.1f} GB, this machine has {have / 1e9:.1f} GB to give; use a smaller --tile or fewer"
                    " --contexts"
                )
            pixels //= 2


def _dtype_notes(info: SceneInfo, model: ModelSource) -> list[str]:
    if model.dtype is None or model.dtype == info.dtype:
        return []
    note = (
        f"the scene is {info.dtype}, the model was trained on {model.dtype}: expect poor classes unless the values"
        f" have the same range (rescale the scene first, or train on {info.dtype})"
    )
    return [note]


def _halo(model: ModelSource, options: PlanOptions, notes: list[str]) -> int:
    multiple = model.rule.multiple
    if options.overlap is None:
        return round_up(model.halo, multiple)
    halo = round_up(-(-options.overlap // 2), multiple)
    if 2 * halo != options.overlap:
        notes.append(
            f"overlap of {options.overlap} px rounded up to {2 * halo}: twice the network's multiple of {multiple}"
        )
    return halo
