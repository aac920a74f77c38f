"""``geoseg assess design``: a stratified random sample of a class map, for people to interpret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.choices import Allocation, UnitShape
from geoseg.errors import LegendError, SampleError
from geoseg.evaluation.sample_size import allocate, sample_size
from geoseg.evaluation.sampling import Tally, draw, tally
from geoseg.geometry.ground import row_areas
from geoseg.legend import Legend
from geoseg.raster.label_legend import guessed_legend
from geoseg.raster.labels import ANY_IDS, inspect_labels, read_labels
from geoseg.raster.sample_file import Stratum, refuse_sample_path, write_sample
from geoseg.raster.urls import refuse_credentials
from geoseg.verbs.class_maps import PathLike, find_legend
from geoseg.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignResult:
    """A sample that was drawn."""

    map: str
    sample: Path
    size: int
    """Units."""
    strata: tuple[Stratum, ...]
    """Every class of the legend."""
    settings: Mapping[str, Any]
    """How it was drawn: the same settings and map give the same sample."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "map": self.map,
            "sample": str(self.sample),
            "size": self.size,
            "strata": [{name: getattr(s, name) for name in Stratum.__slots__} for s in self.strata],
            **self.settings,
            "notes": list(self.notes),
        }


def assess_design(
    classes: PathLike,
    sample: PathLike,
    *,
    size: int | None = None,
    target_se: float = 0.02,
    minimum: int = 50,
    allocation: Allocation = "proportional",
    expected: float = 0.8,
    expected_of: Mapping[str, float] | None = None,
    shape: UnitShape = "points",
    seed: int = 0,
    legend: Legend | PathLike | None = None,
    overwrite: bool = False,
    threads: int = 2,
) -> DesignResult:
    """Draws pixels of a class map, class by class, and writes them for interpretation.

    Args:
        classes: the class map, ``.tif`` or ``.zarr``; its classes are the strata.
        sample: the GeoPackage to write: layer ``sample`` (``unit``, ``map_class``, ``map_name``, ``reference`` to be
            filled in, ``row``, ``col``) and table ``strata``.
        size: units in all; None takes the size at which the overall accuracy has the standard error ``target_se``.
        target_se: see there.
        minimum: units of each class at least.
        allocation: how the units are shared; see ``geoseg.evaluation.sample_size.allocate``.
        expected: conjectured user's accuracy of all classes.
        expected_of: that of some, by name.
        shape: pixel centres, or pixels as squares.
        seed: of the random numbers.
        legend: a legend, or a file with one; None is the map's own.
        overwrite: replace an existing sample.
        threads: windows read at once.

    Raises:
        SampleError: if the sizes cannot be met, or an accuracy is none.
        LegendError: if the map holds no class, or a class is not in the legend.
        OutputExistsError: if the sample is there.
        OutputError: if it cannot be written.
        SceneReadError: if the map cannot be read.
    """
    uri, target = os.fspath(classes), Path(sample)
    refuse_credentials(uri, what="the class map")
    refuse_sample_path(target, overwrite=overwrite)
    _check(size=size, target_se=target_se, minimum=minimum, accuracies=[expected, *(expected_of or {}).values()])
    known = find_legend(uri, legend)
    info = inspect_labels(uri, legend=known or ANY_IDS)
    read = partial(read_labels, info.recipe)
    counted = tally(read, info.geobox.shape, row_areas=row_areas(info.geobox), threads=threads)
    notes = [*info.notes]
    if known is None:
        known = guessed_legend(uri, ids=counted.pixels)
        notes.append(f"{uri} carries no legend; classes are the values found: {list(known.ids)}")
    if not counted.pixels:
        raise LegendError(f"{uri} holds no class at all, every pixel is 255 or nodata; there is nothing to sample")
    pixels = np.array([counted.pixels.get(i, 0) for i in known.ids], np.int64)
    accuracies = _accuracies(known, expected, expected_of or {})
    if size is None:
        size = sample_size(pixels / pixels.sum(), accuracies, target_se=target_se, population=int(pixels.sum()))
        least = int(np.minimum(pixels, minimum).sum())
        if size < least:
            notes.append(f"{size} units would do for the overall accuracy; {least} give each class its minimum")
            size = least
    given = allocate(size, pixels, method=allocation, minimum=minimum, accuracies=accuracies)
    drawn = draw(read, counted, dict(zip(known.ids, given.tolist(), strict=True)), seed=seed)
    strata, more = _strata(known, counted, given.tolist())
    settings = {
        "seed": seed, "allocation": allocation, "min_per_class": minimum, "target_se": target_se,
        "expected": dict(zip(known.names, accuracies.tolist(), strict=True)), "as": shape,
    }  # fmt: skip
    write_sample(
        target,
        rows=drawn.rows,
        cols=drawn.cols,
        classes=drawn.classes,
        strata=strata,
        box=info.geobox,
        polygons=shape == "polygons",
        about={"geoseg": __version__, "map": uri, **{k: str(v) for k, v in settings.items()}},
    )
    return DesignResult(
        map=uri, sample=target, size=drawn.rows.size, strata=strata, settings=settings, notes=(*notes, *more)
    )


def design_rows(result: DesignResult) -> list[tuple[str, ...]]:
    """The strata as rows of text, with a heading."""
    total = sum(s.pixels for s in result.strata)
    rows: list[tuple[str, ...]] = [("class", "pixels", "share", "units")]
    rows += [(s.name, f"{s.pixels:,}", f"{s.pixels / total:.2%}", f"{s.sampled}") for s in result.strata]
    return [*rows, ("all", f"{total:,}", "100 %", f"{result.size}")]


def _strata(legend: Legend, counted: Tally, given: list[int]) -> tuple[tuple[Stratum, ...], list[str]]:
    areas, notes = counted.areas, []
    if areas is None or not np.isfinite(list(areas.values())).all():
        areas = None
        notes.append("the map has no CRS that gives pixels an area: estimates will be in pixels")
    absent = [c.name for c in legend if c.id not in counted.pixels]
    if absent:
        notes.append(f"the map has no pixel of {', '.join(absent)}: no unit is drawn there")
    strata = tuple(
        Stratum(
            id=c.id,
            name=c.name,
            pixels=counted.pixels.get(c.id, 0),
            area_m2=None if areas is None else areas.get(c.id, 0.0),
            sampled=units,
        )
        for c, units in zip(legend, given, strict=True)
    )
    thin = [s.name for s in strata if s.pixels and s.sampled < 2]
    if thin:
        notes.append(f"fewer than 2 units in {', '.join(thin)}: standard errors need 2")
    return strata, notes


def _accuracies(legend: Legend, expected: float, expected_of: Mapping[str, float]) -> np.ndarray:
    strange = set(expected_of) - set(legend.names)
    if strange:
        raise LegendError(f"no class {sorted(strange)[0]!r} in the legend; there are {', '.join(legend.names)}")
    return np.array([expected_of.get(name, expected) for name in legend.names], np.float64)


def _check(*, size: int | None, target_se: float, minimum: int, accuracies: list[float]) -> None:
    if (size is not None and size < 1) or minimum < 0:
        raise SampleError(f"a sample has at least one unit and no negative minimum, not {size} and {minimum}")
    if not 0 < target_se < 1:
        raise SampleError(f"the standard error must lie between 0 and 1, e.g. 0.01, not {target_se}")
    if not all(0 <= value <= 1 for value in accuracies):
        raise SampleError(f"conjectured accuracies lie between 0 and 1, not {accuracies}")
