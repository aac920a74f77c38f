"""Makes the plan: every ``auto`` is decided here, once, from the scene, the model and the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from geoseg.choices import PLANNED_RUNTIMES
from geoseg.geometry.lattice import round_up
from geoseg.geometry.tiles import TileGrid, chunk_side
from geoseg.geometry.windows import sized
from geoseg.inference import machine
from geoseg.inference.alternatives import alternatives_of
from geoseg.inference.capacity import Capacity, capacity_here
from geoseg.inference.costs import cost_of
from geoseg.inference.known import Known, seamed, seams_of, speeds_of
from geoseg.inference.options import PlanOptions
from geoseg.inference.pass_planner import PassPlanner
from geoseg.inference.passes import Passes
from geoseg.inference.plan import Plan, PlannedContext
from geoseg.inference.runtime_choice import RuntimeChoice, choose_runtime
from geoseg.inference.tasks import SLOTS
from geoseg.inference.tile_mask import tiles_touched
from geoseg.models.source import ModelSource
from geoseg.raster.scene import SceneInfo

_BUSY = 0.8
"""Shares of the machine below this are told."""


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
    seams = seams_of(model)  # once: a probe that ends meanwhile changes no half of a plan
    halo = _halo(model, options, Known(seams=seams), notes)
    running = _running(info, model, options, capacity=has, halo=halo)
    notes += () if running.note is None else (running.note,)
    known = Known(seams=seams, speeds=speeds_of(model, capacity=has, runtime=running.runtime))
    timed = has.local and (known.speeds is not None or model.macs_per_pixel is not None)
    share = machine.free_share() if timed else 1.0
    planner = PassPlanner(
        info, model, options, capacity=has, halo=halo, runtime=running.runtime, known=known, share=share
    )
    choice = planner.choose()
    notes += choice.notes
    passes, grid = planner.passes(choice, notes)
    notes += _size_notes(passes, grid, options)
    notes += _halo_notes(passes, known, model=model, options=options)
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
        runtime=running.runtime,
        precision=running.precision,
        runtime_chosen=running.reason,
        threads=options.threads or has.threads,
        slots=SLOTS,
        layers=options.layers,
        temperature=model.temperature,
        zarr_format=options.zarr_format,
        chunk=(chunk_side(stride[0]), chunk_side(stride[1])),
        cost=cost_of(
            passes,
            grid,
            model=model,
            info=info,
            layers=options.layers,
            device=has.device,
            runtime=running.runtime,
            threads=options.threads or has.threads,
            known=known,
            seconds=planner.seconds(passes, grid),
        ),
        timing=_timing(known, share) if timed else "",
        alternatives=alternatives_of(choice, planner, known),
        notes=tuple(notes),
    )


def _running(
    info: SceneInfo,
    model: ModelSource,
    options: PlanOptions,
    *,
    capacity: Capacity,
    halo: Callable[[tuple[int, int]], int],
) -> RuntimeChoice:
    """What runs the network, decided on the patches that are chosen before speeds are known.

    They are nearly always those of the plan: which ones these are may depend on what runs them.

    Raises:
        PlanError, MissingExtraError: see ``choose_runtime``.
    """
    planner = PassPlanner(info, model, options, capacity=capacity, halo=halo, runtime="eager")
    passes, grid = planner.passes(planner.choose(), [])
    first = passes.contexts[0]
    rates = {
        runtime: Known(speeds=speeds_of(model, capacity=capacity, runtime=runtime)).seconds_per_pixel(
            first.lattice.patch, first.batch_size
        )
        for runtime in PLANNED_RUNTIMES
    }
    return choose_runtime(
        model,
        options,
        capacity=capacity,
        computed_pixels=tiles_touched(grid, info.recipe.aoi).computed_pixels(passes),
        shapes=len({c.lattice.patch for c in passes.contexts}),
        rates=rates,
    )


def _dtype_notes(info: SceneInfo, model: ModelSource) -> list[str]:
    if model.dtype is None or model.dtype == info.dtype:
        return []
    note = (
        f"the scene is {info.dtype}, the model was trained on {model.dtype}: expect poor classes unless the values"
        f" have the same range (rescale the scene first, or train on {info.dtype})"
    )
    return [note]


def _halo(model: ModelSource, options: PlanOptions, known: Known, notes: list[str]) -> Callable[[tuple[int, int]], int]:
    """The halo for patches of a (height, width): what was asked for, what a probe asks for, or the card's."""
    multiple = model.rule.multiple
    if options.overlap is None:
        own = round_up(model.halo, multiple)
        return lambda patch: own if (found := known.halo(patch)) is None else found
    halo = round_up(-(-options.overlap // 2), multiple)
    if 2 * halo != options.overlap:
        notes.append(
            f"overlap of {options.overlap} px rounded up to {2 * halo}: twice the network's multiple of {multiple}"
        )
    return lambda _: halo


def _size_notes(passes: Passes, grid: TileGrid, options: PlanOptions) -> list[str]:
    """Where a tile or an overlap that was asked for is not what there is."""
    notes = []
    asked = options.tile
    if asked is not None and grid.core != (asked, asked) and (grid.count > 1 or asked < max(grid.lattice.shape)):
        unit = "cells" if passes.adaptive is None else "blocks"
        notes.append(f"tiles of {asked} px rounded to whole {unit}: {sized(grid.core)} px")
    if options.overlap and all(context.lattice.count == 1 for context in passes.contexts):
        notes.append("the whole scene is one patch: no overlap")
    return notes


def _halo_notes(passes: Passes, known: Known, *, model: ModelSource, options: PlanOptions) -> list[str]:
    """Where a probe changed the halo, or could find none."""
    first = passes.contexts[0]
    halo, own = first.lattice.rows.halo, round_up(model.halo, model.rule.multiple)
    patch = seamed(first.lattice, first.size)
    differing = known.disagreement(patch, halo)
    if options.overlap is not None or known.seams is None or differing is None or first.lattice.count == 1:
        return []
    share = f"{differing:.2%} of classes are predicted to be unlike full-frame inference's"
    if known.halo(patch) is None:
        return [f"the probe found no halo that is worth its cost for patches this small, the card's is taken: {share}"]
    return [] if halo == own else [f"a halo of {halo} px by the probe, not the card's {own}: {share}"]


def _timing(known: Known, share: float) -> str:
    """What the predicted time rests on."""
    found = "by a probe" if known.speeds is not None else "roughly: `geoseg model probe` would tell"
    return found if share > _BUSY else f"{found}; other work leaves {share:.0%} of the machine now"
