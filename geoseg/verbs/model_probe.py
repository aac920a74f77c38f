"""``geoseg model probe``: how far a model sees, which halo that asks for, how fast it runs on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.choices import PlannedRuntime, Runtime
from geoseg.errors import PlanError
from geoseg.geometry.windows import Window, sized
from geoseg.inference import machine
from geoseg.inference.capacity import Capacity, capacity_here
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.models.card import Card
from geoseg.models.probing.kept import keep_probe, kept_probe, place_of
from geoseg.models.probing.result import TOLERANCE, ProbeResult
from geoseg.models.probing.seams import FITS, Frame
from geoseg.raster.reading import read_window
from geoseg.raster.scene import SceneInfo
from geoseg.verbs.options import RunOptions
from geoseg.verbs.prepare import inspect
from geoseg.verbs.sources import SceneLike, sources_of

SIZES = (256, 512, 1024, 1536)
"""Sides of patches that are measured by default, pixels."""

FRAME = 2048
"""Side of the pieces of scenes that stand for full-frame inference, pixels."""

_MEMORY_SHARE = 0.5  # of what a plan may use: the gradient and the library's own come on top
_DATA_SHARE = 0.95  # of a frame that should hold data
_SYNTHETIC_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A result, and where it is kept."""

    result: ProbeResult
    contexts: tuple[int, ...]
    """Patch sizes that halos are told for, pixels."""
    path: Path | None
    """None where the cache cannot be written."""
    measured: bool
    """False if it was found in the cache."""

    def halos(self) -> dict[int, int | None]:
        """The smallest halo within the tolerance, by patch size; None: none that is worth its cost."""
        return {size: self.result.halo((size, size)) for size in self.contexts}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.result.to_json(),
            "halos": {str(size): halo for size, halo in self.halos().items()},
            "path": None if self.path is None else str(self.path),
            "measured": self.measured,
        }


