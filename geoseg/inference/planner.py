"""Makes the plan: every ``auto`` is decided here, once, from the scene, the model and the machine."""

from __future__ import annotations

from dataclasses import replace

from geoseg.geometry.lattice import round_up
from geoseg.geometry.tiles import chunk_side
from geoseg.inference.capacity import Capacity, capacity_here
from geoseg.inference.costs import cost_of
from geoseg.inference.options import PlanOptions
from geoseg.inference.pass_planner import PassPlanner
from geoseg.inference.plan import Plan, PlannedContext
from geoseg.inference.runtime_choice import choose_runtime
from geoseg.inference.tasks import SLOTS
from geoseg.inference.tile_mask import tiles_touched
from geoseg.models.source import ModelSource
from geoseg.raster.scene import SceneInfo


def make_plan(info: SceneInfo, model: ModelSource, options: PlanOptions, *, capacity: Capacity | None = None) -> Plan:
    """The plan of one scene.

    Args:
        info: the scene.
        model: the network and what its card says.
        options: what was asked for.
        capacity: what the smallest worker has; None: what this process has.

    Raises:
        PlanError: if the options cannot be met together or within the workers' memory.
        MissingExtraError: if the runtime that was asked for is not installed.
    """
    options.check()
    has = capacity or capacity_here(options.device)
    options = replace(options, device=has.device)
    notes = [*info.notes, *_dtype_notes(info, model)]
    planner = PassPlanner(info, model, options, capacity=has, halo=_halo(model, options, notes))
    choice = planner.choose()
    notes += choice.notes
    passes, grid = planner.passes(choice, notes)
    if options.tile is not None and grid.core != (options.tile, options.tile) and grid.count > 1:
        unit = "cells" if passes.adaptive is None else "blocks"
        notes.append(f"tiles of {options.tile} px rounded to whole {unit}: {grid.core[0]} x {grid.core[1]} px")
    stride = grid.lattice.stride
    running = choose_runtime(
        model,
        options,
        capacity=has,
        computed_pixels=tiles_touched(grid, info.recipe.aoi).computed_pixels(passes),
        shapes=len({c.lattice.patch for c in passes.contexts}),
    )
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
        runtime=running.runtime,
        precision=running.precision,
        runtime_chosen=running.reason,
        threads=options.threads or has.threads,
        slots=SLOTS,
        layers=options.layers,
        zarr_format=options.zarr_format,
        chunk=(chunk_side(stride[0]), chunk_side(stride[1])),
        cost=cost_of(
            passes,
            grid,
            model=model,
            info=info,
            layers=options.layers,
            device=has.device,
            running=running,
        ),
        notes=tuple(notes),
    )


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
