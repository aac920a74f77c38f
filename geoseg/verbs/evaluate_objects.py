"""``geoseg evaluate --objects``: how well predicted polygons agree with those of a reference."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoseg.errors import LegendError, SceneError
from geoseg.evaluation.objects import ObjectCounts, count_objects
from geoseg.raster.object_file import columns_of, common_column, onto_crs, read_objects
from geoseg.raster.urls import refuse_credentials

EVERYTHING = "all"
"""Name of the last row, and of the only one where classes are not told apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectsResult:
    """What ``evaluate_objects`` found."""

    prediction: str
    truth: str
    threshold: float
    """Least IoU of a match."""
    column: str | None
    """That classes were told by."""
    classes: tuple[dict[str, Any], ...]
    """``name``, ``class`` (the column's value) and scores of each, then ``name`` and scores of all objects together."""
    notes: tuple[str, ...]

    @property
    def f1(self) -> float | None:
        """Of all objects together."""
        found: float | None = self.classes[-1]["f1"]
        return found

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "prediction": self.prediction,
            "truth": self.truth,
            "iou": self.threshold,
            "class_column": self.column,
            "classes": list(self.classes[:-1]),
            **{k: v for k, v in self.classes[-1].items() if k != "name"},
            "notes": list(self.notes),
        }


def evaluate_objects(
    prediction: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    *,
    threshold: float = 0.5,
    column: str | None = None,
    classes: Sequence[str] = (),
    layers: tuple[str | None, str | None] = (None, None),
) -> ObjectsResult:
    """Precision, recall and F1 of polygons, matched one to one; both files are held in memory.

    Args:
        prediction: a vector file of polygons, of any format that GDAL reads, or GeoParquet.
        truth: the reference; taken into the prediction's CRS.
        threshold: least IoU of a match.
        column: that tells the class of a polygon in both files; None takes one that both have (``class_name``,
            ``class_id``), or compares all polygons as one class.
        classes: that count, by the column's values or the names that geoseg writes beside ids; of a reference without
            the column every polygon then does.
        layers: of the two files; None is the first.

    Raises:
        SceneReadError: if a file cannot be read.
        LegendError: if a class or a column is not there.
        GridError: if only one of the two has a CRS.
        SceneError: if the threshold is none, or a name holds credentials.
    """
    if not 0 < threshold <= 1:
        raise SceneError(f"the IoU of a match lies above 0 and up to 1, e.g. 0.5, not {threshold}")
    uris = os.fspath(prediction), os.fspath(truth)
    for uri, what in zip(uris, ("the prediction", "the reference"), strict=True):
        refuse_credentials(uri, what=what)
    columns = [columns_of(uri, layer=layer) for uri, layer in zip(uris, layers, strict=True)]
    name = column or common_column(columns) or (common_column(columns[:1]) if classes else None)
    shared = name if not classes or name in columns[1] else None  # a reference of one class need not say so
    found = read_objects(uris[0], layer=layers[0], column=name)
    reference = read_objects(uris[1], layer=layers[1], column=shared)
    ours, theirs = found.geometries, onto_crs(reference, found.crs, uri=found.uri)
    our_classes = np.full(len(ours), "", object) if found.classes is None else found.classes
    their_classes = np.full(len(theirs), "", object) if reference.classes is None else reference.classes
    labels = {**reference.names, **found.names}
    if classes:
        classes = _ids(classes, found.names)
        _refuse_strange(classes, name, our_classes, uri=uris[0])
        wanted = np.isin(our_classes.astype(str), list(classes))
        ours, our_classes = ours[wanted], our_classes[wanted]
        if shared is not None:
            there = np.isin(their_classes.astype(str), list(classes))
            theirs, their_classes = theirs[there], their_classes[there]
    notes = [
        f"{o.left_out} features of {o.uri} are no polygons and do not count" for o in (found, reference) if o.left_out
    ]
    rows, total = [], ObjectCounts(predicted=0, truth=0, matched=0, iou_sum=0.0)
    if shared is None:
        total = count_objects(ours, theirs, threshold=threshold)
        if not classes:
            notes.append("no column tells classes in both files: all polygons are compared as one class")
    else:
        for name in sorted({*our_classes, *their_classes}, key=_order):
            counts = count_objects(ours[our_classes == name], theirs[their_classes == name], threshold=threshold)
            rows.append({"name": labels.get(name, name), "class": name, **counts.to_json()})
            total += counts
    return ObjectsResult(
        prediction=uris[0],
        truth=uris[1],
        threshold=threshold,
        column=shared,
        classes=(*rows, {"name": EVERYTHING, **total.to_json()}),
        notes=tuple(notes),
    )


def _ids(classes: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Classes by the values of the column, whether they were called by these or by their names."""
    ids = {label: value for value, label in names.items()}
    return tuple(word if word in names else ids.get(word, word) for word in classes)


def _order(name: str) -> tuple[int, str]:
    """Ids by their number, then the rest by the alphabet."""
    return (int(name), "") if name.isdecimal() else (1 << 31, name)


def _refuse_strange(classes: Sequence[str], column: str | None, known: Any, *, uri: str) -> None:
    if column is None:
        raise LegendError(f"{uri} has no column that tells classes, so none can be chosen: name it (--class-column)")
    strange = sorted(set(classes) - set(known))
    if strange:
        raise LegendError(f"{uri} has no {', '.join(strange)} in {column!r}, it has {', '.join(sorted(set(known)))}")
