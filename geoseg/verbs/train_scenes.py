"""The labelled scenes of a training run: opened, their labels copied and counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from geoseg.errors import ConfigError
from geoseg.raster.labels import inspect_labels, read_labels
from geoseg.raster.scene import inspect_scene, read_window
from geoseg.training.scenes import LabelledScene, scan_labels
from geoseg.training.settings import SceneConfig, TrainConfig


def open_scenes(
    config: TrainConfig, split: str, *, dtypes: dict[str, str], note: Callable[[str], None]
) -> list[LabelledScene]:
    """The scenes of a split.

    Args:
        config: of the run.
        split: ``train`` or ``validation``.
        dtypes: gets the data type of each scene, by its name.
        note: told what a user should know of them.

    Raises:
        ConfigError: if a scene has no labels of the legend.
        SceneError, SceneReadError, LegendError, GridError: see ``inspect_scene``, ``inspect_labels``.
    """
    return [_open(config, scene, dtypes=dtypes, note=note) for scene in config.of_split(split)]


def one_dtype(dtypes: Mapping[str, str]) -> str:
    """The data type of all scenes: the normalisation is in its units, so there can be but one.

    Raises:
        ConfigError: if there are several; names a scene of each.
    """
    kinds = sorted(set(dtypes.values()))
    if len(kinds) > 1:
        example = {kind: name for name, kind in dtypes.items()}
        listed = ", ".join(f"{example[kind]} is {kind}" for kind in kinds)
        raise ConfigError(f"all scenes must be of one data type: {listed}; convert one to the other's")
    return kinds[0]


def _open(
    config: TrainConfig, scene: SceneConfig, *, dtypes: dict[str, str], note: Callable[[str], None]
) -> LabelledScene:
    model = config.model
    info = inspect_scene(
        scene.image, bands=len(model.bands), bidx=scene.bidx or None, nodata=scene.nodata, gsd=model.gsd
    )
    labels = inspect_labels(scene.labels, legend=config.legend, onto=info.geobox, native=info.native)
    dtypes[scene.name] = info.dtype
    for remark in (*info.notes, *labels.notes):
        note(f"{scene.name}: {remark}")
    channels, counts = scan_labels(
        partial(read_labels, labels.recipe),
        shape=info.geobox.shape,
        legend=config.legend,
        path=config.work / "labels" / f"{scene.name}.u8",
    )
    if not counts.any():
        raise ConfigError(f"{scene.labels}: not one pixel has a class of the legend; check its ids or leave it out")
    return LabelledScene(
        name=scene.name, read=partial(read_window, info.recipe), labels=channels, counts=counts, weight=scene.weight
    )
