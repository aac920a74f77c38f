"""``geoseg predict``: the main job. One scene to classes on disk, scored where there is a reference."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import geoseg
from geoseg.errors import OutputError
from geoseg.evaluation.compare import evaluate_windows
from geoseg.inference.executors import Session, open_session
from geoseg.inference.machine import peak_rss_bytes
from geoseg.inference.pipeline import Progress, run_plan
from geoseg.inference.plan import Plan
from geoseg.inference.resume import open_part
from geoseg.legend import Legend
from geoseg.raster.atomic import discard
from geoseg.raster.cog import write_cog
from geoseg.raster.label_reading import read_labels
from geoseg.raster.labels import LabelInfo, inspect_labels
from geoseg.raster.quicklook import write_quicklook
from geoseg.raster.tags import LEGEND_TAG, METRICS_TAG
from geoseg.raster.zarr_store import ResultStore, finish_store, was_created
from geoseg.verbs.evaluate import score_notes
from geoseg.verbs.options import RunOptions
from geoseg.verbs.outputs import Outputs, choose_outputs, make_folders, refuse_outputs
from geoseg.verbs.prepare import Prepared, locate, prepare

if TYPE_CHECKING:
    from geoseg.verbs.prepare import ModelLike

OnProgress = Callable[[Progress], None]


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
    scene: str | os.PathLike[str],
    *,
    outputs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] = (),
    model: ModelLike = None,
    reference: str | os.PathLike[str] | None = None,
    preview: str | os.PathLike[str] | None = None,
    multiple: int | None = None,
    legend: Legend | None = None,
    on_progress: OnProgress | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    session: Session | None = None,
    **options: Any,
) -> PredictResult:
    """Turns a scene into a class map.

    Args:
        scene: path or URL of anything rasterio opens.
        outputs: ``*.tif`` (Cloud Optimized GeoTIFF) and ``*.zarr`` targets, or a folder; none for
            ``<stem>_classes.tif`` and ``.zarr`` beside the scene.
        model: a bundle or its path, None for the one that ships with geoseg, or a ``torch.nn.Module`` that gives
            logits (N, K, h, w) for unnormalised float32 (N, C, h, w).
        reference: a label raster to score against, on the output's grid by nearest neighbour.
        preview: a quick-look PNG of the classes over the scene.
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
    wanted = [outputs] if isinstance(outputs, str | os.PathLike) else list(outputs)
    asked = RunOptions(**options)
    name = locate(scene)
    truth_name = None if reference is None else locate(reference, what="the reference")
    files = choose_outputs(name, wanted, preview=preview)
    if files.zarr is None and (asked.confidence or asked.probabilities):
        raise OutputError("confidence and probabilities are layers of the Zarr store: add an output that ends in .zarr")
    continued = was_created(files.part)
    if not continued:  # the cheapest refusal comes first
        refuse_outputs(files, scene=name, overwrite=asked.overwrite)
    with ExitStack() as releasing, ExitStack() as opened:  # tiles may be in work until the session is closed
        active = session or opened.enter_context(open_session(asked.cluster, device=asked.device))
        ready = prepare(name, model=model, multiple=multiple, legend=legend, options=asked, session=active)
        releasing.callback(ready.model.release)
        truth = None if truth_name is None else _inspect_reference(truth_name, ready)
        if continued:
            refuse_outputs(files, scene=name, overwrite=asked.overwrite, plan_digest=ready.plan.digest)
        if not active.shared:  # a network that cannot be loaded is found before anything is written
            ready.model.predictor(ready.plan.device)
        make_folders(files)
        store = open_part(ready.plan, files.part, restart=asked.restart, attributes=_provenance(ready))
        if on_plan is not None:
            on_plan(ready.plan)
        progress = run_plan(ready.plan, ready.model, store, session=active, on_progress=on_progress)
    finishing = time.perf_counter()
    metrics = _finish(store, files, ready, asked, truth=truth, enter=_stages(progress, on_progress))
    ended = time.perf_counter()
    return PredictResult(
        scene=name,
        outputs=tuple(str(p) for p in files.paths),
        plan=ready.plan,
        metrics=metrics,
        seconds={"total": ended - started, **progress.seconds, "finish": ended - finishing},
        predicted_pixels=progress.pixels_done - progress.resumed_pixels,
        computed_pixels=progress.computed_pixels,
        peak_rss_bytes=peak_rss_bytes(),
        notes=(
            *ready.plan.notes,
            *(() if truth is None else truth.notes),
            *(() if metrics is None else score_notes(metrics)),
        ),
    )


def _stages(progress: Progress, on_progress: OnProgress | None) -> Callable[[str], None]:
    """Tells whoever listens which stage after the tiles begins."""

    def enter(stage: str) -> None:
        progress.stage = stage
        if on_progress is not None:
            on_progress(progress)

    return enter


def _inspect_reference(reference: str, ready: Prepared) -> LabelInfo:
    """The reference on the output's grid; looked at before the run, so that a wrong one costs nothing."""
    return inspect_labels(reference, legend=ready.plan.legend, onto=ready.plan.geobox, native=ready.info.native)


def _provenance(ready: Prepared) -> dict[str, Any]:
    """What every output says of where it came from."""
    return {
        "geoseg_version": geoseg.__version__,
        "geoseg_model": ready.model.name,
        "geoseg_model_digest": ready.model.digest,
        "geoseg_plan_digest": ready.plan.digest,
        "geoseg_contexts": ",".join(str(c.size) for c in ready.plan.contexts),
    }


def _evaluate(store: ResultStore, truth: LabelInfo, plan: Plan) -> dict[str, Any]:
    """Scores of the store against the reference."""
    return evaluate_windows(
        store.read_classes,
        lambda window: read_labels(truth.recipe, window),
        store.shape,
        legend=plan.legend,
    )


def _finish(
    store: ResultStore,
    files: Outputs,
    ready: Prepared,
    options: RunOptions,
    *,
    truth: LabelInfo | None,
    enter: Callable[[str], None],
) -> dict[str, Any] | None:
    """Everything that is derived from the whole store, each renamed into place when whole, the store last.

    Returns:
        The scores, if there is a reference: they come first, so that every output carries them.
    """
    metrics = None
    if truth is not None:
        enter("scoring")
        metrics = _evaluate(store, truth, ready.plan)
        store.update_attributes({"metrics": metrics})
    enter("overviews")
    store.add_overviews(threads=ready.plan.threads)
    if files.cog is not None:
        enter("COG")
        write_cog(
            store,
            files.cog,
            tags=_tags(ready, metrics),
            compress=options.compress,
            overwrite=True,  # asked before the run
            threads=ready.plan.threads,
        )
    if files.preview is not None:
        enter("preview")
        write_quicklook(files.preview, store=store, recipe=ready.plan.recipe)
    if files.zarr is not None:
        finish_store(store.path, files.zarr, overwrite=True)
    else:
        discard(store.path)
    return metrics


def _tags(ready: Prepared, metrics: dict[str, Any] | None) -> dict[str, str]:
    """TIFF tags: provenance, the legend, and the scores if there are any."""
    tags = {name.upper(): str(value) for name, value in _provenance(ready).items()}
    tags[LEGEND_TAG] = json.dumps(ready.plan.legend.to_json())
    if metrics is not None:
        tags[METRICS_TAG] = json.dumps(metrics)
    return tags
