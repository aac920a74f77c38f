"""The verb ``report``: a class map as one HTML page to look at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geoseg.errors import GeosegError, OutputError, SceneError, SceneReadError
from geoseg.evaluation.compare import compare_windows
from geoseg.geometry.ground import row_areas
from geoseg.geometry.windows import Window
from geoseg.inference.pipeline import NOTES_ATTRIBUTE
from geoseg.inference.sameness import PLAN_ATTRIBUTE
from geoseg.legend import IGNORE
from geoseg.raster.atomic import output_errors, part_path, put_in_place, refuse_existing, refuse_unwritable, remove
from geoseg.raster.crs import crs_name
from geoseg.raster.label_reading import is_store, read_labels
from geoseg.raster.labels import LabelInfo, inspect_labels
from geoseg.raster.places import is_store_url
from geoseg.raster.quicklook import picture_of
from geoseg.raster.recipe import Recipe, SceneRecipe, recipe_from_json
from geoseg.raster.scene import inspect_scene
from geoseg.raster.urls import refuse_credentials
from geoseg.raster.zarr_overviews import factors, level_geobox
from geoseg.raster.zarr_store import ResultStore, open_store
from geoseg.reporting.content import Content
from geoseg.reporting.page import page_of
from geoseg.reporting.survey import Layers, survey
from geoseg.verbs.evaluate_rules import metrics_of, rules_of
from geoseg.verbs.records import CARD_ATTRIBUTE, RUN_ATTRIBUTE, TIMING_ATTRIBUTE

SIDE = 2048
"""Most pixels a side of the report's pictures."""

BOUNDARY = 3.0
"""Pixels: the tolerance of the boundaries' scores, as in the docs' examples of ``evaluate``."""

_ASPECT = 0.02
"""A scene whose proportions differ from the map's by more is another scene."""

_PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """What was written."""

    path: Path
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {"outputs": [str(self.path)], "notes": list(self.notes)}


def report(
    classes: _PathLike,
    target: _PathLike | None = None,
    *,
    scene: _PathLike | None = None,
    reference: _PathLike | None = None,
    overwrite: bool = False,
    threads: int = 2,
) -> ReportResult:
    """Writes a page about a finished class map: pictures, areas, scores, model, how to repeat it.

    Args:
        classes: the ``.zarr`` that ``predict`` wrote.
        target: the ``.html``; None is beside the map.
        scene: where the scene lies, if it is no longer where the map was made from.
        reference: a label raster: classes, boundaries and confidence are scored against it, and errors are shown.
        overwrite: replace an existing page.
        threads: windows read at once.

    Raises:
        SceneReadError: if there is no such map, it is not finished, or a file cannot be read.
        SceneError: if the scene is of other proportions than the map.
        OutputExistsError: if the page is there.
        OutputError: if it cannot be written.
        GridError, LegendError: if the reference does not fit.
    """
    uri = os.fspath(classes).rstrip("/")
    for name, what in ((uri, "the class map"), (scene, "the scene"), (reference, "the reference")):
        if name is not None:
            refuse_credentials(name, what=what)
    if not is_store(uri):
        raise SceneReadError(f"{uri}: a report is made of the .zarr that predict writes; give that")
    path = _target(uri, target)
    refuse_unwritable(path)
    refuse_existing(path, overwrite=overwrite)
    store = open_store(uri)
    if not store.has_overviews():
        raise SceneReadError(f"{uri} is not finished: give the predict command again to finish it")
    truth = None if reference is None else inspect_labels(os.fspath(reference), legend=store.legend, onto=store.geobox)
    moved = None if scene is None else os.fspath(scene)
    metrics = None if truth is None else _score(store, truth, threads=threads)
    notes = write_report(
        path, store=store, name=Path(uri).stem, moved=moved, truth=truth, metrics=metrics, threads=threads
    )
    return ReportResult(path=path, notes=(*(() if truth is None else truth.notes), *notes))


def write_report(
    target: Path,
    *,
    store: ResultStore,
    name: str,
    moved: str | None = None,
    truth: LabelInfo | None = None,
    metrics: Mapping[str, Any] | None = None,
    threads: int = 2,
) -> list[str]:
    """Writes the page of a store that has its overviews; a page that is there is replaced.

    Args:
        target: the ``.html``.
        store: the map.
        name: what it is called.
        moved: where the scene lies now.
        truth: the reference on the map's grid.
        metrics: the scores against it; None: those that are in the store.
        threads: windows read at once.

    Returns:
        Notes on what could not be shown.
    """
    content = _content(store, name=name, moved=moved, truth=truth, metrics=metrics, threads=threads)
    page = page_of(content)
    part = part_path(target)
    with output_errors(target):
        try:
            part.write_text(page, encoding="utf-8")
            put_in_place(part, target)
        finally:
            remove(part)
    return list(content.notes)


