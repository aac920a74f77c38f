"""The unfinished store of a run: made with its plan inside, found again by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from geoseg.errors import PlanError, SceneReadError
from geoseg.inference import machine
from geoseg.inference.options import PlanOptions
from geoseg.inference.plan import Plan
from geoseg.inference.sameness import ASKED_ATTRIBUTE, PLAN_ATTRIBUTE, Earlier, asked_of, differences
from geoseg.models.runtimes.availability import available
from geoseg.raster.locations import PLAN_DIGEST, Location, root_attributes
from geoseg.raster.places import location_of, refuse_strangers, was_created
from geoseg.raster.zarr_store import ResultStore, StoreSpec, create_store, open_store

__all__ = [
    "PLAN_ATTRIBUTE",
    "Unfinished",
    "continued_plan",
    "find_unfinished",
    "finished_plan",
    "open_part",
    "record_of",
]

_LONG = ("area", "alternatives")
"""Of a plan, what a lock does not carry: polygons, for which their digest stands, and what was not chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What an earlier run left."""

    place: Location
    run: Earlier


def find_unfinished(part: Location) -> Unfinished | None:
    """What an earlier run left at ``part``; None if there is nothing, or nothing that got to its first tile.

    Raises:
        OutputError: if something is there that is not geoseg's.
    """
    if not was_created(part):
        refuse_strangers(part)
        return None
    return Unfinished(place=part, run=Earlier.of(root_attributes(part)))


def continued_plan(fresh: Plan, options: PlanOptions, left: Unfinished, *, here: bool = True) -> Plan:
    """The plan of the run that was left, if it is what is asked for now.

    What was left to ``auto``, then or now, stays as it was decided: on another machine it might be decided otherwise.

    Args:
        fresh: what would be planned now.
        options: what is asked for now.
        left: what an earlier run left.
        here: tiles run in this process. Workers elsewhere are asked before the first tile whether they have the
            runtime; what this machine has says nothing of them.

    Raises:
        PlanError: if something else is asked for, or scene, model or version are others, or the device or the runtime
            is missing; the message names it.
    """
    stored = left.run.parsed()
    if stored is not None and fresh.digest == stored.digest:
        return replace(fresh, threads=options.threads or stored.threads)
    if stored is not None and stored.recipe.uris != fresh.recipe.uris:
        raise PlanError(
            f"{_target_of(left.place)}: an unfinished run of another scene ({stored.recipe.name}) is there;"
            " --restart drops it, or give another name"
        )
    found = differences(fresh, options, left.run)
    if found or stored is None:
        raise PlanError(
            f"an unfinished run with other settings is in {left.place} ({'; '.join(found)}):"
            " give its settings again to continue it, or --restart to drop it"
        )
    if stored.device != "cpu" and fresh.device == "cpu":
        raise PlanError(
            f"the unfinished run in {left.place} computes on {stored.device}, and here is none: continue it where"
            " there is one, or --restart it"
        )
    lack = available(stored.runtime, device=stored.device) if here else None
    if lack is not None and stored.runtime != fresh.runtime:
        raise PlanError(f"the unfinished run in {left.place} is computed by {stored.runtime}, and here {lack}")
    kept = _decided_elsewhere(fresh, stored)
    note = f"continues with what was decided when the run began: {kept}"
    return replace(stored, threads=options.threads or stored.threads, notes=(*stored.notes, note))


def record_of(plan: Plan, options: PlanOptions) -> dict[str, Any]:
    """What a run writes into its locks, so that it is known again when its unfinished store is gone."""
    told = {name: value for name, value in plan.to_json().items() if name not in _LONG}
    return {PLAN_ATTRIBUTE: told, ASKED_ATTRIBUTE: asked_of(options)}


def finished_plan(fresh: Plan, options: PlanOptions, record: Mapping[str, Any]) -> Plan | None:
    """The plan of a run that was stopped when there was only tidying up to do; None if another one is asked for.

    Args:
        fresh: what would be planned now.
        options: what is asked for now.
        record: what ``record_of`` said then.
    """
    found = Earlier.of(record)
    area = fresh.to_json()["area"]  # where that was another, its digest is another too
    earlier = replace(found, plan={**found.plan, "area": area})
    stored = earlier.parsed()
    return None if stored is None or differences(fresh, options, earlier) else stored


def open_part(
    plan: Plan,
    part: str | PathLike[str] | Location,
    *,
    restart: bool = False,
    attributes: Mapping[str, Any],
    options: PlanOptions | None = None,
) -> ResultStore:
    """The unfinished store of a plan: the one at ``part`` if an earlier run of the same plan left it, else a new one.

    Call it under the lock of what the run writes.

    Raises:
        PlanError: if another plan's unfinished store is there; ``continued_plan`` comes first.
        OutputError: if the store cannot be written, or something that is not geoseg's is there.
    """
    place = location_of(part)
    left = find_unfinished(place)
    if left is not None and not restart:
        continued_plan(plan, options or PlanOptions(), left, here=False)  # that was asked before
        try:
            store = open_store(place)
        except SceneReadError as error:
            raise PlanError(f"the unfinished run in {place} cannot be opened; --restart drops it") from error
        if plan.threads != left.run.plan.get("threads"):  # workers read the plan there
            store.update_attributes({PLAN_ATTRIBUTE: plan.to_json()})
        return store
    asked = {} if options is None else {ASKED_ATTRIBUTE: asked_of(options)}
    spec = StoreSpec(
        geobox=plan.geobox,
        core=plan.grid.core,
        chunk=plan.chunk,
        legend=plan.legend,
        zarr_format=plan.zarr_format,
        confidence=plan.layers.confidence,
        probabilities=len(plan.legend) if plan.layers.probabilities else 0,
        contexts=tuple(c.size for c in plan.contexts) if plan.layers.contexts else (),
        attributes={**attributes, PLAN_DIGEST: plan.digest, **asked, PLAN_ATTRIBUTE: plan.to_json()},
    )
    return create_store(place, spec)


def _target_of(part: Location) -> Location:
    """The output that an unfinished store lies beside."""
    return part.sibling(part.name.removeprefix(".").removesuffix(".part.zarr"))


def _decided_elsewhere(fresh: Plan, stored: Plan) -> str:
    """The decisions that would be others here."""
    found = []
    if fresh.device != stored.device:
        found.append(f"device {stored.device}")
    if (fresh.runtime, fresh.precision) != (stored.runtime, stored.precision):
        found.append(f"{stored.runtime} in {stored.precision}")
    if [c.size for c in fresh.contexts] != [c.size for c in stored.contexts]:
        found.append(f"context {', '.join(str(c.size) for c in stored.contexts)} px")
    if [c.batch_size for c in fresh.contexts] != [c.batch_size for c in stored.contexts]:
        found.append(f"batches of {', '.join(str(c.batch_size) for c in stored.contexts)}")
    if fresh.halo != stored.halo:
        found.append(f"overlap {2 * stored.halo} px")
    most, here = stored.cost.memory_bytes / 1e9, machine.memory_bytes() / 1e9
    if most > here:
        found.append(f"about {most:.1f} GB of memory, of which this machine has {here:.1f}")
    return ", ".join(found) or "tiles and layers"
