"""A class map as whatever is made from it wants it: its grid, its legend, and windows of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE, Legend
from geoseg.raster.datasets import open_dataset, raster_environment
from geoseg.raster.label_legend import guessed_legend, stored_legend
from geoseg.raster.label_reading import LabelRecipe, is_store, label_reading, open_class_store, read_labels
from geoseg.raster.labels import inspect_labels

Ids = npt.NDArray[np.uint8]

_ANY = Legend.from_json([{"id": i, "name": str(i), "color": [i, 1, 254 - i]} for i in range(IGNORE)])
"""Every id, where no legend is known; in colours that no palette has, so that palettes are read by their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """A class map that has been looked at. Reads from any thread or process."""

    recipe: LabelRecipe
    geobox: GeoBox
    legend: Legend
    """The map's own; where it has none, every id from 0 to 254 with a name made of its number."""
    has_legend: bool
    has_confidence: bool
    scene: str
    """Name of the scene."""
    model: str | None
    """Name of the model that made it, if it says."""
    digest: str | None = None
    """Of the plan that made it, if it says."""
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""

    def classes(self, window: Window) -> Ids:
        """Class ids (height, width) of a window; 255 where there is none."""
        return read_labels(self.recipe, window)

    def padded(self, window: Window) -> Ids:
        """Class ids (height + 2, width + 2) of a window and its neighbours; 255 outside the map."""
        return read_labels(self.recipe, window.grown(1))

    def confidence(self, window: Window) -> Ids:
        """Confidence (height, width) of a window, percent; 255 where there is none."""
        found: Ids = open_class_store(self.recipe.uri).read_confidence(window)
        return found


def open_class_map(uri: str | os.PathLike[str], *, legend: Legend | None = None) -> ClassMap:
    """Looks at a class map.

    Args:
        uri: a ``.zarr`` that geoseg wrote, or any raster of class ids.
        legend: in place of the map's own.

    Raises:
        SceneReadError: if it cannot be opened.
        SceneError: if it is no raster of class ids.
        LegendError: if its legend cannot be read.
    """
    uri = os.fspath(uri)
    known = legend or stored_legend(uri)
    info = inspect_labels(uri, legend=known or _ANY)
    notes = list(info.notes)
    if known is None:
        notes.append(f"{uri} carries no legend: classes are called by their ids, or as its category names say")
    facts = _facts(uri)
    return ClassMap(
        recipe=info.recipe,
        geobox=info.geobox,
        legend=known or guessed_legend(uri, ids=range(IGNORE)),
        has_legend=known is not None,
        has_confidence=is_store(uri) and bool(open_class_store(uri).spec.confidence),
        scene=scene_name(uri),
        model=facts.get("geoseg_model"),
        digest=facts.get("geoseg_plan_digest"),
        notes=tuple(notes),
    )


def scene_name(uri: str) -> str:
    """The scene that a map is called after: ``field_classes.tif`` is of ``field``."""
    return Path(uri.rstrip("/")).stem.removesuffix("_classes")


def _facts(uri: str) -> dict[str, Any]:
    """What a map says of where it came from; names in lower case."""
    if is_store(uri):
        return dict(open_class_store(uri).attributes)
    with label_reading(uri, None), raster_environment():
        return {name.lower(): value for name, value in open_dataset(uri).tags().items()}


__all__ = ["ClassMap", "open_class_map", "scene_name"]
