"""The unfinished store of a run: made with its plan inside, found again by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geoseg.errors import PlanError, SceneReadError
from geoseg.inference.plan import Plan
from geoseg.raster.zarr_store import ResultStore, StoreSpec, create_store, open_store, was_created

PLAN_ATTRIBUTE = "geoseg_plan"
"""Root attribute of a store that holds its plan."""


def open_part(plan: Plan, path: Path, *, restart: bool = False, attributes: dict[str, Any]) -> ResultStore:
    """The unfinished store of a plan: the one at ``path`` if an earlier run of the same plan left it, else a new one.

    Raises:
        PlanError: if another plan's unfinished store is there; the message names the difference.
        OutputError: if the store cannot be written.
    """
    if not restart and was_created(path):
        try:
            store = open_store(path)
        except SceneReadError as error:
            raise PlanError(f"the unfinished run in {path} cannot be opened; --restart drops it") from error
        found = store.attributes.get(PLAN_ATTRIBUTE, {})
        if found.get("digest") == plan.digest:
            return store
        raise PlanError(
            f"an unfinished run with other settings is in {path} ({plan.difference(found)}):"
            " give its settings again to continue it, or --restart to drop it"
        )
    spec = StoreSpec(
        geobox=plan.geobox,
        core=plan.grid.core,
        chunk=plan.chunk,
        legend=plan.legend,
        zarr_format=plan.zarr_format,
        confidence=plan.layers.confidence,
        probabilities=len(plan.legend) if plan.layers.probabilities else 0,
        contexts=tuple(c.size for c in plan.contexts) if plan.layers.contexts else (),
        attributes={**attributes, PLAN_ATTRIBUTE: plan.to_json()},
    )
    return create_store(path, spec)
