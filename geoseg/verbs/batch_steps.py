"""What a batch does with each scene, decided before any work from the table and from what lies at its outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from geoseg.errors import OutputError, OutputExistsError, PlanError, SceneReadError
from geoseg.inference.executors import ClusterOptions
from geoseg.inference.resume import PLAN_ATTRIBUTE
from geoseg.raster.tags import PLAN_DIGEST_TAG, read_tags
from geoseg.raster.zarr_store import open_store, was_created
from geoseg.verbs.batch_manifest import Entry, Kind
from geoseg.verbs.batch_table import Row
from geoseg.verbs.options import RunOptions
from geoseg.verbs.outputs import choose_outputs

Action = Literal["keep", "run", "adopt", "skip"]
"""``adopt``: the batch was killed after the outputs were in place and before the table said so."""

_FREE = {"threads", "overwrite", "restart", "max_block_mb", "max_pixels", *(f.name for f in fields(ClusterOptions))}
"""Options that change how or whether a scene runs, not what its outputs hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done with one scene."""

    entry: Entry
    outputs: tuple[str, ...]
    settings: Mapping[str, Any]
    action: Action
    overwrite: bool = False
    """Outputs may be replaced: the user says so, or they are this row's own."""
    retry: bool = False
    """The scene failed before."""
    changed: bool = False
    """It was begun with other settings."""


def settings_of(options: RunOptions, *, model_digest: str) -> dict[str, Any]:
    """The model and those options that differ from their defaults and decide what the outputs hold."""
    default = {f.name: f.default for f in fields(options)}
    asked = {k: v for k, v in asdict(options).items() if k not in _FREE and v != default[k]}
    found: dict[str, Any] = json.loads(json.dumps({"model": model_digest, **asked}, default=str))
    return found


def decide(
    entries: Sequence[Entry],
    rows: Mapping[str, Row],
    *,
    kinds: Sequence[Kind],
    settings: Mapping[str, Any],
    options: RunOptions,
    retry_failed: bool,
) -> tuple[list[Step], list[str]]:
    """The steps of a batch, in the manifest's order, and notes.

    Raises:
        PlanError: if scenes were done or begun with other settings, and nothing says that they may be done anew.
        OutputExistsError: if another run has replaced the outputs of a scene that is done.
    """
    steps, notes = [], []
    changed: dict[str, list[str]] = {"done": [], "running": []}
    foreign, gone, newer = [], [], []
    for entry in entries:
        outputs = entry.targets(kinds)
        row = rows.get(entry.scene) or Row(scene=entry.scene, place=None)
        standing = [_standing(target, row.plan_digest) for target in outputs]
        may = options.overwrite or ("own" in standing and "foreign" not in standing)
        difference = _difference(row, settings, outputs=outputs, reference=entry.reference)
        action: Action = "run"
        if row.state == "failed" and not retry_failed:
            action = "keep"
        elif row.state in changed and difference:
            freed = options.overwrite if row.state == "done" else options.restart or options.overwrite
            if not freed:
                changed[row.state].append(f"{difference}, {entry.scene}")
        elif row.state == "done":
            action = "keep" if all(s == "own" for s in standing) else "run"
            if "foreign" in standing and not options.overwrite:
                foreign.append(outputs[standing.index("foreign")])
            elif "absent" in standing:
                gone.append(entry.scene)
            elif _is_newer(entry.scene, row):
                newer.append(entry.scene)
                action = "run" if options.overwrite else "keep"
        elif row.state == "running" and all(s == "own" for s in standing) and unfinished_stamp(outputs, kinds) is None:
            action = "adopt"
        elif row.state in ("waiting", "skipped") and "absent" not in standing and not options.overwrite:
            action = "skip"
        steps.append(
            Step(
                entry=entry, outputs=outputs, settings=settings, action=action, overwrite=may,
                retry=row.state == "failed", changed=bool(difference),
            )
        )  # fmt: skip
    _refuse(changed, foreign)
    if gone:
        notes.append(f"{len(gone)} scenes were done and their outputs are gone, first {gone[0]}: done again")
    if newer:
        what = "done anew" if options.overwrite else "left alone; --overwrite does them anew"
        notes.append(f"{len(newer)} scenes were changed after their maps were made, first {newer[0]}: {what}")
    return steps, notes