def _content(
    store: ResultStore,
    *,
    name: str,
    moved: str | None,
    truth: LabelInfo | None,
    metrics: Mapping[str, Any] | None,
    threads: int,
) -> Content:
    attributes, box = store.attributes, store.geobox
    factor = next(f for f in (1, *factors(store.shape)) if max(level_geobox(box, f).shape) <= SIDE)
    small = level_geobox(box, factor)
    classes = store.read_overview(factor, Window.whole(small.shape))
    plan: Mapping[str, Any] = attributes.get(PLAN_ATTRIBUTE) or {}
    notes = [*map(str, plan.get("notes", ())), *map(str, attributes.get(NOTES_ATTRIBUTE, ()))]
    scene = None
    try:
        recipe = _recipe(plan, moved=moved, shape=store.shape)
        scene = None if recipe is None else picture_of(recipe, small, valid=classes != IGNORE)
    except GeosegError as error:
        if moved is not None:
            raise
        notes.append(f"the scene is not shown: {' '.join(str(error).split())} (--scene says where it lies now)")
    layers = _layers(store, truth)
    found = survey(layers, store.shape, factor=factor, row_areas=row_areas(box), threads=threads)
    return Content(
        name=name,
        shape=store.shape,
        crs=crs_name(box.crs),
        gsd=box.gsd(),
        factor=factor,
        legend=store.legend,
        classes=classes,
        scene=scene,
        survey=found,
        contexts=store.spec.contexts,
        metrics=metrics or attributes.get("metrics"),
        plan=plan,
        timing=attributes.get(TIMING_ATTRIBUTE) or {},
        run=attributes.get(RUN_ATTRIBUTE) or {},
        card=attributes.get(CARD_ATTRIBUTE) or {},
        origin={k: v for k, v in attributes.items() if k.startswith("geoseg_") and isinstance(v, str)},
        notes=tuple(dict.fromkeys(notes)),
    )


def _layers(store: ResultStore, truth: LabelInfo | None) -> Layers:
    def read_truth(window: Window) -> Any:
        assert truth is not None
        return read_labels(truth.recipe, window)

    return Layers(
        classes=store.read_classes,
        confidence=store.read_confidence if store.spec.confidence else None,
        context=store.read_context if store.spec.contexts else None,
        truth=None if truth is None else read_truth,
    )


def _score(store: ResultStore, truth: LabelInfo, *, threads: int) -> Mapping[str, Any]:
    """All scores that a page shows: of classes, of boundaries, and of the confidence where the map has it."""
    recipe, rules = truth.recipe, rules_of(erode=0.0, boundary=BOUNDARY, block=0)
    confidence = store.read_confidence if store.spec.confidence else None
    found = compare_windows(
        store.read_classes,
        lambda window: read_labels(recipe, window),
        store.shape,
        rules=rules,
        read_confidence=confidence,
        threads=threads,
    )
    return metrics_of(found, store.legend, rules=rules, calibration=confidence is not None)


def _recipe(plan: Mapping[str, Any], *, moved: str | None, shape: tuple[int, int]) -> Recipe | None:
    """How the scene is read; None where the store does not tell."""
    stored = None if not plan.get("scene") else recipe_from_json({**plan["scene"], "aoi": None})
    if moved is None:
        return stored
    if stored is not None and not isinstance(stored, SceneRecipe):
        raise SceneError(
            f"--scene {moved}: the map was made of {len(stored.uris)} files, which must lie where they lay"
        )
    found = inspect_scene(moved)
    height, width = found.native.shape
    if abs(width / height / (shape[1] / shape[0]) - 1) > _ASPECT:
        raise SceneError(
            f"{moved} has {width} x {height} pixels, the map {shape[1]} x {shape[0]}: of other proportions, it is not"
            " the scene of this map"
        )
    return replace(stored, uri=moved) if isinstance(stored, SceneRecipe) else found.recipe


def _target(uri: str, target: _PathLike | None) -> Path:
    if target is None:
        if is_store_url(uri):
            raise OutputError(f"a report of {uri} needs a place on this machine: -o report.html")
        return Path(uri).with_suffix(".html")
    if is_store_url(target):
        raise OutputError(f"the report cannot be at a URL ({os.fspath(target)}): give a local path")
    path = Path(target)
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"the report {path} must end in .html")
    return path
