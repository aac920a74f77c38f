"""``geoseg.predict_lazy``: the class map of a scene as a lazy array, for those who have Dask at hand."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import numpy as np

import geoseg
from geoseg.choices import LAZY_LAYERS, LazyLayer
from geoseg.errors import MissingExtraError, PlanError
from geoseg.inference.executors import open_session
from geoseg.inference.executors.options import ClusterOptions
from geoseg.inference.lazy import lazy_tiles
from geoseg.inference.plan import Plan
from geoseg.legend import Legend
from geoseg.models.bundle import Bundle
from geoseg.raster import zarr_layout
from geoseg.verbs.options import RunOptions
from geoseg.verbs.prepare import prepare
from geoseg.verbs.sources import SceneLike

if TYPE_CHECKING:
    import xarray

    from geoseg.verbs.prepare import ModelLike


def predict_lazy(
    scene: SceneLike,
    model: ModelLike = None,
    *,
    layer: LazyLayer = "classes",
    multiple: int | None = None,
    legend: Legend | None = None,
    **options: Any,
) -> xarray.DataArray:
    """The class map of a scene, to be computed when and where it is asked for.

    The plan is made at once (the scene's header and the model's card are read); pixels are read and predicted tile by
    tile, by any Dask scheduler, and only the tiles that are asked for. Computed, it equals what ``predict`` writes in
    the same runtime: eager PyTorch, unless another is asked for.

    Args:
        scene: as for ``predict``, several files that are one scene included; workers in other processes must be able
            to open them.
        model: a bundle or its path, None for the one that ships with geoseg, or a ``torch.nn.Module``, of which the
            array keeps a copy, for threads of this process only.
        layer: ``classes``, or ``confidence`` in percent.
        multiple: of a module: what its patches' sides must be multiples of; None: an smp model's output stride, else 1.
        legend: of a module: what its channels mean; None numbers them.
        **options: fields of :class:`geoseg.verbs.options.RunOptions`; those of outputs and clusters mean nothing here.

    Returns:
        uint8 (y, x), 255 = nodata, one chunk per tile; ``rio.crs``, ``rio.transform()`` and ``rio.nodata`` as in the
        written Zarr, the legend and where it came from in ``attrs``.

    Raises:
        MissingExtraError: if xarray or rioxarray is not installed.
        GeosegError: if scene, model or options do not go together.
    """
    try:
        import rioxarray  # noqa: F401 - registers .rio
        import xarray
    except ImportError as error:
        raise MissingExtraError("predict_lazy needs xarray and rioxarray: pip install 'geoseg[lazy]'") from error
    if layer not in LAZY_LAYERS:
        raise PlanError(f"layer {layer!r}: there are {', '.join(LAZY_LAYERS)}")
    if layer == "confidence":
        options = {**options, "confidence": True}
    if options.get("runtime", "auto") == "auto":  # computed wherever a scheduler likes: no worker can be asked
        options = {**options, "runtime": "eager"}
    asked = RunOptions(**options)
    if not (model is None or isinstance(model, str | os.PathLike | Bundle)):
        model = copy.deepcopy(model)  # the caller's may be trained on, or be used by a run that gives it back
    with open_session(ClusterOptions(scheduler="sync"), device=asked.device) as session:  # planned for this machine
        ready = prepare(scene, model=model, multiple=multiple, legend=legend, options=asked, session=session)
    try:
        tiles = lazy_tiles(ready.plan, ready.model, layer=layer)
    except BaseException:
        ready.model.release()
        raise
    found = xarray.DataArray(
        tiles, dims=("y", "x"), coords=_coordinates(ready.plan), name=layer, attrs=_attributes(ready.plan, layer)
    )
    if zarr_layout.has_grid_mapping(ready.plan.geobox):
        found.encoding["grid_mapping"] = zarr_layout.GRID_MAPPING  # where xarray keeps it once it has read a file
    return found


def _coordinates(plan: Plan) -> dict[str, Any]:
    """As in the written store: pixel centres where the grid runs along the axes, and the scalar ``spatial_ref``."""
    axes = zarr_layout.axis_coordinates(plan.geobox)
    found: dict[str, Any] = {name: ((name,), values, attributes) for name, (values, attributes) in axes.items()}
    if zarr_layout.has_grid_mapping(plan.geobox):
        found[zarr_layout.GRID_MAPPING] = ((), np.int64(0), zarr_layout.grid_mapping_attributes(plan.geobox))
    return found


def _attributes(plan: Plan, layer: LazyLayer) -> dict[str, Any]:
    meaning = zarr_layout.legend_attributes(plan.legend) if layer == "classes" else {"units": "percent"}
    return {
        "nodata": zarr_layout.map_attributes(plan.geobox)["nodata"],
        **meaning,
        "geoseg_version": geoseg.__version__,
        "geoseg_model": plan.model,
        "geoseg_model_digest": plan.model_digest,
        "geoseg_plan_digest": plan.digest,
        "geoseg_contexts": ",".join(str(c.size) for c in plan.contexts),
    }
