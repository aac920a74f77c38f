"""``geoseg calibrate``: what held-out scenes say of a model's contexts and of its confidence, written into its card."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.choices import CALIBRATION_PARTS, CalibrationPart
from geoseg.contexts.calibration import CalibratedContext, Calibration
from geoseg.contexts.candidates import candidate_sizes, ladder
from geoseg.errors import GridError, PlanError
from geoseg.evaluation.confidence import COLDEST, HOTTEST, TemperatureFit
from geoseg.evaluation.metrics import mean_iou, overall_accuracy
from geoseg.geometry.lattice import round_up
from geoseg.inference.machine import describe_machine
from geoseg.models.bundle import Bundle, open_bundle, rewrite_card
from geoseg.raster.atomic import output_errors, part_path
from geoseg.verbs.outputs import stem_of
from geoseg.verbs.predict import predict
from geoseg.verbs.temperature import ScenePair, fit_on_scenes


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateResult:
    """What was measured, and the bundle that says so."""

    bundle: Bundle
    calibration: Calibration | None
    """The contexts; None if they were neither measured now nor before."""
    temperature: TemperatureFit | None
    """None if it was not fitted."""
    notes: tuple[str, ...]


def calibrate(
    model: str | os.PathLike[str] | Bundle,
    *,
    scenes: Sequence[ScenePair],
    sizes: Sequence[int] | None = None,
    fit: CalibrationPart = "both",
    output: str | os.PathLike[str] | None = None,
    overlap: int | None = None,
    on_size: Callable[[int], None] | None = None,
    on_row: Callable[[CalibratedContext], None] | None = None,
    **options: Any,
) -> CalibrateResult:
    """Predicts held-out scenes at every context, as users' scenes are predicted, and writes the table into the card.

    ``geoseg predict`` then chooses by it. The temperature is fitted at the best context (Guo et al. 2017, see
    ``geoseg.evaluation.confidence``). The scenes should be none that the model learnt from.

    Args:
        model: a bundle or its path.
        scenes: (scene, reference) pairs; counts are summed over them.
        sizes: contexts to measure, pixels; None: half an octave apart, from the smallest the model was trained on to
            twice the largest.
        fit: ``contexts``, ``temperature`` or ``both``; what is not asked for stays as the card has it.
        output: where the bundle with the new card goes; None: in the old one's place.
        overlap: of neighbouring patches, pixels; None: the card's.
        on_size: called with each context before it is measured.
        on_row: called with each context when it is measured.
        **options: further fields of :class:`geoseg.verbs.options.RunOptions`.

    Raises:
        PlanError: if no scene is given, none of the contexts can be used, or ``fit`` is none of its words.
        GridError: if not a pixel of the scenes is labelled.
        OutputError: if the bundle could not be written; found before anything is measured.
        GeosegError: whatever a prediction raises. The bundle is then as it was.
    """
    bundle = model if isinstance(model, Bundle) else open_bundle(model)
    if not scenes:
        raise PlanError("calibration needs at least one scene with its reference")
    if options.get("runtime", "auto") == "auto":  # one for all contexts, or their seconds would not compare
        options["runtime"] = "eager"
    if fit not in CALIBRATION_PARTS:
        raise PlanError(f"fit {fit!r}: there are {', '.join(CALIBRATION_PARTS)}")
    target = bundle.path if output is None else Path(output)
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = part_path(target, suffix=".probe")
        probe.touch()
        probe.unlink()
    card, calibration = bundle.card, bundle.card.calibration
    notes: list[str] = []
    if fit != "temperature":
        calibration, notes = _contexts(
            bundle, scenes, sizes=sizes, overlap=overlap, on_size=on_size, on_row=on_row, options=options
        )
        card = replace(card, calibration=calibration)
    temperature = None
    if fit != "contexts":
        size = card.context if calibration is None else max(calibration.rows, key=lambda row: row.miou).size
        across = overlap if calibration is None else calibration.overlap
        temperature = fit_on_scenes(bundle, scenes, size=size, overlap=across, options=options)
        card = replace(card, temperature=temperature.temperature, temperature_fit=temperature.to_json())
        if temperature.temperature in (COLDEST, HOTTEST):
            notes.append(f"the temperature is at the end of what is looked at, {COLDEST:g} to {HOTTEST:g}")
    made = rewrite_card(bundle, card, target)
    return CalibrateResult(bundle=made, calibration=calibration, temperature=temperature, notes=tuple(notes))


def _contexts(
    bundle: Bundle,
    scenes: Sequence[ScenePair],
    *,
    sizes: Sequence[int] | None,
    overlap: int | None,
    on_size: Callable[[int], None] | None,
    on_row: Callable[[CalibratedContext], None] | None,
    options: dict[str, Any],
) -> tuple[Calibration, list[str]]:
    """Measures the contexts; gives the table and notes."""
    card = bundle.card
    halo = card.halo if overlap is None else -(-overlap // 2)
    across = 2 * round_up(halo, card.multiple)
    wanted = (
        ladder(card.patch_sizes, rule=card.rule, above=across)
        if sizes is None
        else candidate_sizes(sizes, rule=card.rule)
    )
    notes = [f"left out: {card.rule.refusal(size)}" for size in sizes or () if size not in wanted]
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
    return calibration, notes


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


def temperature_line(fit: TemperatureFit) -> str:
    """The fit in a line."""
    return (
        f"temperature {fit.temperature:.3f} on {fit.pixels:,} pixels: ECE {fit.ece_before:.4f} -> {fit.ece_after:.4f},"
        f" negative log likelihood {fit.nll_before:.4f} -> {fit.nll_after:.4f}"
    )
