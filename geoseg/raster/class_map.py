"""A class map as whatever is made from it wants it: its grid, its legend, and windows of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE, Legend
from geoseg.raster.datasets import open_dataset
from geoseg.raster.label_legend import guessed_legend, stored_legend
from geoseg.raster.label_reading import is_store, label_reading, open_class_store, read_labels
from geoseg.raster.labels import ANY_IDS, inspect_labels
from geoseg.raster.locations import PLAN_DIGEST

if TYPE_CHECKING:
    from geoseg.raster.zarr_store import ResultStore

_PLAN = "geoseg_plan"
"""Root attribute of a store with the plan of its run."""

Ids = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """A class map that has been looked at; read from any thread."""

    name: str
    """What a user calls it."""
    geobox: GeoBox
    legend: Legend
    """The map's own; where it has none, every id from 0 to 254 with a name made of its number."""
    has_legend: bool
    classes: Callable[[Window], Ids]
    """Class ids (height, width) of a window that may reach beyond the map; 255 where there is none."""
    confidence: Callable[[Window], Ids] | None
    """Confidence (height, width) of a window, percent, 255 where there is none; None for no such layer."""
    scene: str
    """Name of the scene."""
    model: str | None
    """Name of the model that made it, if it says."""
    digest: str | None
    """Of the plan that made it, if it says."""
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""

    def padded(self, window: Window) -> Ids:
        """Class ids (height + 2, width + 2) of a window and its neighbours; 255 outside the map."""
        return self.classes(window.grown(1))


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
    info = inspect_labels(uri, legend=known or ANY_IDS)
    notes = list(info.notes)
    if known is None:
        notes.append(f"{uri} carries no legend: classes are called by their numbers, or as its category names say")
    store = open_class_store(uri) if is_store(uri) else None
    facts = _tags(uri) if store is None else store.attributes
    return ClassMap(
        name=uri,
        geobox=info.geobox,
        legend=known or guessed_legend(uri, ids=range(IGNORE)),
        has_legend=known is not None,
        classes=partial(read_labels, info.recipe),
        confidence=None if store is None or not store.spec.confidence else store.read_confidence,
        scene=_scene_of(facts, uri),
        model=facts.get("geoseg_model"),
        digest=facts.get(PLAN_DIGEST),
        notes=tuple(notes),
    )


def map_of_store(store: ResultStore, *, scene: str) -> ClassMap:
    """An open store as a class map."""
    facts = store.attributes
    return ClassMap(
        name=str(store.place),
        geobox=store.geobox,
        legend=store.legend,
        has_legend=True,
        classes=partial(_read_store, store),
        confidence=store.read_confidence if store.spec.confidence else None,
        scene=scene,
        model=facts.get("geoseg_model"),
        digest=facts.get(PLAN_DIGEST),
    )


def _read_store(store: ResultStore, window: Window) -> Ids:
    inside = window.intersect(Window.whole(store.shape))
    out = np.full(window.shape, IGNORE, np.uint8)
    out[inside.within(window)] = store.read_classes(inside)
    return out


def _scene_of(facts: Mapping[str, Any], uri: str) -> str:
    """Stem of the scene a map was made from, by its plan; else of the map: ``field_classes.tif`` is of ``field``."""
    plan = facts.get(_PLAN)
    read = plan.get("scene", {}).get("uri") if isinstance(plan, Mapping) else None
    return Path(str(read).split("?")[0]).stem if read else Path(uri.rstrip("/")).stem.removesuffix("_classes")


def _tags(uri: str) -> dict[str, str]:
    """What a raster says of where it came from; names in lower case."""
    with label_reading(uri, None):
        return {name.lower(): value for name, value in open_dataset(uri).tags().items()}
