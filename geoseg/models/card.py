"""A bundle's card: what a model is, what it takes, what it gives, where it came from. Pure values, JSON both ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from geoseg.contexts.calibration import Calibration
from geoseg.contexts.candidates import SizeRule
from geoseg.contexts.scores import ScoreTable
from geoseg.errors import BundleError, LegendError
from geoseg.legend import Legend

_T = TypeVar("_T")

FORMAT = 1
"""Format of the cards this version writes; newer ones are refused, older ones are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """What is done to stored pixel values before the network: ``(pixels - mean) / std``, band by band."""

    mean: tuple[float, ...]
    """Per band, in stored units."""
    std: tuple[float, ...]
    """Per band, in stored units, > 0."""

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(s > 0 and math.isfinite(s) for s in self.std):
            raise BundleError(f"normalisation needs as many positive deviations as means: {self.mean}, {self.std}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a bundle says of itself."""

    name: str
    """Short name, as in ``geoseg model info``."""
    description: str = ""
    """What the model is good for and what it is not, in a few honest sentences."""
    architecture: str
    """Name the networks room knows: a segmentation-models-pytorch class such as ``Unet``."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the architecture (encoder, decoder channels …), without bands and classes."""
    bands: tuple[str, ...]
    """Names of the input bands, in order, e.g. ``("red", "green", "blue")``."""
    dtype: str = "uint8"
    """Data type of the scenes it was trained on: ``normalisation`` is in its units."""
    normalisation: Normalisation
    gsd: float | None = None
    """Ground metres per pixel it was trained at; None if not known or not bound to one."""
    legend: Legend
    multiple: int
    """Sides of patches are multiples of this: the network's total downsampling."""
    least: int = 1
    """The smallest side the network takes, pixels."""
    only: tuple[int, ...] = ()
    """The only sides a network of fixed size takes, pixels; empty for any other network."""
    patch_sizes: tuple[int, ...]
    """Sides of the patches it was trained on, pixels."""
    context_scores: ScoreTable | None = None
    """What each context earned in training; None if it was trained on one."""
    calibration: Calibration | None = None
    """What each context reached on held-out scenes; None before `geoseg calibrate`."""
    temperature: float = 1.0
    """What logits are divided by before confidence and probabilities are made of them; changes no class."""
    temperature_fit: Mapping[str, Any] = field(default_factory=dict)
    """On which scenes the temperature was fitted, and what it did there; empty if it was not."""
    context: int
    """Default patch side at prediction, pixels (a context: fitted to the scene)."""
    halo: int = 32
    """Default pixels at a patch's rim whose output is not trusted."""
    activation_bytes_per_pixel: float | None = None
    """Measured peak of live activations in a forward pass (fp32, batch 1), bytes per input pixel."""
    macs_per_pixel: float | None = None
    """Measured multiply-adds of a forward pass per input pixel."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data, steps, losses, seeds: what somebody needs to judge or repeat it."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Held-out scores, e.g. ``{"dubai tile4": {"miou": 0.5}}``."""
    licence: str = ""
    """Licence of the weights, and of the data behind them."""
    version: str = ""
    """geoseg version that wrote it."""

    def __post_init__(self) -> None:
        if len(self.normalisation.mean) != len(self.bands):
            raise BundleError(f"{len(self.bands)} bands, but normalisation for {len(self.normalisation.mean)}")
        if self.multiple < 1 or self.halo < 0 or self.context < 1 or not self.patch_sizes:
            raise BundleError(
                f"multiple {self.multiple}, halo {self.halo}, context {self.context}, patch sizes {self.patch_sizes}:"
                " multiple and sizes must be positive"
            )
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise BundleError(f"the temperature must be a positive number, not {self.temperature}")
        if self.gsd is not None and not (self.gsd > 0 and math.isfinite(self.gsd)):
            raise BundleError(f"the GSD must be a positive number of metres, not {self.gsd}")

    @property
    def rule(self) -> SizeRule:
        """Which sides of patches the network takes."""
        return SizeRule(multiple=self.multiple, least=self.least, only=self.only)

    def to_json(self) -> dict[str, Any]:
        """The card as plain values; ``from_json`` is the inverse."""
        return {
            "format": FORMAT,
            "name": self.name,
            "description": self.description,
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "bands": list(self.bands),
            "dtype": self.dtype,
            "normalisation": {"mean": list(self.normalisation.mean), "std": list(self.normalisation.std)},
            "gsd": self.gsd,
            "legend": self.legend.to_json(),
            "multiple": self.multiple,
            "least": self.least,
            "only": list(self.only),
            "patch_sizes": list(self.patch_sizes),
            "context": self.context,
            "halo": self.halo,
            "context_scores": None if self.context_scores is None else self.context_scores.to_json(),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "temperature": self.temperature,
            "temperature_fit": dict(self.temperature_fit),
            "activation_bytes_per_pixel": self.activation_bytes_per_pixel,
            "macs_per_pixel": self.macs_per_pixel,
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "licence": self.licence,
            "version": self.version,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Card:
        """A card from what ``to_json`` gave.

        Raises:
            BundleError: if it is of a newer format, or an entry is missing or impossible.
        """
        found = data.get("format")
        if not isinstance(found, int):
            raise BundleError("the card names no format: this is not a geoseg bundle")
        if found > FORMAT:
            raise BundleError(f"the bundle is of format {found}, this geoseg reads up to {FORMAT}: update geoseg")
        try:
            sizes = tuple(int(v) for v in data["patch_sizes"])
            return cls(
                name=str(data["name"]),
                description=str(data.get("description", "")),
                architecture=str(data["architecture"]),
                arguments=dict(data.get("arguments", {})),
                bands=tuple(str(v) for v in data["bands"]),
                dtype=str(data.get("dtype", "uint8")),
                normalisation=Normalisation(
                    mean=tuple(float(v) for v in data["normalisation"]["mean"]),
                    std=tuple(float(v) for v in data["normalisation"]["std"]),
                ),
                gsd=_optional(float, data.get("gsd")),
                legend=Legend.from_json(data["legend"]),
                multiple=int(data["multiple"]),
                least=int(data.get("least", 1)),
                only=tuple(int(v) for v in data.get("only", ())),
                context_scores=_optional(ScoreTable.from_json, data.get("context_scores")),
                calibration=_optional(Calibration.from_json, data.get("calibration")),
                temperature=float(data.get("temperature", 1.0)),
                temperature_fit=dict(data.get("temperature_fit", {})),
                patch_sizes=sizes,
                context=int(data.get("context", sizes[0])),
                halo=int(data.get("halo", 32)),
                activation_bytes_per_pixel=_optional(float, data.get("activation_bytes_per_pixel")),
                macs_per_pixel=_optional(float, data.get("macs_per_pixel")),
                training=dict(data.get("training", {})),
                metrics=dict(data.get("metrics", {})),
                licence=str(data.get("licence", "")),
                version=str(data.get("version", "")),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, BundleError | LegendError):
                raise BundleError(f"the bundle's card is damaged: {error}") from error
            raise BundleError(f"the bundle's card is damaged: {type(error).__name__} {error}") from error


def _optional(read: Callable[[Any], _T], value: Any) -> _T | None:
    return None if value is None else read(value)
