"""What a user may ask of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.choices import PRECISIONS, RUNTIMES, Contexts, Fuse, Precision, Runtime, Stitch
from geoseg.errors import PlanError
from geoseg.inference.layers import Layers


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What a user may ask for; None means ``auto``."""

    stitch: Stitch = "crop"
    patch_size: int | None = None
    """Context, pixels; fitted to the scene unless ``exact``. None: the best of the model's card."""
    exact: bool = False
    contexts: Contexts = 1
    """How many of the card's best contexts are fused, or ``adaptive``."""
    fuse: Fuse = "score"
    """Weights of fused contexts."""
    budget: float = 1.5
    """Most that an adaptive run may cost, in units of one pass."""
    overlap: int | None = None
    """Overlap of neighbouring patches, pixels; rounded up to twice the network's multiple."""
    tile: int | None = None
    """Side of a tile's core, pixels; rounded to whole cells."""
    batch_size: int | None = None
    """Patches per forward pass, of the first context; others take as many pixels."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    runtime: Runtime = "auto"
    """What runs the network."""
    precision: Precision = "auto"
    """Of the network's products."""
    threads: int | None = None
    """Threads of the network's arithmetic."""
    confidence: bool = False
    """Write the winning class's probability, percent, to the Zarr store."""
    probabilities: bool = False
    """Write every class's probability, percent, to the Zarr store."""
    zarr_format: int = 3
    to_come: int = 0
    """Scenes like this one that follow it: what is loaded and converted once serves them too. Of the runtime alone."""

    @property
    def layers(self) -> Layers:
        """What is wanted beside the classes; an adaptive run says which contexts decided."""
        adaptive = self.contexts == "adaptive"
        return Layers(confidence=self.confidence, probabilities=self.probabilities, contexts=adaptive)

    def check(self) -> None:
        """Refuses numbers that make no sense whatever the scene.

        Raises:
            PlanError: naming the number and its range.
        """
        for name, word, words in (("runtime", self.runtime, RUNTIMES), ("precision", self.precision, PRECISIONS)):
            if word not in words:
                raise PlanError(f"{name} {word!r}: there are {', '.join(words)}")
        least = {"patch size": 1, "overlap": 0, "tile": 1, "batch size": 1, "threads": 1, "scenes to come": 0}
        found = (self.patch_size, self.overlap, self.tile, self.batch_size, self.threads, self.to_come)
        for (name, low), value in zip(least.items(), found, strict=True):
            if value is not None and value < low:
                raise PlanError(f"{name} {value}: use {low} or more")
        if self.contexts != "adaptive" and not 1 <= self.contexts <= 7:
            raise PlanError(f"{self.contexts} contexts: use 1 to 7, or 'adaptive'")
        if self.budget != 1.5 and self.contexts != "adaptive":
            raise PlanError(f"a budget of {self.budget} is for adaptive runs: add --contexts adaptive, or leave it out")
        if self.fuse != "score" and self.contexts == 1:
            raise PlanError(f"one context is not fused by {self.fuse!r}: ask for several --contexts")
        if not 1 <= self.budget <= 100:
            raise PlanError(f"a budget of {self.budget} passes: use 1 (nothing is run again) to 100")
