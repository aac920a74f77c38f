"""``geoseg assess estimate``: accuracy and area, with 95 % intervals, from an interpreted sample."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.choices import AreaUnit
from geoseg.errors import LegendError, SampleError
from geoseg.evaluation.area_estimation import Z95, AreaEstimates, Ints, estimate_areas
from geoseg.raster.sample_file import REFERENCE, Stratum, read_sample, read_strata

_SQUARE_METRES = {"ha": 1e4, "km2": 1e6, "m2": 1.0}
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EstimateResult:
    """What a sample says of a map."""

    sample: str
    strata: tuple[Stratum, ...]
    """The classes, in the order of all arrays."""
    counts: Ints
    """(K, K) units: rows the map, columns the reference."""
    estimates: AreaEstimates
    unit: str
    """Of the areas: ``ha``, ``km2``, ``m2`` or ``pixels``."""
    mapped: tuple[float, ...]
    """Area of each class in the map, in ``unit``."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; null where the sample says nothing."""
        e, total = self.estimates, sum(self.mapped)
        return {
            "sample": self.sample,
            "unit": self.unit,
            "units": int(self.counts.sum()),
            "overall_accuracy": _interval(e.overall, e.overall_se),
            "classes": [
                {
                    "id": s.id,
                    "name": s.name,
                    "units": int(self.counts[k].sum()),
                    "mapped_pixels": s.pixels,
                    "mapped_area": self.mapped[k],
                    "area": _interval(e.shares[k] * total, e.shares_se[k] * total),
                    "share": _interval(e.shares[k], e.shares_se[k]),
                    "users_accuracy": _interval(e.users[k], e.users_se[k]),
                    "producers_accuracy": _interval(e.producers[k], e.producers_se[k]),
                }
                for k, s in enumerate(self.strata)
            ],
            "counts": self.counts.tolist(),
            "proportions": e.proportions.tolist(),
            "notes": list(self.notes),
        }


def assess_estimate(
    sample: str | os.PathLike[str],
    *,
    strata: str | os.PathLike[str] | None = None,
    unit: AreaUnit = "ha",
    skip_unfilled: bool = False,
) -> EstimateResult:
    """The error matrix in shares of area, accuracies and areas, as Olofsson et al. 2014 estimate them.

    Args:
        sample: what ``design`` wrote, its column ``reference`` filled in with class ids or names.
        strata: the file with the table ``strata``, where the sample lacks it; None is the sample itself.
        unit: of areas. Without a CRS they are in pixels.
        skip_unfilled: leave out units without a reference, as if they had never been drawn.

    Raises:
        SampleError: if a column or the strata are missing, units have no reference, or a class no unit.
        LegendError: if a reference is no class of the map's legend.
        SceneReadError: if a file cannot be read.
    """
    path = Path(sample)
    table = read_sample(path)
    known = read_strata(path if strata is None else Path(strata))
    columns = [_reference(value, known) for value in table.references]
    _refuse_strange(columns, table.references, known)
    notes = []
    unfilled = Counter(c for c, j in zip(table.classes, columns, strict=True) if j is None)
    if unfilled and not skip_unfilled:
        names = {s.id: s.name for s in known}
        words = ", ".join(f"{n} of {names.get(c, c)}" for c, n in sorted(unfilled.items()))
        raise SampleError(
            f"{unfilled.total()} of {len(columns)} units of {path} have no {REFERENCE} ({words}):"
            " fill them in, or leave them out with --skip-unfilled"
        )
    if unfilled:
        notes.append(f"{unfilled.total()} units without a reference are left out, as if they had not been drawn")
    counts = _count(table.classes, columns, known)
    lost = sum(s.sampled for s in known) - len(columns)
    if lost:
        notes.append(f"{abs(lost)} units {'less' if lost > 0 else 'more'} than were drawn: was the sample changed?")
    weights, mapped, shown = _weights(known, unit, notes)
    thin = [s.name for s, n in zip(known, counts.sum(1), strict=True) if n == 1]
    if thin:
        notes.append(f"one unit only in {', '.join(thin)}: no standard error where it counts")
    return EstimateResult(
        sample=str(path),
        strata=known,
        counts=counts,
        estimates=estimate_areas(counts, weights),
        unit=shown,
        mapped=mapped,
        notes=tuple(notes),
    )


