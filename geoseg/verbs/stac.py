"""The STAC item of a run: what it wrote, of what, and by which model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import geoseg
from geoseg.inference.plan import Plan
from geoseg.raster.cog import aux_path
from geoseg.raster.stac_item import ItemContent, write_item
from geoseg.raster.zarr_store import ResultStore
from geoseg.verbs.outputs import Outputs, stem_of
from geoseg.verbs.records import CARD_ATTRIBUTE, RUN_ATTRIBUTE

_SOURCES = 100
"""Files of a mosaic that an item links to."""


def write_stac(files: Outputs, store: ResultStore, plan: Plan, *, model: Path | None) -> None:
    """Writes ``files.stac``; all other files are in place, the store is whole.

    Raises:
        OutputError: if it cannot be written.
    """
    assert files.stac is not None
    attributes = store.attributes
    versions = dict((attributes.get(RUN_ATTRIBUTE) or {}).get("versions") or {})
    cog = () if files.cog is None else (files.cog, aux_path(files.cog))
    written = [*cog, *files.styles, *(p for p in files.paths if p not in (files.cog, files.stac))]
    content = ItemContent(
        id=stem_of(str(files.paths[0])),
        geobox=plan.geobox,
        legend=plan.legend,
        made=datetime.now(UTC).replace(microsecond=0),
        files=tuple(written),
        sources=plan.recipe.uris[:_SOURCES],
        software={"geoseg": geoseg.__version__, **versions},
        zarr_format=plan.zarr_format,
        model=model,
        card=attributes.get(CARD_ATTRIBUTE) or {},
        patch=plan.contexts[0].patch_size,
        origin={
            "geoseg:plan_digest": plan.digest,
            "geoseg:model": plan.model,
            "geoseg:model_digest": plan.model_digest,
        },
    )
    write_item(files.stac, content)
