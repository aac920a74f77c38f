"""The verb ``evaluate``: how well a class map agrees with a reference."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import GridError, OutputError, SceneError
from geoseg.evaluation.blocks import score_blocks
from geoseg.evaluation.compare import ReadWindow, compare_windows
from geoseg.evaluation.confusion import present_ids
from geoseg.evaluation.reliability_figure import demand_matplotlib, draw_reliability
from geoseg.legend import Legend
from geoseg.raster.atomic import refuse_existing
from geoseg.raster.block_file import refuse_block_path, write_blocks
from geoseg.raster.label_legend import guessed_legend
from geoseg.raster.label_reading import is_store, open_class_store
from geoseg.raster.labels import ANY_IDS, LabelInfo, inspect_labels, read_labels
from geoseg.raster.tags import METRICS_TAG
from geoseg.raster.urls import refuse_credentials
from geoseg.verbs.class_maps import PathLike, find_legend
from geoseg.verbs.evaluate_rules import block_columns, metrics_of, rules_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationResult:
    """What ``evaluate`` found."""

    prediction: str
    """The class map that was scored."""
    truth: str
    """The reference."""
    metrics: dict[str, Any]
    """As ``geoseg.evaluation.metrics.summarise`` gives them."""
    notes: tuple[str, ...]
    """What a reader of the scores should know, one sentence each."""
    written_to: str | None
    """Where the metrics were written, None if nowhere."""
    by_tile: str | None = None
    """Where the scores of blocks were written, None if nowhere."""

    @property
    def miou(self) -> float | None:
        """Mean IoU; None where nothing could be scored."""
        found: float | None = self.metrics["miou"]
        return found

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; the scores stand at the top, where one looks for them, and under ``metrics``."""
        return {
            "prediction": self.prediction,
            "truth": self.truth,
            "notes": list(self.notes),
            "written_to": self.written_to,
            "by_tile": self.by_tile,
            "metrics": self.metrics,  # as in the summary of ``predict``
            **self.metrics,
        }


def evaluate(
    prediction: PathLike,
    truth: PathLike,
    *,
    legend: Legend | PathLike | None = None,
    align: bool = False,
    erode_boundary: float = 0.0,
    boundary: float = 0.0,
    by_tile: PathLike | None = None,
    tile: int = 512,
    overwrite: bool = False,
    calibration: bool = False,
    reliability: PathLike | None = None,
    window: int = 2048,
    threads: int = 2,
    write: bool = True,
) -> EvaluationResult:
    """Scores a class map against a reference, window by window.

    Args:
        prediction: a class map, ``.tif`` (any raster of class ids) or a ``.zarr`` that geoseg wrote.
        truth: the reference: class ids, a palette or colours of the legend; 255 and nodata are not scored.
        legend: a legend, or a file with one: JSON, or a model bundle; None is the one in the prediction.
        align: take a reference on another grid onto the prediction's by nearest neighbour.
        erode_boundary: do not score pixels within this distance of a boundary of the reference, pixels of the
            prediction (the ISPRS benchmarks: 3).
        boundary: score boundaries too, with this tolerance, pixels, >= 1; 0: do not.
        by_tile: write the scores of square blocks of the map to this ``.gpkg`` or ``.tif``.
        tile: side of those blocks, pixels.
        overwrite: replace an existing ``by_tile`` or ``reliability``.
        calibration: compare confidence with accuracy; the prediction is a ``.zarr`` with a confidence layer.
        reliability: draw that as a diagram into this file (``.png``, ``.svg``, ``.pdf``).
        window: side of the windows, pixels.
        threads: windows read at once.
        write: put the metrics into the prediction's metadata (``.aux.xml`` of a GeoTIFF, attributes of a Zarr).

    Raises:
        GridError: if the grids differ and ``align`` is not given, or cannot help.
        LegendError: if a raster holds values that the legend does not name.
        SceneReadError: if a file cannot be read.
        SceneError: if a name holds credentials, a distance is none, or there is no confidence to look at.
        OutputError: if ``by_tile`` or ``reliability`` cannot be written.
        MissingExtraError: if a diagram is wanted and matplotlib is not installed.
    """
    predicted_uri, truth_uri = os.fspath(prediction), os.fspath(truth)
    refuse_credentials(predicted_uri, what="the prediction")
    refuse_credentials(truth_uri, what="the reference")
    rules = rules_of(erode=erode_boundary, boundary=boundary, block=0 if by_tile is None else tile)
    target = None if by_tile is None else Path(by_tile)
    if target is not None:
        refuse_block_path(target, overwrite=overwrite)
    if reliability is not None:
        demand_matplotlib()
        refuse_existing(Path(reliability), overwrite=overwrite)
    confidence = _confidence_reader(predicted_uri) if calibration or reliability is not None else None
    known = find_legend(predicted_uri, legend)
    working = known or ANY_IDS
    predicted = inspect_labels(predicted_uri, legend=working)
    reference = _inspect_truth(truth_uri, working, predicted=predicted, align=align)
    found = compare_windows(
        lambda part: read_labels(predicted.recipe, part),
        lambda part: read_labels(reference.recipe, part),
        predicted.geobox.shape,
        rules=rules,
        read_confidence=confidence,
        window=window,
        threads=threads,
    )
    notes = [*predicted.notes, *reference.notes]
    if known is None:
        known = guessed_legend(predicted_uri, ids=present_ids(found.pairs))
        notes.append(f"{predicted_uri} carries no legend; classes are the values found: {list(known.ids)}")
    metrics = metrics_of(found, known, rules=rules, calibration=confidence is not None)
    notes += score_notes(metrics)
    if target is not None:
        columns, bands = block_columns(list(score_blocks(found, known)), known)
        write_blocks(
            target,
            columns,
            box=predicted.geobox,
            block=tile,
            bands=bands,
            overwrite=overwrite,
        )
    if reliability is not None:
        draw_reliability(metrics["calibration"], Path(reliability))
    written = _write_metrics(predicted_uri, metrics, notes) if write else None
    return EvaluationResult(
        prediction=predicted_uri,
        truth=truth_uri,
        metrics=metrics,
        notes=tuple(notes),
        written_to=written,
        by_tile=None if target is None else str(target),
    )