def _reference(value: Any, known: Sequence[Stratum]) -> int | str | None:
    """The position of a class among ``known``; None if nothing was filled in; the text where it is no class."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip():
        return None
    text = str(value).strip()
    for k, stratum in enumerate(known):
        if text.casefold() == stratum.name.casefold():
            return k
    try:
        number = float(text)
    except ValueError:
        return text
    ids = [s.id for s in known]
    return ids.index(int(number)) if number in ids else text


def _refuse_strange(columns: Sequence[int | str | None], values: Sequence[Any], known: Sequence[Stratum]) -> None:
    strange = Counter(column for column in columns if isinstance(column, str))
    if strange:
        words = ", ".join(f"{text!r} ({n})" for text, n in strange.most_common(_SHOWN))
        legend = ", ".join(f"{s.id} {s.name}" for s in known)
        raise LegendError(
            f"{strange.total()} of {len(values)} units have a {REFERENCE} that is no class: {words};"
            f" the legend is {legend}"
        )


def _count(classes: Sequence[int], columns: Sequence[int | str | None], known: Sequence[Stratum]) -> Ints:
    """(K, K) units; those without a reference are left out."""
    rows = {s.id: k for k, s in enumerate(known)}
    strange = Counter(c for c in classes if c not in rows or not known[rows[c]].pixels)
    if strange:
        words = ", ".join(f"{c} ({n} units)" for c, n in strange.most_common(_SHOWN))
        raise SampleError(f"map_class {words} is no stratum of the map: give the strata that belong to the sample")
    counts = np.zeros((len(known), len(known)), np.int64)
    for c, j in zip(classes, columns, strict=True):
        if isinstance(j, int):
            counts[rows[c], j] += 1
    empty = [s for s, n in zip(known, counts.sum(1), strict=True) if s.pixels and not n]
    if empty:
        words = ", ".join(f"{s.name} ({s.pixels:,} pixels)" for s in empty)
        raise SampleError(f"no interpreted unit in {words}: nothing can be said of that part of the map; draw some")
    return counts


def _weights(known: Sequence[Stratum], unit: AreaUnit, notes: list[str]) -> tuple[Any, tuple[float, ...], str]:
    """Shares of the map, mapped areas, and their unit."""
    areas = [s.area_m2 for s in known if s.area_m2 is not None]
    if len(areas) == len(known) and sum(areas) > 0:
        mapped, shown = tuple(a / _SQUARE_METRES[unit] for a in areas), str(unit)
    else:
        mapped, shown = tuple(float(s.pixels) for s in known), "pixels"
        notes.append("the map has no CRS that gives pixels an area: areas are in pixels")
    if sum(mapped) <= 0:
        raise SampleError("the strata have no pixel: give the strata that belong to the sample")
    return np.array(mapped) / sum(mapped), mapped, shown


def estimate_rows(result: EstimateResult) -> list[tuple[str, ...]]:
    """The estimates as rows of text, with a heading; ± is half of a 95 % interval."""
    e, total, unit = result.estimates, sum(result.mapped), result.unit
    rows: list[tuple[str, ...]] = [
        ("class", "units", f"mapped {unit}", f"area {unit}", "±", "user's", "±", "producer's", "±")
    ]
    for k, s in enumerate(result.strata):
        area = (_number(e.shares[k] * total), _number(Z95 * e.shares_se[k] * total))
        users, producers = _pair(e.users[k], e.users_se[k]), _pair(e.producers[k], e.producers_se[k])
        rows.append((s.name, str(result.counts[k].sum()), _number(result.mapped[k]), *area, *users, *producers))
    return [
        *rows,
        ("all", str(result.counts.sum()), _number(total), _number(total), "", "", "", "", ""),
        ("overall accuracy", "", "", "", "", *_pair(e.overall, e.overall_se), "", ""),
    ]


def _pair(value: float, error: float) -> tuple[str, str]:
    return tuple("-" if math.isnan(v) else f"{v:.3f}" for v in (value, Z95 * error))  # type: ignore[return-value]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:,.4g}"


def _interval(value: float, error: float) -> dict[str, float | None]:
    """A figure with its standard error and half the width of its 95 % interval."""
    found = {"value": float(value), "se": float(error), "half_width_95": float(Z95 * error)}
    return {name: None if math.isnan(v) else v for name, v in found.items()}
