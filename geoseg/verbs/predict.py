"""``geoseg predict``: the main job. One scene to classes on disk, scored where there is a reference."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import ConversionError
from geoseg.inference.devices import predictor_of
from geoseg.inference.executors import Session, open_session
from geoseg.inference.machine import peak_rss_bytes
from geoseg.inference.pipeline import Progress, run_plan
from geoseg.inference.plan import Plan
from geoseg.inference.resume import open_part, record_of
from geoseg.inference.shortage import memory_told
from geoseg.legend import Legend
from geoseg.raster.labels import LabelInfo, inspect_labels
from geoseg.raster.locks import Locks
from geoseg.raster.zarr_store import ResultStore
from geoseg.verbs.evaluate import score_notes
from geoseg.verbs.finishing import finish, no_progress, provenance, stages, tidy_finished
from geoseg.verbs.guarding import held, is_finished
from geoseg.verbs.options import RunOptions
from geoseg.verbs.prepare import Prepared, prepare
from geoseg.verbs.records import run_attributes, timing_attributes
from geoseg.verbs.sources import SceneLike
from geoseg.verbs.wanted import Wanted, wanted_of

if TYPE_CHECKING:
    from geoseg.verbs.prepare import ModelLike

OnProgress = Callable[[Progress], None]

_AGAIN = "end other programs and give the same command again: all tiles are done"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictResult:
    """What a run wrote and what it took."""

    scene: str
    outputs: tuple[str, ...]
    plan: Plan
    metrics: dict[str, Any] | None
    """Scores against the reference; None without one."""
    seconds: dict[str, float]
    """``total``, and busy seconds of ``read``, ``compute`` and ``write``, which overlap; ``finish`` for the rest."""
    predicted_pixels: int
    """Pixels of the scene that this run predicted; the rest an earlier one had."""
    computed_pixels: int
    """Pixels of all network inputs of this run."""
    peak_rss_bytes: int
    """Largest resident memory of any process of the run."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The summary that ``predict --json`` prints."""
        return {
            "scene": self.scene,
            "outputs": list(self.outputs),
            "plan": self.plan.to_json(),
            "metrics": self.metrics,
            "seconds": self.seconds,
            "predicted_pixels": self.predicted_pixels,
            "computed_pixels": self.computed_pixels,
            "peak_rss_bytes": self.peak_rss_bytes,
            "notes": list(self.notes),
        }


