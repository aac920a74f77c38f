"""``geoseg calibrate``: what a model reaches at each context on held-out scenes, written into its card."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.contexts.calibration import CalibratedContext, Calibration
from geoseg.contexts.candidates import candidate_sizes, ladder
from geoseg.errors import GridError, PlanError
from geoseg.evaluation.metrics import mean_iou, overall_accuracy
from geoseg.geometry.lattice import round_up
from geoseg.inference.machine import describe_machine
from geoseg.models.bundle import Bundle, open_bundle, rewrite_card
from geoseg.raster.atomic import output_errors, part_path
from geoseg.verbs.outputs import stem_of
from geoseg.verbs.predict import predict

ScenePair = tuple[str | os.PathLike[str], str | os.PathLike[str]]
"""A scene and its reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateResult:
    """What was measured, and the bundle that says so."""

    bundle: Bundle
    calibration: Calibration
    notes: tuple[str, ...]


def calibrate(
    model: str | os.PathLike[str] | Bundle,
    *,
    scenes: Sequence[ScenePair],
    sizes: Sequence[int] | None = None,
    output: str | os.PathLike[str] | None = None,
    overlap: int | None = None,
    on_size: Callable[[int], None] | None = None,
    on_row: Callable[[CalibratedContext], None] | None = None,
    **options: Any,
) -> CalibrateResult:
    """Predicts held-out scenes at every context, as users' scenes are predicted, and writes the table into the card.

    ``geoseg predict`` then chooses by it. The scenes should be none that the model learnt from.

    Args:
        model: a bundle or its path.
        scenes: (scene, reference) pairs; counts are summed over them.
        sizes: contexts to measure, pixels; None: half an octave apart, from the smallest the model was trained on to
            twice the largest.
        output: where the bundle with the new card goes; None: in the old one's place.
        overlap: of neighbouring patches, pixels; None: the card's.
        on_size: called with each context before it is measured.
        on_row: called with each context when it is measured.
        **options: further fields of :class:`geoseg.verbs.options.RunOptions`.

    Raises:
        PlanError: if no scene is given, or none of the contexts can be used.
        GridError: if not a pixel of the scenes is labelled.
        OutputError: if the bundle could not be written; found before anything is measured.
        GeosegError: whatever a prediction raises. The bundle is then as it was.
    """
    bundle = model if isinstance(model, Bundle) else open_bundle(model)
    if not scenes:
        raise PlanError("calibration needs at least one scene with its reference")
    if options.get("runtime", "auto") == "auto":  # one for all contexts, or their seconds would not compare
        options["runtime"] = "eager"
    card = bundle.card
    halo = card.halo if overlap is None else -(-overlap // 2)
    across = 2 * round_up(halo, card.multiple)
    wanted = (
        ladder(card.patch_sizes, rule=card.rule, above=across)
        if sizes is None
        else candidate_sizes(sizes, rule=card.rule)
    )
    notes = [f"left out: {card.rule.refusal(size)}" for size in sizes or () if size not in wanted]
    target = bundle.path if output is None else Path(output)
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = part_path(target, suffix=".probe")
        probe.touch()
        probe.unlink()
    rows: list[CalibratedContext] = []
    pixels = 0
    for size in wanted:
        if on_size is not None:
            on_size(size)
        try:
            row, pixels = _measure(bundle, scenes, size=size, overlap=across, options=options)
        except PlanError as error:
            if len(wanted) == 1:
                raise
            notes.append(f"{size} px is left out: {error}")
            continue
        rows.append(row)
        if on_row is not None:
            on_row(row)
    if not rows:
        raise PlanError(f"none of the contexts {wanted} can be measured: {notes[-1]}")
    calibration = Calibration(
        rows=tuple(rows),
        scenes=tuple(stem_of(os.fspath(scene)) for scene, _ in scenes),
        pixels=pixels,
        overlap=across,
        machine=describe_machine(),
    )
    made = rewrite_card(bundle, replace(card, calibration=calibration), target)
    return CalibrateResult(bundle=made, calibration=calibration, notes=tuple(notes))


def _measure(
    bundle: Bundle, scenes: Sequence[ScenePair], *, size: int, overlap: int, options: dict[str, Any]
) -> tuple[CalibratedContext, int]:
    """One context on all scenes: its row, and the labelled pixels that were scored."""
    classes = len(bundle.card.legend)
    total: npt.NDArray[np.int64] = np.zeros((classes, classes), np.int64)
    seconds, area = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="geoseg-calibrate-") as folder:
        for i, (scene, reference) in enumerate(scenes):
            run = predict(
                scene,
                outputs=Path(folder) / f"{i}.zarr",
                model=bundle,
                reference=reference,
                patch_size=size,
                overlap=overlap,
                **options,
            )
            assert run.metrics is not None
            total += np.array(run.metrics["confusion"], np.int64)
            seconds += run.seconds["compute"]
            area += run.predicted_pixels
    if not total.any():
        raise GridError(f"not one labelled pixel in {len(scenes)} references: nothing can be measured on them")
    row = CalibratedContext(
        size=size,
        miou=round(mean_iou(total), 5),
        overall_accuracy=round(overall_accuracy(total), 5),
        seconds_per_megapixel=round(seconds / (area / 1e6), 4),
    )
    return row, int(total.sum())


def calibration_rows(calibration: Calibration) -> list[tuple[str, ...]]:
    """The table as rows of text, with a heading."""
    return [
        ("context", "mIoU", "accuracy", "s / Mpx"),
        *(
            (f"{row.size} px", f"{row.miou:.4f}", f"{row.overall_accuracy:.4f}", f"{row.seconds_per_megapixel:.3f}")
            for row in calibration.rows
        ),
    ]