def _confidence_reader(uri: str) -> ReadWindow:
    """Reads the confidence layer of a store.

    Raises:
        SceneError: if there is none.
    """
    store = open_class_store(uri) if is_store(uri) else None
    if store is None or not store.spec.confidence:
        raise SceneError(f"{uri} has no confidence layer: predict with --confidence into a .zarr, and evaluate that")
    read: ReadWindow = store.read_confidence
    return read


def score_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Remarks on what was not scored."""
    notes = []
    if metrics["unpredicted_pixels"]:
        notes.append(f"{metrics['unpredicted_pixels']:,} labelled pixels have no prediction (255) and are not scored")
    missing = [c["name"] for c in metrics["classes"] if not c["truth_pixels"]]
    if metrics["pixels"] and missing:
        notes.append(f"the reference has no pixel of {', '.join(missing)}: is its legend the map's?")
    if metrics["pixels"] == 0:
        notes.append("no pixel has both a label and a prediction: there is no score")
    return notes


def _inspect_truth(uri: str, legend: Legend, *, predicted: LabelInfo, align: bool) -> LabelInfo:
    """The reference on the prediction's grid; on another grid only if that was asked for."""
    if not align:
        difference = predicted.geobox.difference(inspect_labels(uri, legend=legend).geobox)
        if difference is not None:
            raise GridError(
                f"{predicted.recipe.uri} and {uri} lie on different grids: {difference};"
                " --align takes the reference onto the prediction's grid, if both are georeferenced"
            )
    return inspect_labels(uri, legend=legend, onto=predicted.geobox)


def _write_metrics(uri: str, metrics: Mapping[str, Any], notes: list[str]) -> str | None:
    """Puts the metrics where they belong; a place that cannot be written is a note, not a failed evaluation."""
    path = Path(uri)
    try:
        if is_store(uri):
            from geoseg.raster.zarr_store import open_store  # not at the top: zarr is half a second

            open_store(uri).update_attributes({"metrics": dict(metrics)})
            return uri
        if path.suffix.lower() in (".tif", ".tiff") and path.is_file():
            from geoseg.raster.cog import write_aux_metrics

            write_aux_metrics(path, {METRICS_TAG: json.dumps(metrics)})
            return f"{uri}.aux.xml"
    except OutputError as error:
        notes.append(f"the metrics could not be written: {error}")
    return None