def predict(
    scene: SceneLike,
    *,
    outputs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] = (),
    model: ModelLike = None,
    reference: str | os.PathLike[str] | None = None,
    preview: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    stac: str | os.PathLike[str] | None = None,
    multiple: int | None = None,
    legend: Legend | None = None,
    on_progress: OnProgress | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    session: Session | None = None,
    **options: Any,
) -> PredictResult:
    """Turns a scene into a class map.

    Args:
        scene: path or URL of anything rasterio opens; a STAC document; or a list of paths, URLs, globs and
            ``@list.txt`` that together are one scene.
        outputs: ``*.tif`` (Cloud Optimized GeoTIFF), ``*.zarr`` and polygons (``*.gpkg|parquet|fgb|geojson``), or a
            folder; none for ``<stem>_classes.tif`` and ``.zarr`` beside the (first) scene.
        model: a bundle or its path, None for the one that ships with geoseg, or a ``torch.nn.Module`` that gives
            logits (N, K, h, w) for unnormalised float32 (N, C, h, w).
        reference: a label raster to score against, on the output's grid by nearest neighbour.
        preview: a quick-look PNG of the classes over the scene.
        report: an HTML page to look at: map, areas, scores, model, what it took.
        stac: a STAC item (``.json``) that describes the outputs.
        multiple: of a module: what its patches' sides must be multiples of; None: an smp model's output stride, else 1.
        legend: of a module: what its channels mean; None numbers them.
        on_progress: called before the first tile and after each.
        on_plan: called with the plan before anything runs.
        session: what runs the tiles, for several runs one after the other; None: what the options name, for this run.
        **options: fields of :class:`geoseg.verbs.options.RunOptions`.

    Raises:
        GeosegError: one line with what is wrong and the way out; nothing is left under a final name, and finished
            tiles stay in the unfinished store beside the target.
    """
    started = time.perf_counter()
    beside = {"preview": preview, "report": report, "stac": stac}
    wanted = wanted_of(scene, outputs=outputs, reference=reference, beside=beside, options=RunOptions(**options))
    look = partial(prepare, wanted.sources, model=model, multiple=multiple, legend=legend, options=wanted.options)
    with ExitStack() as locking:
        tiles = _run_tiles(wanted, locking, look=look, session=session, on_plan=on_plan, on_progress=on_progress)
        finishing = time.perf_counter()
        if tiles.store is not None:
            peak = peak_rss_bytes()
            tiles.store.update_attributes(
                timing_attributes(tiles.progress, seconds=finishing - started, peak_rss_bytes=peak)
            )
        remarks: list[str] = []
        metrics = _finish(tiles, wanted, on_progress=on_progress, note=remarks.append)
    remarks += [] if metrics is None else score_notes(metrics)
    ended = time.perf_counter()
    plan, progress, truth = tiles.plan, tiles.progress, tiles.truth
    return PredictResult(
        scene=wanted.sources.name,
        outputs=tuple(str(p) for p in wanted.files.paths),
        plan=plan,
        metrics=metrics,
        seconds={"total": ended - started, **progress.seconds, "finish": ended - finishing},
        predicted_pixels=progress.pixels_done - progress.resumed_pixels,
        computed_pixels=progress.computed_pixels,
        peak_rss_bytes=peak_rss_bytes(),
        notes=(*plan.notes, *progress.notes, *(() if truth is None else truth.notes), *remarks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    """A run whose tiles are all done."""

    plan: Plan
    progress: Progress
    store: ResultStore | None
    """The unfinished store; None if an earlier run was stopped when all outputs were in place."""
    truth: LabelInfo | None
    origin: dict[str, Any]
    model: Path | None
    """The bundle."""
    locks: Locks


def _run_tiles(
    wanted: Wanted,
    locking: ExitStack,
    *,
    look: Callable[..., Prepared],
    session: Session | None,
    on_plan: Callable[[Plan], None] | None,
    on_progress: OnProgress | None,
) -> _Tiles:
    """Plans, takes the outputs' locks into ``locking``, and runs every tile that is not done yet."""
    options, files = wanted.options, wanted.files
    with ExitStack() as releasing, ExitStack() as opened:  # tiles may be in work until the session is closed
        active = session or opened.enter_context(open_session(options.cluster, device=options.device))
        ready = look(session=active)
        releasing.callback(ready.model.release)
        truth = None if wanted.reference is None else _inspect_reference(wanted.reference, ready)
        here = not active.shared
        plan = wanted.settle(ready.plan, begun=wanted.begun, here=here)
        if here and not wanted.is_finished(plan):  # a network that cannot be loaded is found before anything is written
            try:
                predictor_of(plan, ready.model.recipe)
            except ConversionError:
                if options.runtime != "auto":
                    raise
                ready = look(session=active)  # once more: that it failed is remembered, so it is another runtime now
                plan = wanted.settle(ready.plan, begun=wanted.begun, here=here)
                predictor_of(plan, ready.model.recipe)
        locks = locking.enter_context(held(files))
        begun = wanted.begun or locks.were_left
        plan = wanted.settle(ready.plan, begun=begun, here=here)  # once more: another run may have ended just now
        origin = provenance(plan, ready.model)
        if on_plan is not None:
            on_plan(plan)
        store = None
        if begun and not options.restart and is_finished(files, plan_digest=plan.digest):
            progress = no_progress(plan)
        else:
            locks.note(record_of(plan, options))
            attributes = {**origin, **run_attributes(ready.model, options, scene=wanted.scene)}
            store = open_part(plan, files.part, restart=options.restart, attributes=attributes, options=options)
            progress = run_plan(plan, ready.model, store, session=active, check=locks.check, on_progress=on_progress)
    return _Tiles(
        plan=plan, progress=progress, store=store, truth=truth, origin=origin, model=ready.model.path, locks=locks
    )


def _finish(
    tiles: _Tiles, wanted: Wanted, *, on_progress: OnProgress | None, note: Callable[[str], None]
) -> dict[str, Any] | None:
    """Derives the outputs; returns the scores, if any."""
    if tiles.store is None:
        return tidy_finished(wanted.files)
    with memory_told(tiles.plan, doing="the outputs were made", way=_AGAIN):
        return finish(
            tiles.store,
            wanted.files,
            tiles.plan,
            options=wanted.options,
            origin=tiles.origin,
            model=tiles.model,
            truth=tiles.truth,
            enter=stages(tiles.progress, on_progress),
            check=tiles.locks.check,
            note=note,
        )


def _inspect_reference(reference: str, ready: Prepared) -> LabelInfo:
    """The reference on the output's grid; looked at before the run, so that a wrong one costs nothing."""
    return inspect_labels(reference, legend=ready.plan.legend, onto=ready.plan.geobox, native=ready.info.native)
