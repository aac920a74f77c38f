"""The unfinished store of a run: made with its plan inside, found again by it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from geoseg.errors import PlanError, SceneReadError
from geoseg.inference import machine
from geoseg.inference.options import PlanOptions
from geoseg.inference.plan import Plan
from geoseg.models.runtimes.availability import available
from geoseg.raster.locations import PLAN_DIGEST, Location, root_attributes
from geoseg.raster.places import location_of, refuse_strangers, was_created
from geoseg.raster.zarr_store import ResultStore, StoreSpec, create_store, open_store

PLAN_ATTRIBUTE = "geoseg_plan"
"""Root attribute of a store that holds its plan."""

ASKED_ATTRIBUTE = "geoseg_asked"
"""Root attribute with the options the plan was made by; ``auto`` as None."""

_ASKED = (
    *("stitch", "patch_size", "exact", "contexts", "fuse", "budget", "overlap", "tile", "batch_size"),
    *("device", "runtime", "precision"),
)
"""Options that a plan follows from; threads change no class."""

_FOLLOWS = frozenset({"contexts", "adaptive", "halo", "cells", "device", "runtime", "precision", "chunk", "stitch"})
"""Decisions that follow from those options, the model and the machine: compared by the options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What an earlier run left."""

    place: Location
    plan: dict[str, Any]
    """``Plan.to_json`` of its plan."""
    asked: dict[str, Any] | None
    """What ``asked_of`` said of its options; None in a store of an early version."""


def asked_of(options: PlanOptions) -> dict[str, Any]:
    """The options that a plan follows from, as plain values; None is ``auto``."""
    found = {name: getattr(options, name) for name in _ASKED}
    return {name: None if value == "auto" else value for name, value in found.items()}


def find_unfinished(part: Location) -> Unfinished | None:
    """What an earlier run left at ``part``; None if there is nothing, or nothing that got to its first tile.

    Raises:
        OutputError: if something is there that is not geoseg's.
    """
    if not was_created(part):
        refuse_strangers(part)
        return None
    attributes = root_attributes(part)
    return Unfinished(place=part, plan=attributes.get(PLAN_ATTRIBUTE) or {}, asked=attributes.get(ASKED_ATTRIBUTE))


def continued_plan(fresh: Plan, options: PlanOptions, left: Unfinished) -> Plan:
    """The plan of the run that was left, if it is what is asked for now.

    What was left to ``auto``, then or now, stays as it was decided: on another machine it might be decided otherwise.

    Args:
        fresh: what would be planned now.
        options: what is asked for now.
        left: what an earlier run left.

    Raises:
        PlanError: if something else is asked for, or scene, model or version are others, or the device is missing;
            the message names it.
    """
    stored = _parsed(left)
    if stored is not None and fresh.digest == stored.digest == left.plan.get("digest"):
        return replace(fresh, threads=options.threads or stored.threads)
    differences = [*_other_options(options, left), *_other_facts(fresh, left)]
    if stored is None or stored.digest != left.plan.get("digest"):
        differences.append("another version of geoseg began it")
    elif left.asked is None and not differences:
        differences.append(fresh.difference(left.plan))
    if differences or stored is None:
        raise PlanError(
            f"an unfinished run with other settings is in {left.place} ({'; '.join(differences)}):"
            " give its settings again to continue it, or --restart to drop it"
        )
    if stored.device != "cpu" and fresh.device == "cpu":
        raise PlanError(
            f"the unfinished run in {left.place} computes on {stored.device}, and here is none: continue it where"
            " there is one, or --restart it"
        )
    lack = available(stored.runtime, device=stored.device)
    if lack is not None and stored.runtime != fresh.runtime:
        raise PlanError(f"the unfinished run in {left.place} is computed by {stored.runtime}, and here {lack}")
    kept = _decided_elsewhere(fresh, stored)
    note = f"continues with what was decided when the run began: {kept}"
    return replace(stored, threads=options.threads or stored.threads, notes=(*stored.notes, note))


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
        continued_plan(plan, options or PlanOptions(), left)
        try:
            store = open_store(place)
        except SceneReadError as error:
            raise PlanError(f"the unfinished run in {place} cannot be opened; --restart drops it") from error
        if plan.threads != left.plan.get("threads"):  # workers read the plan there
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


def _other_options(options: PlanOptions, left: Unfinished) -> Iterator[str]:
    """Options that are asked for now and were not then, with both values."""
    if left.asked is None:
        return
    for name, now in json.loads(json.dumps(asked_of(options))).items():
        then = left.asked.get(name)
        if now in (None, then):
            continue
        if then is None:
            then = _decided(name, left.plan)
            if now == then or (name == "tile" and [now, now] == left.plan.get("tile")):
                continue
        yield f"{name.replace('_', ' ')} {_said(then)} -> {_said(now)}"


def _other_facts(fresh: Plan, left: Unfinished) -> Iterator[str]:
    """Decisions that no ``auto`` is behind and that are others now."""
    named = {
        "stamp": "the scene's files have changed",
        "model_digest": f"model {left.plan.get('model')} -> {fresh.model}"
        if left.plan.get("model") != fresh.model
        else f"another model of the name {fresh.model}",
        "legend": "another legend",
        "grid": "another grid",
    }
    for name, now in json.loads(json.dumps(fresh.decisions())).items():
        then = left.plan.get(name)
        if name in _FOLLOWS or now == then:
            continue
        if isinstance(now, dict) and isinstance(then, dict) and name not in named:
            yield from (
                f"{name} {key.replace('_', ' ')} {_said(then.get(key))} -> {_said(value)}"
                for key, value in now.items()
                if value != then.get(key)
            )
        else:
            yield named.get(name, f"{name.replace('_', ' ')} {_said(then)} -> {_said(now)}")


def _decided(name: str, plan: Mapping[str, Any]) -> Any:
    """What an option that was left to ``auto`` became."""
    if name == "patch_size":
        return plan.get("context")
    if name == "overlap":
        return 2 * plan["halo"] if "halo" in plan else None
    return plan.get(name)


def _said(value: Any) -> str:
    text = "auto" if value is None else str(value)
    return text if len(text) < 60 else f"{text[:56]} …"


def _parsed(left: Unfinished) -> Plan | None:
    try:
        return Plan.from_json(left.plan)
    except (KeyError, TypeError, ValueError):
        return None


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
