"""Several scenes on one command line: several runs, one summary. A broken scene does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import GeosegError, OutputError, PlanError, StoppedError
from geoseg.inference.executors import Session, open_session
from geoseg.raster.places import is_store_url
from geoseg.verbs.options import RunOptions
from geoseg.verbs.outputs import VECTOR_SUFFIXES, choose_outputs
from geoseg.verbs.predict import PredictResult, predict
from geoseg.verbs.sources import SceneLike, sources_of

if TYPE_CHECKING:
    from geoseg.inference.pipeline import Progress
    from geoseg.inference.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One scene and what is wanted of it."""

    scene: SceneLike
    name: str
    """The scene in words."""
    outputs: tuple[str, ...]
    reference: str | None
    preview: str | None
    report: str | None = None
    stac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of a job: a result or an error."""

    job: Job
    result: PredictResult | None
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """The result's summary; for a failed run its scene and error."""
        if self.result is not None:
            return self.result.to_json()
        return {"scene": self.job.name, "error": self.error}

    def rows(self) -> list[tuple[str, str]]:
        """What was written and what it took, as a table of two columns."""
        assert self.result is not None
        result = self.result
        rows = [("wrote", _described(path)) for path in result.outputs]
        seconds = result.seconds
        total = seconds["total"]
        busy = ", ".join(f"{name} {seconds[name]:.1f}" for name in ("read", "compute", "write", "finish"))
        rows.append(
            ("time", f"{total:.1f} s, {result.predicted_pixels / 1e6 / total:.2f} Mpx/s (busy seconds: {busy})")
        )
        rows.append(("memory", f"{result.peak_rss_bytes / 1e9:.2f} GB at most"))
        rows += [("note", note) for note in result.notes if note not in result.plan.notes]
        if result.metrics is not None:
            miou = result.metrics["miou"]
            rows.append(("mIoU", "no score" if miou is None else f"{miou:.4f}"))
        return rows


def jobs_of(
    scenes: Sequence[SceneLike],
    *,
    outputs: Sequence[str],
    references: Sequence[str],
    preview: str | None,
    report: str | None = None,
    stac: str | None = None,
    asset: str | None = None,
) -> list[Job]:
    """The jobs of a command line.

    Args:
        scenes: each a path or URL, or several that are one scene.
        outputs: of the one scene, or a folder.
        references: none, or one per scene.
        preview: of the one scene.
        report: of the one scene.
        stac: of the one scene.
        asset: of STAC items.

    Raises:
        PlanError: if there are references but not one per scene.
        OutputError: if several scenes would write the same file, or ``outputs`` is no folder for several.
    """
    if references and len(references) != len(scenes):
        raise PlanError(f"{len(scenes)} scenes and {len(references)} references: give one --reference per scene")
    if len(scenes) > 1:
        if len(outputs) > 1 or any(
            Path(o).suffix.lower() in (".tif", ".tiff", ".zarr", *VECTOR_SUFFIXES) for o in outputs
        ):
            raise OutputError(f"{len(scenes)} scenes need a folder: -o FOLDER, not {' '.join(outputs)}")
        for option, extra in (("preview", preview), ("report", report), ("stac", stac)):
            if extra is not None:
                raise OutputError(f"--{option} is for one scene at a time")
        outputs = [os.path.join(o, "") for o in outputs]  # noqa: PTH118 - the trailing slash makes it a folder
    found: dict[Path | str, str] = {}
    names = []
    for scene in scenes:
        name, stem, wanted = _named(scene, outputs, asset)
        names.append(name)
        for target in choose_outputs(stem, wanted).paths:
            if target in found:
                raise OutputError(f"{found[target]} and {name} would both write {target}: give each its own folder")
            found[target] = name
    return [
        Job(
            scene=scene,
            name=name,
            outputs=tuple(outputs),
            reference=references[i] if references else None,
            preview=preview,
            report=report,
            stac=stac,
        )
        for i, (scene, name) in enumerate(zip(scenes, names, strict=True))
    ]


def _named(scene: SceneLike, outputs: Sequence[str], asset: str | None) -> tuple[str, str, Sequence[Any]]:
    """A scene in words, what its outputs are called after, and where they go."""
    if isinstance(scene, str | os.PathLike):  # not looked into: a broken one must not stop the others
        return os.fspath(scene), os.fspath(scene), outputs
    sources = sources_of(scene, asset=asset)
    return sources.name, sources.stem, sources.folder_of(outputs)


def predict_scenes(
    jobs: Sequence[Job],
    *,
    model: str | None,
    options: Mapping[str, Any],
    on_start: Callable[[Job], None],
    on_plan: Callable[[Plan], None],
    on_progress: Callable[[Progress], None],
) -> list[Run]:
    """Runs every job; an error ends its own job only. One job alone raises its error as it is."""
    if len(jobs) == 1:
        return _predict_each(
            jobs, model=model, options=options, on_start=on_start, on_plan=on_plan, on_progress=on_progress
        )
    asked = RunOptions(**options)
    with open_session(asked.cluster, device=asked.device) as session:
        return _predict_each(
            jobs,
            model=model,
            options=options,
            session=session,
            on_start=on_start,
            on_plan=on_plan,
            on_progress=on_progress,
        )


def _predict_each(
    jobs: Sequence[Job],
    *,
    model: str | None,
    options: Mapping[str, Any],
    on_start: Callable[[Job], None],
    on_plan: Callable[[Plan], None],
    on_progress: Callable[[Progress], None],
    session: Session | None = None,
) -> list[Run]:
    runs: list[Run] = []
    for job in jobs:
        on_start(job)
        try:
            result = predict(
                job.scene,
                outputs=job.outputs,
                model=model,
                reference=job.reference,
                preview=job.preview,
                report=job.report,
                stac=job.stac,
                on_progress=on_progress,
                on_plan=on_plan,
                session=session,
                **options,
            )
        except StoppedError:
            raise
        except GeosegError as error:
            if len(jobs) == 1:
                raise
            reason = " ".join(str(error).split())
            runs.append(Run(job=job, result=None, error=reason))
            if session is not None and session.is_lost:  # no fault of the scene's, and the next would fare no better
                left = jobs[len(runs) :]
                runs += [Run(job=other, result=None, error=f"{other.name}: not begun: {reason}") for other in left]
                break
        else:
            runs.append(Run(job=job, result=result, error=None))
    return runs


def _described(output: str) -> str:
    """A path with its size; a URL as it is: asking for the sizes of all objects takes long."""
    return output if is_store_url(output) else f"{output}  ({_size(Path(output)) / 1e6:.2f} MB)"


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size
