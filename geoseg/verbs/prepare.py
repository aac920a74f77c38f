"""From what a user names to a plan: scene, model and options looked at, nothing run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geoseg.errors import BundleError, PlanError
from geoseg.inference.executors import Session
from geoseg.inference.plan import Plan
from geoseg.inference.planner import make_plan
from geoseg.legend import Legend
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.models.source import ModelSource, from_bundle, from_module
from geoseg.raster.aoi_files import read_area
from geoseg.raster.mosaic import inspect_mosaic
from geoseg.raster.scene import SceneInfo
from geoseg.raster.urls import refuse_credentials
from geoseg.verbs.options import RunOptions
from geoseg.verbs.sources import SceneLike, Sources, locate, sources_of

__all__ = ["Prepared", "inspect", "locate", "model_source", "prepare"]

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
    scene: SceneLike | Sources,
    *,
    model: ModelLike,
    options: RunOptions,
    session: Session,
    multiple: int | None = None,
    legend: Legend | None = None,
) -> Prepared:
    """Looks at scene and model and makes the plan.

    Args:
        scene: path or URL, or several that are one scene.
        model: a bundle or its path, None for the one that ships with geoseg, or a ``torch.nn.Module``.
        options: what the user asks for.
        session: what will run the tiles: the plan is for the smallest of its workers.
        multiple: of a module; see ``from_module``.
        legend: of a module; see ``from_module``.

    Raises:
        SceneError, SceneReadError, BundleError, PlanError: see ``inspect_mosaic``, ``read_area``,
            ``open_bundle``, ``make_plan``.
    """
    sources = scene if isinstance(scene, Sources) else sources_of(scene, asset=options.asset)
    if session.shared and model is not None and not isinstance(model, str | os.PathLike | Bundle):
        raise PlanError(
            "a torch.nn.Module cannot travel to other processes: save it as a bundle (geoseg.models.bundle.save_bundle)"
            " and give that, or leave out the cluster"
        )
    source = model_source(model, multiple=multiple, legend=legend)
    try:
        info = inspect(sources, bands=source.bands, gsd=source.gsd, options=options)
        plan = make_plan(info, source, options, capacity=session.capacity(options.device))
    except BaseException:
        source.release()
        raise
    return Prepared(scene=sources.name, info=info, model=source, plan=plan)


def inspect(sources: Sources, *, bands: int | None, gsd: float | None, options: RunOptions) -> SceneInfo:
    """How the files of a scene are read, and where they count.

    Args:
        sources: the files.
        bands: as for ``inspect_mosaic``.
        gsd: as for ``inspect_mosaic``.
        options: what the user asks for.
    """
    info = inspect_mosaic(
        sources.files,
        bands=bands,
        bidx=options.bidx,
        nodata=options.nodata,
        gsd=gsd,
        resolution=options.resolution,
        max_block_mb=options.max_block_mb,
        max_pixels=options.max_pixels,
        dst_crs=options.dst_crs,
    )
    info = replace(info, notes=(*sources.notes, *info.notes))
    if options.aoi is None:
        return info
    area = read_area(options.aoi, info.geobox, layer=options.aoi_layer)
    return replace(info, recipe=replace(info.recipe, aoi=area))


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
