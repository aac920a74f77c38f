"""Whether an earlier run is the one that is asked for now: by what was given, never by what was left to ``auto``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from geoseg.inference.options import PlanOptions
from geoseg.inference.plan import Plan

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
class Earlier:
    """What an earlier run went by."""

    plan: dict[str, Any]
    """``Plan.to_json`` of its plan."""
    asked: dict[str, Any] | None
    """What ``asked_of`` said of its options; None in a store of an early version."""

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Earlier:
        """From root attributes of its store, or what its locks say."""
        return cls(plan=attributes.get(PLAN_ATTRIBUTE) or {}, asked=attributes.get(ASKED_ATTRIBUTE))

    def parsed(self) -> Plan | None:
        """Its plan; None if this version of geoseg cannot read it, or would give it another digest."""
        try:
            plan = Plan.from_json(self.plan)
        except (KeyError, TypeError, ValueError):
            return None
        return plan if plan.digest == self.plan.get("digest") else None


def asked_of(options: PlanOptions) -> dict[str, Any]:
    """The options that a plan follows from, as plain values; None is ``auto``."""
    found = {name: getattr(options, name) for name in _ASKED}
    return {name: None if value == "auto" else value for name, value in found.items()}


def differences(fresh: Plan, options: PlanOptions, earlier: Earlier) -> list[str]:
    """What is asked for now, or lies there, and is another than when a run began; empty if it is the same run.

    Args:
        fresh: what would be planned now.
        options: what is asked for now.
        earlier: what the run went by.
    """
    found = [*_other_options(options, earlier), *_other_facts(fresh, earlier)]
    if earlier.parsed() is None:
        found.append("another version of geoseg began it")
    elif earlier.asked is None and not found and fresh.digest != earlier.plan["digest"]:
        found.append(decided_otherwise(fresh, earlier.plan))
    return found


def decided_otherwise(plan: Plan, other: Mapping[str, Any]) -> str:
    """Names the decisions in which a plan and another's ``to_json`` differ, with both values where short."""
    found = []
    for name, value in json.loads(json.dumps(plan.decisions())).items():
        if value != other.get(name):
            both = f" {other.get(name)} -> {value}"
            short = len(both) < 60 and _is_plain(value) and _is_plain(other.get(name))
            found.append(name + (both if short else ""))
    return ", ".join(found) or "another version of geoseg"


def _other_options(options: PlanOptions, earlier: Earlier) -> Iterator[str]:
    """Options that are asked for now and were not then, with both values."""
    if earlier.asked is None:
        return
    for name, now in json.loads(json.dumps(asked_of(options))).items():
        then = earlier.asked.get(name)
        if now in (None, then):
            continue
        if then is None:
            then = _decided(name, earlier.plan)
            if now == then or (name == "tile" and [now, now] == earlier.plan.get("tile")):
                continue
        yield _changed(name, then, now)


def _other_facts(fresh: Plan, earlier: Earlier) -> Iterator[str]:
    """Decisions that no ``auto`` is behind and that are others now."""
    named = {
        "stamp": "the scene's files have changed",
        "model_digest": f"model {earlier.plan.get('model')} -> {fresh.model}"
        if earlier.plan.get("model") != fresh.model
        else f"another model of the name {fresh.model}",
        "legend": "another legend",
        "grid": "another grid",
    }
    for name, now in json.loads(json.dumps(fresh.decisions())).items():
        then = earlier.plan.get(name)
        if name in _FOLLOWS or now == then:
            continue
        if isinstance(now, dict) and isinstance(then, dict) and name not in named:
            yield from (
                _changed(f"{name} {key}", then.get(key), value) for key, value in now.items() if value != then.get(key)
            )
        else:
            yield named.get(name) or _changed(name, then, now)


def _decided(name: str, plan: Mapping[str, Any]) -> Any:
    """What an option that was left to ``auto`` became."""
    if name == "patch_size":
        return plan.get("context")
    if name == "overlap":
        return 2 * plan["halo"] if "halo" in plan else None
    return plan.get(name)


def _changed(name: str, then: Any, now: Any) -> str:
    """A difference with both values, or its name alone where they are no values that a line can hold."""
    name = name.replace("_", " ")
    if _is_plain(then) and _is_plain(now):
        return f"{name} {_said(then)} -> {_said(now)}"
    return f"another {name}"


def _is_plain(value: Any) -> bool:
    """False for what would be printed as Python's dicts."""
    return not isinstance(value, dict) and not (isinstance(value, list) and not all(map(_is_plain, value)))


def _said(value: Any) -> str:
    text = "auto" if value is None else str(value)
    return text if len(text) < 60 else f"{text[:56]} …"
