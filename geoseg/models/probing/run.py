"""Measures a bundle: how far it sees, what its patches' rims are worth, how fast it runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from geoseg.ahead import in_order
from geoseg.choices import PlannedRuntime
from geoseg.errors import PlanError
from geoseg.models.batching import ACTIVATION_BYTES_PER_PIXEL, BATCH_PIXELS, MOST_PATCHES, streams_of
from geoseg.models.bundle import Bundle
from geoseg.models.probing.result import TOLERANCE, ProbedField, ProbedSpeed, ProbeResult
from geoseg.models.probing.seams import FITS, Classes, Frame, SeamCurve, places, seam_curve
from geoseg.models.runtimes import make_predictor
from geoseg.version import __version__

if TYPE_CHECKING:
    import torch

_STRIP = 1024
"""Longest strip on which a theoretical receptive field is looked for, pixels: a halo of half of it is dear anyway."""

_FIELD_PIXELS = 1_200_000  # of all patches of one size together
_FIELD_LARGEST = 768  # a gradient keeps every activation of the patch
_FIELD_STEP = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and how a model is measured."""

    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:N``."""
    runtime: PlannedRuntime = "eager"
    machine: str = ""
    """Processor and cores, for the result."""
    memory_bytes: int = 4_000_000_000
    """That a forward pass may take."""
    cores: int | None = None
    """That a pass keeps busy on a free machine; None on a GPU."""


def probe_bundle(
    bundle: Bundle,
    frames: Sequence[Frame],
    *,
    sizes: Sequence[int],
    place: Place,
    tolerance: float = TOLERANCE,
    scenes: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> ProbeResult:
    """Measures a bundle.

    Args:
        bundle: the model.
        frames: pieces of scenes, of sides that the network takes.
        sizes: sides of patches, pixels, that the network takes, rising.
        place: where and how.
        tolerance: for the result.
        scenes: names of what the frames were cut from.
        progress: told what is being done.

    Raises:
        BundleError: if the weights do not fit the architecture.
        PlanError: if the runtime is unknown, or not even the smallest patch can be run.
    """
    progress(f"loading {bundle.card.name} ({place.runtime} on {place.device})")
    work = _Work(bundle, frames, place=place)
    reach = work.reach(progress)
    seams = tuple(work.seams(sizes, progress))
    fields = tuple(work.fields(sizes, progress))
    return ProbeResult(
        model=bundle.card.name,
        model_digest=bundle.digest,
        multiple=bundle.card.multiple,
        device=place.device,
        runtime=place.runtime,
        machine=place.machine,
        version=__version__,
        scenes=tuple(scenes),
        reach=reach,
        reach_tried=max(0, _STRIP // 2 - 2 * bundle.card.multiple),
        fields=fields,
        seams=seams,
        speeds=work.speeds(sizes, progress),
        tolerance=tolerance,
    )


class _Work:
    """The measurements of one bundle, which is loaded once."""

    def __init__(self, bundle: Bundle, frames: Sequence[Frame], *, place: Place) -> None:
        self._card, self._frames, self._place = bundle.card, frames, place
        self._callers = streams_of(place.runtime, place.cores or 1)  # as a run has
        self._predictor = make_predictor(
            bundle, device=place.device, runtime=place.runtime, threads=place.cores, streams=self._callers
        )
        self._network = bundle.load_network().requires_grad_(False)
        self._kind = place.device.split(":")[0]

    def reach(self, progress: Callable[[str], None]) -> int | None:
        """The theoretical reach, if it is no wider than a halo may be."""
        from geoseg.models.networks import reach

        progress("theoretical receptive field")
        return reach(self._network, bands=len(self._card.bands), longest=_STRIP)

    def seams(self, sizes: Sequence[int], progress: Callable[[str], None]) -> Iterator[SeamCurve]:
        """Curves at the sizes of which more than one patch fits into a frame."""
        if self._card.only:
            return  # a network of fixed size has no full frame to compare with
        wholes = []
        for number, frame in enumerate(self._frames, 1):
            progress(f"whole frame {number} of {len(self._frames)}, {frame.side} px")
            wholes += self._classes([frame])
        for size in sizes:
            fitting = [k for k, frame in enumerate(self._frames) if FITS * size <= frame.side]
            if not fitting:
                continue
            progress(f"patches of {size} px against the whole frame")
            yield seam_curve(
                [self._frames[k] for k in fitting],
                [wholes[k] for k in fitting],
                classes_of=self._classes,
                size=size,
                multiple=self._card.multiple,
            )

    def fields(self, sizes: Sequence[int], progress: Callable[[str], None]) -> Iterator[ProbedField]:
        """Effective receptive fields at the sizes whose gradients fit into memory."""
        from geoseg.models.probing.field import field_of

        for size in sizes:
            patches = self._patches(size)
            if len(patches) < 2 or size > _FIELD_LARGEST:
                continue
            progress(f"effective receptive field, patches of {size} px")
            step = -(-_FIELD_STEP // self._card.multiple) * self._card.multiple
            network = self._network.to(self._place.device)
            yield field_of(size, patches, network=network, prepare=self._prepare, logits_of=self._logits, step=step)

    def speeds(self, sizes: Sequence[int], progress: Callable[[str], None]) -> tuple[ProbedSpeed, ...]:
        """Seconds and memory by size and batch, as far as memory goes.

        Raises:
            PlanError: if nothing could be run.
        """
        from geoseg.models.probing.speed import Job, probe_speeds

        jobs = [Job(size=size, batch=batch, pixels=self._filling(size)) for size, batch in self._batches(sizes)]
        if not jobs:
            raise PlanError(f"no patch of {', '.join(str(s) for s in sizes)} px fits into memory: name smaller --sizes")
        place = self._place
        return probe_speeds(
            self._run, jobs, device=place.device, cores=place.cores, callers=self._callers, progress=progress
        )

    def _batches(self, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(size, batch): one patch, and as many as the planner would take."""
        per_pixel = self._card.activation_bytes_per_pixel or ACTIVATION_BYTES_PER_PIXEL
        for size in sizes:
            full = max(1, min(MOST_PATCHES[self._kind], BATCH_PIXELS[self._kind] // size**2))
            for batch in sorted({1, full}):
                if per_pixel * size**2 * batch <= self._place.memory_bytes:
                    yield size, batch

    def _patches(self, size: int) -> list[Frame]:
        """A few patches from different frames and places."""
        cut = [
            [frame.part(top, left, size) for top, left in places(frame.side, size=size, multiple=1, most=9)]
            for frame in self._frames
        ]
        longest = max((len(parts) for parts in cut), default=0)
        return [parts[i] for i in range(longest) for parts in cut if i < len(parts)][: max(3, _FIELD_PIXELS // size**2)]

    def _filling(self, size: int) -> npt.NDArray[np.generic]:
        """(C, s, s) of a frame, repeated where it is smaller."""
        pixels = self._frames[0].pixels
        times = -(-size // pixels.shape[-1])
        return np.tile(pixels, (1, times, times))[:, :size, :size]

    def _run(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> None:
        self._predictor.logits(pixels, valid)
        if self._kind == "cuda":
            import torch

            torch.cuda.synchronize(self._place.device)

    def _batched(self, patches: Sequence[Frame]) -> Iterator[npt.NDArray[np.float32]]:
        """(n, K, s, s) logits of patches of one size, batch by batch."""
        many = max(1, BATCH_PIXELS["cpu"] // patches[0].side ** 2)
        parts = (patches[first : first + many] for first in range(0, len(patches), many))
        if self._callers == 1:  # PyTorch's threads are this thread's own
            yield from map(self._answer, parts)
            return
        with ThreadPoolExecutor(self._callers, "geoseg-probe") as pool:
            yield from in_order(pool, self._answer, parts, ahead=self._callers + 1)

    def _answer(self, part: Sequence[Frame]) -> npt.NDArray[np.float32]:
        """(n, K, s, s) logits of one batch."""
        return _array(self._predictor.logits(np.stack([p.pixels for p in part]), np.stack([p.valid for p in part])))

    def _logits(self, patches: Sequence[Frame]) -> npt.NDArray[np.float32]:
        return np.concatenate([*self._batched(patches)])

    def _classes(self, patches: Sequence[Frame]) -> list[Classes]:
        return [classes for answer in self._batched(patches) for classes in answer.argmax(1)]

    def _prepare(self, patch: Frame) -> torch.Tensor:
        """(1, C, s, s) normalised, what is invalid 0, as prediction does it."""
        import torch

        shape = (-1, 1, 1)
        mean, std = (np.array(v, np.float32).reshape(shape) for v in _normalisation(self._card))
        pixels = np.where(patch.valid, (patch.pixels.astype(np.float32) - mean) / std, np.float32(0))
        return torch.from_numpy(pixels)[None].to(self._place.device)


def _array(answer: Any) -> npt.NDArray[np.float32]:
    """A predictor's answer as a NumPy array on the host."""
    found: npt.NDArray[np.float32] = answer if isinstance(answer, np.ndarray) else answer.cpu().numpy()
    return found


def _normalisation(card: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return card.normalisation.mean, card.normalisation.std
