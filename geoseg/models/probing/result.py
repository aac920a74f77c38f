"""What a probe found: values with a JSON round trip, and the halo and the speed that follow from them. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from geoseg.geometry.lattice import round_up
from geoseg.models.probing.seams import SeamCurve

FORMAT = 2
"""Of the stored result; probes of another are not read."""

TOLERANCE = 0.01
"""Share of a scene's pixels whose class may differ from full-frame inference's. What the halo of 32 px of the model in
geoseg comes to at its context of about 1024 px: 0.8 % on a synthetic scene, 0.9 % on a real one (docs/probe.md)."""

AT_SEAM = 6.0
"""So many times the tolerance may pixels right beside a seam differ: a large patch would else need no halo on average,
and show a line of other classes along its edge."""

WIDEST = 1 / 8
"""Widest halo as a share of a patch's side: it computes 1.8 pixels for each of the scene. More is for those who ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedField:
    """The effective receptive field in patches of one size. Distances are along the farther axis, pixels."""

    size: int
    """Side of the patches, pixels."""
    gradient: Mapping[str, float]
    """Distance from a pixel within which lies this share of its margin's gradient, by the share: ``{"0.5": 20.0}``."""
    replaced: tuple[tuple[int, float, float], ...]
    """(distance, share of classes that change, mean absolute change of a logit) of a patch's middle when all that is
    farther away is other content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedSpeed:
    """One batch on this machine."""

    size: int
    """Side of the patches, pixels."""
    batch: int
    """Patches per forward pass."""
    seconds: float
    """Of the best of some forward passes: from stored pixels to logits."""
    bytes: int | None
    """Memory that it took beyond what the process held; None where it cannot be told."""
    share: float = 1.0
    """Of the machine that other work left to it."""

    @property
    def pixels(self) -> int:
        """Input pixels of the batch."""
        return self.batch * self.size**2

    @property
    def seconds_per_pixel(self) -> float:
        """Per input pixel, had the machine been free."""
        return self.seconds * self.share / self.pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One model, measured on one machine."""

    model: str
    """Its name."""
    model_digest: str
    """SHA-256 of the bundle."""
    multiple: int
    """Of the network: halos are multiples of it."""
    device: str
    runtime: str
    machine: str
    """Processor and cores."""
    version: str
    """geoseg's."""
    scenes: tuple[str, ...]
    """What the patches were cut from."""
    reach: int | None
    """Theoretical distance to the farthest pixel an output depends on; None: more than ``reach_tried``."""
    reach_tried: int
    """Longest reach that was looked for, pixels."""
    fields: tuple[ProbedField, ...]
    seams: tuple[SeamCurve, ...]
    """By rising patch size."""
    speeds: tuple[ProbedSpeed, ...]
    tolerance: float = TOLERANCE
    """Share of pixels whose class may differ from full-frame inference's: what plans go by."""

    def disagreement(self, patch: tuple[int, int], halo: int) -> float | None:
        """Share of pixels whose class differs from full-frame inference's; None if no patch could be measured.

        Args:
            patch: (height, width), pixels. The largest measured size that is no larger counts: smaller ones are worse.
            halo: pixels at the rim of a patch that are not used.
        """
        if self.reach is not None and halo >= self.reach:
            return 0.0
        curve = self._curve(min(patch))
        return None if curve is None else curve.disagreement(patch, halo)

    def halo(self, patch: tuple[int, int]) -> int | None:
        """The smallest multiple of the network's that keeps to the tolerance; None if none up to ``WIDEST`` does.

        Right beside a seam ``AT_SEAM`` times as many pixels may differ.

        Args:
            patch: (height, width), pixels.
        """
        curve = self._curve(min(patch))
        for halo in range(0, int(min(patch) * WIDEST) + 1, self.multiple):
            if self.reach is not None and halo >= self.reach:
                return halo
            if (
                curve is not None
                and curve.disagreement(patch, halo) <= self.tolerance
                and curve.at_seam(halo) <= AT_SEAM * self.tolerance
            ):
                return halo
        return None

    @property
    def exact_halo(self) -> int | None:
        """The halo that makes tiled prediction exact; None if the receptive field is too wide for one."""
        return None if self.reach is None else round_up(self.reach, self.multiple)

    @property
    def share(self) -> float:
        """Mean of the machine's speed that other work left while speeds were measured."""
        return sum(speed.share for speed in self.speeds) / max(1, len(self.speeds))

    def seconds_per_pixel(self, patch: tuple[int, int], batch: int) -> float | None:
        """Of input, on a free machine; between measured sizes in proportion. None if nothing was measured.

        Args:
            patch: (height, width), pixels.
            batch: patches per forward pass; the nearest batch that was measured counts.
        """
        side = math.sqrt(patch[0] * patch[1])
        sizes = sorted({speed.size for speed in self.speeds})
        if not sizes:
            return None
        below = max((s for s in sizes if s <= side), default=sizes[0])
        above = min((s for s in sizes if s >= side), default=sizes[-1])
        low, high = (self._seconds_per_pixel(size, batch) for size in (below, above))
        part = 0.0 if below == above else (side - below) / (above - below)
        return low + part * (high - low)

    def _seconds_per_pixel(self, size: int, batch: int) -> float:
        """Of the measured size, with the measured batch that is nearest."""
        found = [speed for speed in self.speeds if speed.size == size]
        return min(found, key=lambda speed: abs(math.log(speed.batch / batch))).seconds_per_pixel

    def _curve(self, side: int) -> SeamCurve | None:
        smaller = [curve for curve in self.seams if curve.size <= side]
        return smaller[-1] if smaller else next(iter(self.seams), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` is the inverse."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "format": FORMAT,
            "scenes": [*self.scenes],
            "fields": [{**asdict(f), "replaced": [[*row] for row in f.replaced]} for f in self.fields],
            "seams": [curve.to_json() for curve in self.seams],
            "speeds": [asdict(speed) for speed in self.speeds],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeResult:
        """A result from what ``to_json`` gave.

        Raises:
            ValueError, KeyError, TypeError: if it is none, or of another format.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"a probe of format {data['format']}, this geoseg reads {FORMAT}")
        found = cls(
            **{name: data[name] for name in _PLAIN},
            scenes=tuple(data["scenes"]),
            fields=tuple(
                ProbedField(
                    size=int(f["size"]),
                    gradient=dict(f["gradient"]),
                    replaced=tuple((int(d), float(share), float(moved)) for d, share, moved in f["replaced"]),
                )
                for f in data["fields"]
            ),
            seams=tuple(SeamCurve.from_json(curve) for curve in data["seams"]),
            speeds=tuple(ProbedSpeed(**speed) for speed in data["speeds"]),
        )
        found._check()
        return found

    def _check(self) -> None:
        """Refuses numbers that nothing can be told from.

        Raises:
            ValueError, TypeError: if there are such.
        """
        curves = all(
            c.size >= 1 and c.pixels and min(c.pixels) >= 1 and len(c.changed) == len(c.pixels) for c in self.seams
        )
        speeds = all(s.size >= 1 and s.batch >= 1 and s.seconds > 0 and 0 < s.share <= 1 for s in self.speeds)
        if not (curves and speeds and self.multiple >= 1 and 0 <= self.tolerance < 1):
            raise ValueError("a probe with impossible numbers")


_PLAIN = (
    "model", "model_digest", "multiple", "device", "runtime", "machine", "version", "reach", "reach_tried", "tolerance",
)  # fmt: skip
