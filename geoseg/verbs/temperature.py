"""Fitting a bundle's temperature on held-out scenes, by the real inference path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import GridError
from geoseg.evaluation.confidence import TemperatureFit, fit_temperature, judge_temperature
from geoseg.inference.arrays import Array, to_host
from geoseg.inference.executors import ClusterOptions, open_session
from geoseg.inference.tilework import show_logits
from geoseg.legend import IGNORE
from geoseg.models.bundle import Bundle
from geoseg.raster.labels import inspect_labels, read_labels
from geoseg.verbs.options import RunOptions
from geoseg.verbs.outputs import stem_of
from geoseg.verbs.prepare import Prepared, prepare

SAMPLE = 4_000_000
"""Logits of labelled pixels that are kept in memory, about: so many pixels times classes, from all scenes together."""

_SEED = 20170617

ScenePair = tuple[str | os.PathLike[str], str | os.PathLike[str]]
"""A scene and its reference."""


def fit_on_scenes(
    bundle: Bundle, scenes: Sequence[ScenePair], *, size: int, overlap: int | None, options: dict[str, Any]
) -> TemperatureFit:
    """Predicts the scenes at one context and fits the temperature on a sample of their labelled pixels.

    Every labelled pixel is as likely to be drawn as any other. The sample does not depend on the machine.

    Args:
        bundle: the model; its own temperature has no say.
        scenes: (scene, reference) pairs that the model did not learn from.
        size: the context, pixels.
        overlap: of neighbouring patches, pixels; None: as the plan decides.
        options: further fields of ``RunOptions``.

    Raises:
        GridError: if not a pixel is labelled.
        GeosegError: whatever a prediction raises.
    """
    asked = RunOptions(**{**options, "patch_size": size, "overlap": overlap})
    looked = []
    with open_session(ClusterOptions(scheduler="sync"), device=asked.device) as session:
        for scene, reference in scenes:
            ready = prepare(scene, model=bundle, options=asked, session=session)
            looked.append((ready, _labels(ready, os.fspath(reference))))
    labelled = sum(int((read(tile.core) != IGNORE).sum()) for ready, read in looked for tile in ready.plan.tiles())
    if not labelled:
        raise GridError(f"not one labelled pixel in {len(scenes)} references: no temperature can be fitted on them")
    drawn = [
        _draw(ready, read, share=min(1.0, SAMPLE / labelled / len(ready.plan.legend)), number=number)
        for number, (ready, read) in enumerate(looked)
    ]
    logits, channels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    if not len(logits):
        raise GridError(f"no labelled pixel of {len(scenes)} scenes holds data: no temperature can be fitted on them")
    temperature = round(fit_temperature(logits, channels), 4)
    (nll_before, ece_before), (nll_after, ece_after) = (
        judge_temperature(logits, channels, t) for t in (1.0, temperature)
    )
    return TemperatureFit(
        temperature=temperature,
        pixels=len(logits),
        scenes=tuple(stem_of(os.fspath(scene)) for scene, _ in scenes),
        context=size,
        nll_before=nll_before,
        nll_after=nll_after,
        ece_before=ece_before,
        ece_after=ece_after,
    )


def _labels(ready: Prepared, reference: str) -> Any:
    info = inspect_labels(reference, legend=ready.plan.legend, onto=ready.plan.geobox, native=ready.info.native)
    return partial(read_labels, info.recipe)


def _draw(
    ready: Prepared, read: Any, *, share: float, number: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """(n, K) logits and (n,) true channels of the drawn pixels of a scene."""
    plan = ready.plan
    channel = np.zeros(256, np.uint8)
    channel[list(plan.legend.ids)] = np.arange(len(plan.legend), dtype=np.uint8)
    logits, channels = [np.zeros((0, len(plan.legend)), np.float32)], [np.zeros(0, np.uint8)]
    for tile in plan.tiles():
        ids = read(tile.core)
        random = np.random.default_rng([_SEED, number, tile.core.row_off, tile.core.col_off])
        wanted = (ids != IGNORE) & (random.random(ids.shape) < share)
        if not wanted.any():
            continue
        parts: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.intp], npt.NDArray[np.intp]]] = []
        valid = show_logits(plan, ready.model.recipe, tile, sink=partial(_keep, parts, wanted))
        for values, rows, cols in parts:
            known = valid[rows, cols]
            logits.append(values[known])
            channels.append(channel[ids[rows[known], cols[known]]])
    return np.concatenate(logits), np.concatenate(channels)


def _keep(parts: list[Any], wanted: npt.NDArray[np.bool_], logits: Array, rows: slice, cols: slice) -> None:
    """Keeps the logits (n, K) of the wanted pixels of a region, and where they stand in the core."""
    down, across = np.nonzero(wanted[rows, cols])
    if down.size:
        parts.append((to_host(logits)[:, down, across].T.copy(), down + rows.start, across + cols.start))
