"""The end of a run: scores, overviews, COG, styles, polygons, quick look, report, STAC item; the store's final name.

Each is derived from the whole store and renamed into place when it is whole, the store last: stopped anywhere, the
same command finds what is done by the plan's digest in it, and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geoseg
from geoseg.evaluation.compare import evaluate_windows
from geoseg.inference.pipeline import Progress
from geoseg.inference.plan import Plan
from geoseg.models.source import ModelSource
from geoseg.raster.class_map import map_of_store
from geoseg.raster.cog import write_cog
from geoseg.raster.label_reading import read_labels
from geoseg.raster.labels import LabelInfo
from geoseg.raster.locations import PLAN_DIGEST, root_attributes
from geoseg.raster.quicklook import write_quicklook
from geoseg.raster.styles import style_notes, write_styles
from geoseg.raster.tags import LEGEND_TAG, METRICS_TAG, read_tags
from geoseg.raster.zarr_store import ResultStore, finish_store
from geoseg.verbs.export_options import ExportOptions
from geoseg.verbs.options import RunOptions
from geoseg.verbs.outputs import Outputs, stem_of


def provenance(plan: Plan, model: ModelSource) -> dict[str, Any]:
    """What every output says of where it came from."""
    return {
        "geoseg_version": geoseg.__version__,
        "geoseg_model": model.name,
        "geoseg_model_digest": model.digest,
        PLAN_DIGEST: plan.digest,
        "geoseg_contexts": ",".join(str(c.size) for c in plan.contexts),
    }


def finish(
    store: ResultStore,
    files: Outputs,
    plan: Plan,
    *,
    options: RunOptions,
    origin: dict[str, Any],
    model: Path | None,
    truth: LabelInfo | None,
    enter: Callable[[str], None],
    check: Callable[[], None],
    note: Callable[[str], None],
) -> dict[str, Any] | None:
    """Derives everything from the whole store; under the outputs' locks.

    Args:
        store: the unfinished store, all tiles done.
        files: where results go; what is there is replaced, which was asked before the run.
        plan: of the run.
        options: of the run.
        origin: what ``provenance`` said.
        model: the bundle; None for a module.
        truth: the reference; None for none.
        enter: told which stage begins.
        check: raises if the locks are lost; called before anything is replaced.
        note: told what a user should know.

    Returns:
        The scores, if there is a reference: they come first, so that every output carries them.
    """
    metrics = None
    if truth is not None:
        enter("scoring")
        recipe = truth.recipe
        metrics = evaluate_windows(
            store.read_classes, lambda window: read_labels(recipe, window), store.shape, legend=plan.legend
        )
        store.update_attributes({"metrics": metrics})
    if not store.has_overviews():
        enter("overviews")
        store.add_overviews(threads=plan.threads)
    check()
    if files.cog is not None:
        enter("COG")
        write_cog(
            store,
            files.cog,
            tags=_tags(plan, origin, metrics),
            compress=options.compress,
            overwrite=True,
            threads=plan.threads,
        )
        write_styles(files.cog, plan.legend, kind="raster", overwrite=options.overwrite)
    if files.vectors:
        from geoseg.verbs.polygons import write_polygons  # not at the top: Arrow is for those who want polygons

        enter("polygons")
        source = map_of_store(store, scene=stem_of(plan.recipe.uris[0]))
        asked = ExportOptions(overwrite=options.overwrite)
        for text in write_polygons(source, files.vectors, asked, check=check).notes:
            note(text)
    _style_rasters(files, plan, overwrite=options.overwrite, note=note)
    if files.preview is not None:
        enter("preview")
        write_quicklook(files.preview, store=store, recipe=plan.recipe)
    if files.report is not None:
        from geoseg.verbs.report import write_report  # not at the top: for those who want one

        enter("report")
        name = stem_of(str(files.paths[0]))
        write_report(files.report, store=store, name=name, truth=truth, metrics=metrics, threads=plan.threads)
    if files.stac is not None:
        from geoseg.verbs.stac import write_stac

        enter("STAC item")
        write_stac(files, store, plan, model=model)
    check()
    target = files.store
    if target is None:
        store.place.discard()
    else:
        finish_store(store.place, target, overwrite=True)
    return metrics


def _style_rasters(files: Outputs, plan: Plan, *, overwrite: bool, note: Callable[[str], None]) -> None:
    """Styles of a store, the COG's are there; after the polygons, which know nothing of a store that is to come."""
    for raster in files.rasters:
        if raster != files.cog:
            write_styles(raster, plan.legend, kind="raster", overwrite=overwrite)
        for text in style_notes(raster, kind="raster"):
            note(text)


def no_progress(plan: Plan) -> Progress:
    """Of a run that finds everything done."""
    pixels, tiles = plan.pixel_count, plan.tile_count
    return Progress(
        tiles=tiles, tiles_done=tiles, resumed_tiles=tiles, pixels=pixels, pixels_done=pixels, resumed_pixels=pixels
    )


def tidy_finished(files: Outputs) -> dict[str, Any] | None:
    """Deletes what a run that was stopped at its very end left; under the locks.

    Returns:
        The scores that the outputs carry, if any.
    """
    part, target = files.part, files.store
    if target is None:
        part.discard()
        text = None if files.cog is None else read_tags(files.cog).get(METRICS_TAG)
        return None if text is None else dict(json.loads(text))
    part.retire()
    target.forget_marks()
    found = root_attributes(target).get("metrics")
    return None if found is None else dict(found)


def stages(progress: Progress, on_progress: Callable[[Progress], None] | None) -> Callable[[str], None]:
    """Tells whoever listens which stage after the tiles begins."""

    def enter(stage: str) -> None:
        progress.stage = stage
        if on_progress is not None:
            on_progress(progress)

    return enter


def _tags(plan: Plan, origin: dict[str, Any], metrics: dict[str, Any] | None) -> dict[str, str]:
    """TIFF tags: provenance, the legend, and the scores if there are any."""
    tags = {name.upper(): str(value) for name, value in origin.items()}
    tags[LEGEND_TAG] = json.dumps(plan.legend.to_json())
    if metrics is not None:
        tags[METRICS_TAG] = json.dumps(metrics)
    return tags
