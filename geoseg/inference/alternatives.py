"""The best ways to run one context on a scene, and what speaks for each: what a plan shows beside its choice."""

from __future__ import annotations

from dataclasses import replace

from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import TileGrid
from geoseg.inference.context_choice import Choice, distinct
from geoseg.inference.foretold import Alternative
from geoseg.inference.known import Known, seamed
from geoseg.inference.pass_planner import PassPlanner
from geoseg.inference.passes import Passes

SHOWN = 3
"""How many, the chosen one among them."""


def alternatives_of(choice: Choice, planner: PassPlanner, known: Known) -> tuple[Alternative, ...]:
    """The first few of a ranking, the chosen one first; none where there was nothing to choose from.

    Args:
        choice: one context, with the ranking it was taken from.
        planner: of the scene.
        known: what probes say.
    """
    if len(choice.sizes) > 1 or len(choice.ranking) < 2:
        return ()
    found: list[Alternative] = []
    lattices: list[Lattice] = []
    for size, score in choice.ranking:
        if len(found) == SHOWN:
            break
        try:
            passes, grid = planner.passes(replace(choice, sizes=(size,), weights=(1.0,)), [])
        except PlanError:
            continue  # what one batch of it needs in tiles that were asked for is more than there is
        if len(distinct([*lattices, grid.lattice])) == len(lattices):
            continue  # fitted to this scene, the same patches as a better one's
        lattices.append(grid.lattice)
        found.append(_described(passes, grid, planner=planner, known=known, score=score))
    if len(found) < 2:
        return ()
    first = found[0].seconds
    return tuple(
        alternative
        if k == 0 or first is None or alternative.seconds is None
        else replace(alternative, why=f"{alternative.why}, {alternative.seconds - first:+.1f} s")
        for k, alternative in enumerate(found)
    )


def _described(passes: Passes, grid: TileGrid, *, planner: PassPlanner, known: Known, score: str) -> Alternative:
    context, halo = passes.contexts[0], grid.lattice.rows.halo
    seams = known.disagreement(seamed(context.lattice, context.size), halo) if grid.lattice.count > 1 else None
    pixels = grid.lattice.shape[0] * grid.lattice.shape[1]
    why = [score, f"computed/scene {passes.computed_pixels(grid) / pixels:.2f}"]
    if seams is not None:
        why.append(f"{seams:.2%} of classes unlike full-frame's")
    seconds = planner.seconds(passes, grid)
    return Alternative(
        size=context.size,
        patch_size=context.lattice.patch,
        halo=halo,
        batch_size=context.batch_size,
        tile=grid.core,
        seconds=None if seconds is None else round(seconds, 1),
        why=", ".join(why),
    )