def model_probe(
    model: str | os.PathLike[str] | Bundle | None = None,
    *,
    scenes: Sequence[SceneLike] = (),
    sizes: Sequence[int] | None = None,
    tolerance: float | None = None,
    device: str = "auto",
    runtime: Runtime = "auto",
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Probed:
    """Measures a bundle on this machine, or finds that it was; keeps the result in the user's cache.

    Args:
        model: a bundle or its path; None: the one that ships with geoseg.
        scenes: scenes to cut patches from; none: two places of geoseg's synthetic world at the model's GSD.
        sizes: sides of patches, pixels; None: ``SIZES``, as far as the model takes them.
        tolerance: share of pixels whose class may differ from full-frame inference's, for halos here and
            in plans; None: what is kept, else ``TOLERANCE``. It can be changed without measuring again.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        runtime: what runs the network; ``auto``: OpenVINO on a CPU where it is installed, else eager.
        force: measure although a result is kept. Scenes or sizes are measured anew as well.
        progress: told what is being done.

    Raises:
        BundleError: if the bundle cannot be used.
        PlanError: if a number, the device or the runtime is impossible, or the scenes are too small.
        SceneError, SceneReadError: if a scene cannot be read.
    """
    bundle = model if isinstance(model, Bundle) else open_bundle(model)
    if tolerance is not None and not 0 <= tolerance < 1:
        raise PlanError(f"a tolerance of {tolerance:g}: give a share of pixels from 0 to below 1")
    has = capacity_here(device)
    runs: PlannedRuntime = _quicker(has) if runtime == "auto" else runtime
    named = machine.describe_machine(has.device)
    contexts = _contexts(bundle.card)
    kept = kept_probe(bundle.digest, device=has.device, runtime=runs, machine=named)
    if kept is not None and tolerance is not None:  # though it is the same: plans go by the newest
        kept = replace(kept, tolerance=tolerance)
        keep_probe(kept)
    told = kept.tolerance if kept is not None else TOLERANCE if tolerance is None else tolerance
    if kept is not None and not (force or scenes or sizes):
        return Probed(result=kept, contexts=contexts, path=place_of(kept), measured=False)
    from geoseg.models.probing.run import Place, probe_bundle

    wanted = _sizes(bundle.card, sizes)
    room = has.host_to_give if has.device == "cpu" else has.device_to_give
    place = Place(
        device=has.device,
        runtime=runs,
        machine=named,
        memory_bytes=int(room * _MEMORY_SHARE),
        cores=has.threads if has.device == "cpu" else None,
    )
    progress("cutting patches out of scenes")
    side = _frame_side(bundle.card, memory_bytes=place.memory_bytes)
    found = list(_frames(bundle.card, scenes, side=side))
    usable = [frame for _, frame in found if frame.side >= FITS * wanted[0]]
    if not usable:
        raise PlanError(
            f"patches of {wanted[0]} px and more need frames of {int(FITS * wanted[0])} px or more; the scenes have"
            f" {max(frame.side for _, frame in found)} px: name larger scenes or smaller --sizes"
        )
    result = probe_bundle(
        bundle,
        [frame for _, frame in found],
        sizes=wanted,
        place=place,
        tolerance=told,
        scenes=tuple(dict.fromkeys(name for name, _ in found)),
        progress=progress,
    )
    return Probed(result=result, contexts=contexts, path=keep_probe(result), measured=True)


def _quicker(has: Capacity) -> PlannedRuntime:
    """What runs large scenes on this device."""
    return "eager" if has.device != "cpu" or "openvino" in dict(has.lacks) else "openvino"


def _contexts(card: Card) -> tuple[int, ...]:
    """The sizes that a plan may choose among."""
    sizes = [row.size for row in card.calibration.rows] if card.calibration is not None else [card.context]
    return tuple(sorted({*sizes, card.context}))


def _sizes(card: Card, sizes: Sequence[int] | None) -> tuple[int, ...]:
    """Sides that the model takes.

    Raises:
        PlanError: if one that was asked for is not.
    """
    for size in sizes or ():
        refusal = card.rule.refusal(size)
        if refusal is not None:
            raise PlanError(refusal)
    return tuple(sorted(set(sizes or (card.rule.near(size)[-1] for size in SIZES))))


def _frame_side(card: Card, *, memory_bytes: int) -> int:
    """Side of a frame that one forward pass takes within memory, pixels."""
    if card.only:
        return FRAME
    most = (memory_bytes / (card.activation_bytes_per_pixel or 1000.0)) ** 0.5
    return card.rule.near(int(min(FRAME, most)))[0]


def _frames(card: Card, scenes: Sequence[SceneLike], *, side: int) -> Iterator[tuple[str, Frame]]:
    """Pieces of scenes with their names: one of each, two of an only one."""
    if not scenes:
        yield from _synthetic(card, side=side)
        return
    for scene in scenes:
        sources = sources_of(scene)
        info = inspect(sources, bands=len(card.bands), gsd=card.gsd, options=RunOptions())
        yield from ((sources.name, frame) for frame in _cut(card, info, side=side, count=1 + (len(scenes) == 1)))


def _cut(card: Card, info: SceneInfo, *, side: int, count: int) -> list[Frame]:
    """The frames of a scene that hold most data, no two in one place."""
    shape = info.geobox.shape
    least = min(side, *shape)
    side = least if card.only else card.rule.near(least)[0]
    if side > least:
        raise PlanError(f"a scene of {sized(shape)} px is too small to probe {card.name}, which needs {side}")
    found: list[tuple[float, Frame]] = []
    for down, across in ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)):
        top, left = int(down * (shape[0] - side)), int(across * (shape[1] - side))
        pixels, valid = read_window(info.recipe, Window(row_off=top, col_off=left, height=side, width=side))
        found.append((float(valid.mean()), Frame(pixels=pixels, valid=valid)))
        if shape == (side, side) or sum(share >= _DATA_SHARE for share, _ in found) == count:
            break
    found.sort(key=lambda pair: -pair[0])
    if not found[0][1].valid.any():
        raise PlanError("the scene holds no data where it was looked at: name another")
    return [frame for share, frame in found[:count] if share > 0]


def _synthetic(card: Card, *, side: int) -> Iterator[tuple[str, Frame]]:
    """Two places of the synthetic world at the model's GSD, in the model's units and number of bands."""
    from geoseg.synthesis.world import GSDS, render

    gsd = min(GSDS[1], max(GSDS[0], card.gsd or 1.0))
    for place in (8, -16):
        window = Window(row_off=place * FRAME, col_off=place * FRAME, height=side, width=side)
        seen, _ = render(window, seed=_SYNTHETIC_SEED, gsd=gsd)
        pixels: np.ndarray[Any, Any] = seen[np.arange(len(card.bands)) % len(seen)]
        if card.dtype != "uint8":  # the same picture, as bright as the model's own scenes
            mean, std = (
                np.array(v, np.float64).reshape(-1, 1, 1) for v in (card.normalisation.mean, card.normalisation.std)
            )
            scaled = (pixels - pixels.mean()) / pixels.std() * std + mean
            kind = np.dtype(card.dtype)
            if kind.kind in "iu":
                scaled = np.clip(np.rint(scaled), np.iinfo(kind).min, np.iinfo(kind).max)
            pixels = scaled.astype(kind)
        yield f"synthetic, {gsd:g} m", Frame(pixels=pixels, valid=np.ones((side, side), np.bool_))
