"""What lies at the outputs of a batch's scenes: whose maps, their scores, what is unfinished."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from geoseg.errors import SceneReadError
from geoseg.inference.sameness import PLAN_ATTRIBUTE
from geoseg.raster.tags import METRICS_TAG, read_tags
from geoseg.raster.zarr_store import open_store, was_created
from geoseg.verbs.batch_manifest import Kind
from geoseg.verbs.batch_row import Row
from geoseg.verbs.digests import digest_of
from geoseg.verbs.outputs import choose_outputs

Standing = Literal["absent", "own", "foreign"]
"""What lies at an output."""


def standing_of(target: str, digest: str | None) -> Standing:
    """What lies at a target. A quick look carries no digest and counts as the row's own."""
    if not _is_there(target):
        return "absent"
    if digest is None:
        return "foreign"
    return "own" if target.endswith(".png") or digest_of(target) == digest else "foreign"


def _is_there(target: str) -> bool:
    return os.path.lexists(target) if "://" not in target else digest_of(target) is not None


def is_newer(scene: str, row: Row) -> bool:
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


def stored_metrics(outputs: Sequence[str]) -> dict[str, Any] | None:
    """The scores that a map carries."""
    for target in outputs:
        if target.endswith(".zarr"):
            found = _attributes(target).get("metrics")
        elif target.endswith(".tif"):
            text = read_tags(Path(target)).get(METRICS_TAG)
            found = None if text is None else json.loads(text)
        else:
            continue
        if isinstance(found, dict):
            return found
    return None


def _attributes(target: str) -> Mapping[str, Any]:
    """Root attributes of a finished store, a folder or at a URL.

    Raises:
        SceneReadError: if there is no such store.
    """
    place: Any = target if "://" in target else Path(target)
    return open_store(place).attributes
