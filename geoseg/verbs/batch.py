"""``geoseg batch``: many scenes, one after the other, with a table that survives whatever ends them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import BundleError, GeosegError, OutputError, StoppedError
from geoseg.inference.executors import ClusterOptions, Session, open_session
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.raster.stac import is_stac
from geoseg.raster.urls import is_url, refuse_credentials, without_credentials
from geoseg.verbs.batch_manifest import KINDS, Kind, read_manifest
from geoseg.verbs.batch_result import BatchResult, export_rows, refuse_export, sum_metrics
from geoseg.verbs.batch_row import Row
from geoseg.verbs.batch_standing import stored_metrics, unfinished_stamp
from geoseg.verbs.batch_steps import Asked, Step, decide, refuse_kinds, settings_of
from geoseg.verbs.batch_table import BatchTable, open_table, table_path
from geoseg.verbs.options import RunOptions
from geoseg.verbs.predict import PredictResult, predict
from geoseg.verbs.prepare import prepare

if TYPE_CHECKING:
    from geoseg.inference.pipeline import Progress
    from geoseg.inference.plan import Plan

_log = logging.getLogger(__name__)


def batch(
    manifest: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    outputs: Sequence[Kind] = ("cog", "zarr"),
    references: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | Bundle | None = None,
    retry_failed: bool = False,
    export: str | os.PathLike[str] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_scene: Callable[[int, int, str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_row: Callable[[Row], None] | None = None,
    **options: Any,
) -> BatchResult:
    """Turns every scene of a manifest into a class map. The same call again does what is left.

    Args:
        manifest: CSV or Parquet with a column ``scene`` (and ``reference``, ``output``), a STAC document (each
            item is a scene), a folder, or a glob.
        output: folder of the maps; the manifest may name others.
        outputs: what is written for each scene: ``cog``, ``zarr``, ``preview``, ``gpkg``.
        references: folder with references of the scenes' stems.
        table: the results table; None is ``geoseg-batch.sqlite`` in the output folder, or beside the manifest.
        model: a bundle or its path; None is the one that ships with geoseg.
        retry_failed: try scenes again that failed before.
        export: a ``.csv`` or ``.parquet`` that the table is written to at the end.
        on_note: called with a remark, before any work.
        on_scene: called with place, number of scenes and name when a scene begins.
        on_progress: called before a scene's first tile and after each.
        on_row: called with its row when a scene has ended.
        **options: fields of :class:`geoseg.verbs.options.RunOptions`, for every scene.

    Raises:
        GeosegError: for whatever would be in the way of all scenes, before any work. What fails for one scene is in
            its row.
    """
    started = time.perf_counter()
    asked = RunOptions(**options)
    refuse_kinds(outputs, known=KINDS, options=asked)
    if export is not None:
        refuse_export(Path(export))
    found = read_manifest(manifest, output=output, references=references, kinds=outputs, asset=asked.asset)
    _refuse_remote_files([target for entry in found.entries for target in entry.targets(outputs)])
    path = Path(table) if table is not None else table_path(output, found.folder)
    if isinstance(model, str | os.PathLike):
        refuse_credentials(model, what="the model", error=BundleError)
    bundle = model if isinstance(model, Bundle) else open_bundle(model)
    with open_table(path) as rows:
        settings = settings_of(asked, model_digest=bundle.digest)
        steps, notes = decide(
            found.entries,
            rows.rows(),
            Asked(kinds=tuple(outputs), settings=settings, options=asked, retry_failed=retry_failed),
        )
        rows.list_scenes([step.entry.scene for step in steps])
        kept = tuple(row for row in rows.rows().values() if row.place is None)
        if kept:
            notes.append(f"{len(kept)} scenes of the table are not in the manifest, first {kept[0].scene}: left alone")
        notes = [*found.notes, *notes]
        for note in notes:
            _tell(on_note, note)
        work = _Batch(
            table=rows, bundle=bundle, kinds=tuple(outputs), options=options, asked=asked,
            on_scene=on_scene, on_progress=on_progress, on_row=on_row,
        )  # fmt: skip
        work.run(steps)
        ended = tuple(row for row in rows.rows().values() if row.place is not None)
        if export is not None:
            export_rows((*ended, *kept), Path(export))
    return BatchResult(
        table=path,
        rows=ended,
        kept=kept,
        metrics=sum_metrics(ended, bundle.card.legend),
        seconds=time.perf_counter() - started,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """A batch in work."""

    table: BatchTable
    bundle: Bundle
    kinds: tuple[Kind, ...]
    options: Mapping[str, Any]
    asked: RunOptions
    on_scene: Callable[[int, int, str], None] | None
    on_progress: Callable[[Progress], None] | None
    on_row: Callable[[Row], None] | None

    def run(self, steps: Sequence[Step]) -> None:
        """Takes every step in one session; a scene that fails is noted in its row and stops no other.

        Raises:
            ClusterError: if the cluster cannot be reached or does not fit, before any work; or if it is lost.
        """
        with ExitStack() as opened:
            session = None
            to_come = sum(step.action == "run" for step in steps)
            for place, step in enumerate(steps, start=1):
                if step.action == "keep":
                    continue
                if step.action == "run":
                    session = session or self._open(opened)
                    to_come -= 1
                    _tell(self.on_scene, place, len(steps), step.entry.scene)
                _tell(self.on_row, self._take(step, session, to_come=to_come))

    def _open(self, opened: ExitStack) -> Session:
        """The session of all scenes, its workers asked who they are."""
        session = opened.enter_context(open_session(self.asked.cluster, device=self.asked.device))
        session.capacity(self.asked.device)
        return session

    def _take(self, step: Step, session: Session | None, *, to_come: int) -> Row:
        if step.action == "skip":
            reason = "its outputs are there already and are not this table's; --overwrite replaces them"
            return self.table.end(step.entry.scene, "skipped", error=reason, outputs=step.outputs)
        if step.action == "adopt":
            metrics = stored_metrics(step.outputs)
            if step.entry.reference is None or metrics is not None:
                return self.table.end(step.entry.scene, "done", **_scores(metrics))
        scene = step.entry.scene
        self.table.begin(scene, outputs=step.outputs, reference=step.entry.reference, settings=step.settings)
        try:
            result = self._predict(step, session, to_come=to_come)
        except StoppedError:
            raise
        except GeosegError as error:
            if session is not None and session.is_lost:
                raise  # no fault of the scene's, and the next would fare no better
            return self.table.end(scene, "failed", error=" ".join(str(error).split()))
        except MemoryError as error:
            told = " ".join(str(error).split())
            return self.table.end(scene, "failed", error=f"out of memory{f' ({told})' if told else ''}")
        except Exception as error:  # noqa: BLE001 - whatever a scene does, the others go on
            _log.exception("%s", scene)
            reason = without_credentials(" ".join(f"{type(error).__name__}: {error}".split()))
            return self.table.end(scene, "failed", error=f"{reason}; this should not happen, please report it")
        return self.table.end(
            scene,
            "done",
            predicted_pixels=result.predicted_pixels,
            seconds=result.seconds["total"],
            **_scores(result.metrics),
        )

    def _predict(self, step: Step, session: Session | None, *, to_come: int) -> PredictResult:
        def planned(plan: Plan) -> None:
            height, width = plan.geobox.shape
            self.table.planned(step.entry.scene, plan_digest=plan.digest, pixels=height * width)

        by_kind = dict(zip(self.kinds, step.outputs, strict=True))
        preview = by_kind.pop("preview", None)
        return predict(
            step.entry.scene,
            outputs=list(by_kind.values()),
            model=self.bundle,
            reference=step.entry.reference,
            preview=preview,
            on_plan=planned,
            on_progress=self.on_progress,
            session=session,
            **{
                **self.options,
                "overwrite": step.overwrite,
                "restart": self._restarts(step),
                "asset": self._asset(step.entry.scene),
                "to_come": to_come,
            },
        )

    def _restarts(self, step: Step) -> bool:
        """Drop what is begun: the user says so, or the scene failed and is another now, or is asked for otherwise."""
        if self.asked.restart:
            return True
        begun = unfinished_stamp(step.outputs, self.kinds) if step.retry else None
        return begun is not None and (step.changed or begun != self._stamp(step.entry.scene))

    def _stamp(self, scene: str) -> str:
        """Which files the scene is made of now."""
        with open_session(ClusterOptions()) as session:  # nothing is run in it
            options = replace(self.asked, asset=self._asset(scene))
            return prepare(scene, model=self.bundle, options=options, session=session).plan.stamp

    def _asset(self, scene: str) -> str | None:
        """What the manifest's own items were chosen by is for those scenes only that are STAC documents themselves."""
        return self.asked.asset if is_stac(scene) else None


def _scores(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if metrics is None else {"miou": metrics["miou"], "confusion": metrics["confusion"]}


def _refuse_remote_files(targets: Sequence[str]) -> None:
    local = [target for target in targets if is_url(target) and not target.endswith(".zarr")]
    if local:
        raise OutputError(f"{local[0]}: only Zarr stores are written to URLs; ask for the outputs zarr alone")


def _tell(listener: Callable[..., None] | None, *news: Any) -> None:
    if listener is not None:
        listener(*news)