def refuse_kinds(kinds: Sequence[str], *, known: Sequence[str], options: RunOptions) -> None:
    """Refuses what cannot be written, for all scenes at once.

    Raises:
        OutputError: for an unknown kind, none at all, or layers without a store to hold them.
    """
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise OutputError(f"outputs {', '.join(unknown)}: there are {', '.join(known)}")
    if not {"cog", "zarr"} & set(kinds):
        raise OutputError(f"outputs {', '.join(kinds) or 'none'}: add cog or zarr")
    if "zarr" not in kinds and (options.confidence or options.probabilities):
        raise OutputError("confidence and probabilities are layers of the Zarr store: add zarr to the outputs")


def _standing(target: str, digest: str | None) -> Literal["absent", "own", "foreign"]:
    """What lies at a target. A quick look carries no digest and counts as the row's own."""
    if not _is_there(target):
        return "absent"
    if digest is None:
        return "foreign"
    return "own" if target.endswith(".png") or _digest_of(target) == digest else "foreign"


def _is_there(target: str) -> bool:
    return os.path.lexists(target) if "://" not in target else _digest_of(target) is not None


def _digest_of(target: str) -> str | None:
    """Of the plan that made a map; None if it does not say."""
    try:
        if target.endswith(".zarr"):
            found = open_store(Path(target)).attributes.get("geoseg_plan_digest")
            return None if found is None else str(found)
        return read_tags(Path(target)).get(PLAN_DIGEST_TAG)
    except SceneReadError:
        return None


def _is_newer(scene: str, row: Row) -> bool:
    """True if a local scene was changed after its last attempt began; the row's time has whole seconds."""
    try:
        changed = Path(scene).stat().st_mtime
    except (OSError, ValueError):
        return False
    return row.started is not None and changed > datetime.fromisoformat(row.started).timestamp() + 1


def unfinished_stamp(outputs: Sequence[str], kinds: Sequence[Kind]) -> str | None:
    """Which files the unfinished store of a run was made from (see ``Plan.stamp``); None if there is no such store."""
    files = [target for target, kind in zip(outputs, kinds, strict=True) if kind != "preview"]
    part = choose_outputs("scene", files).part
    if not was_created(part):
        return None
    try:
        return str(open_store(part).attributes.get(PLAN_ATTRIBUTE, {}).get("stamp", ""))
    except SceneReadError:
        return ""


def _difference(row: Row, settings: Mapping[str, Any], *, outputs: Sequence[str], reference: str | None) -> str:
    """Names what a row was done with and what is asked now, where they differ; empty where they do not."""
    old = {**(row.settings or {}), "outputs": list(row.outputs), "reference": row.reference}
    new = {**settings, "outputs": list(outputs), "reference": reference}
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {_short(old.get(name))} -> {_short(new.get(name))}" for name in names)


def _short(value: Any) -> str:
    if value is None:
        return "default"
    text = ",".join(Path(str(v)).name for v in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def _refuse(changed: Mapping[str, Sequence[str]], foreign: Sequence[str]) -> None:
    if changed["done"]:
        raise PlanError(
            f"{len(changed['done'])} scenes are done with other settings ({changed['done'][0]}): give those again,"
            " --overwrite to do the scenes anew, or another --table"
        )
    if changed["running"]:
        raise PlanError(
            f"{len(changed['running'])} scenes are begun with other settings ({changed['running'][0]}): give those"
            " again to continue, or --restart to drop what is begun"
        )
    if foreign:
        raise OutputExistsError(
            f"outputs of {len(foreign)} scenes that are done were replaced by another run, first {foreign[0]};"
            " --overwrite does the scenes anew"
        )
