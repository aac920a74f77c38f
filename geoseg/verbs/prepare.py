"""From what a user names to a plan: scene, model and options looked at, nothing run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.errors import BundleError, PlanError
from geoseg.inference.executors import Session
from geoseg.inference.plan import Plan
from geoseg.inference.planner import make_plan
from geoseg.legend import Legend
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.models.source import ModelSource, from_bundle, from_module
from geoseg.raster.scene import SceneInfo, inspect_scene
from geoseg.raster.urls import is_url, refuse_credentials
from geoseg.verbs.options import RunOptions

if TYPE_CHECKING:
    from torch import nn

    ModelLike = str | os.PathLike[str] | Bundle | nn.Module | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that has been looked at."""

    scene: str
    info: SceneInfo
    model: ModelSource
    plan: Plan


def prepare(
    scene: str | os.PathLike[str],
    *,
    model: ModelLike,
    options: RunOptions,
    session: Session,
    multiple: int | None = None,
    legend: Legend | None = None,
) -> Prepared:
    """Looks at scene and model and makes the plan.

    Args:
        scene: path or URL.
        model: a bundle or its path, None for the one that ships with geoseg, or a ``torch.nn.Module``.
        options: what the user asks for.
        session: what will run the tiles: the plan is for the smallest of its workers.
        multiple: of a module; see ``from_module``.
        legend: of a module; see ``from_module``.

    Raises:
        SceneError, SceneReadError, BundleError, PlanError: see ``inspect_scene``, ``open_bundle``, ``make_plan``.
    """
    name = locate(scene)
    if session.shared and model is not None and not isinstance(model, str | os.PathLike | Bundle):
        raise PlanError(
            "a torch.nn.Module cannot travel to other processes: save it as a bundle (geoseg.models.bundle.save_bundle)"
            " and give that, or leave out the cluster"
        )
    source = model_source(model, multiple=multiple, legend=legend)
    try:
        info = inspect_scene(
            name,
            bands=source.bands,
            bidx=options.bidx,
            nodata=options.nodata,
            gsd=source.gsd,
            resolution=options.resolution,
            max_block_mb=options.max_block_mb,
            max_pixels=options.max_pixels,
        )
        plan = make_plan(info, source, options, capacity=session.capacity(options.device))
    except BaseException:
        source.release()
        raise
    return Prepared(scene=name, info=info, model=source, plan=plan)


def locate(scene: str | os.PathLike[str], *, what: str = "the scene") -> str:
    """The scene's name as any worker can open it: an existing path is made absolute, anything else is left.

    Links are not followed: masks, world files and statistics lie beside the link.

    Raises:
        SceneError: if the name holds credentials.
    """
    text = os.fspath(scene)
    refuse_credentials(text, what=what)
    return text if is_url(text) or not Path(text).exists() else str(Path(text).absolute())


def model_source(model: ModelLike, *, multiple: int | None = None, legend: Legend | None = None) -> ModelSource:
    """The source of a bundle or its path, of a module, or (None) of the bundle that ships with geoseg.

    Raises:
        PlanError: if ``multiple`` or ``legend`` is given for a bundle, which has its own.
    """
    if model is None or isinstance(model, str | os.PathLike | Bundle):
        if multiple is not None or legend is not None:
            raise PlanError("multiple and legend are for modules: a bundle's card has its own")
        if isinstance(model, str | os.PathLike):
            refuse_credentials(model, what="the model", error=BundleError)
        return from_bundle(model if isinstance(model, Bundle) else open_bundle(model))
    return from_module(model, multiple=multiple, legend=legend)
