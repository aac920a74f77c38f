"""Where a run's network comes from: a bundle file, or a module a caller holds. What travels is a recipe."""

from __future__ import annotations

import hashlib
import threading
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.contexts.calibration import Calibration
from geoseg.contexts.candidates import SizeRule
from geoseg.contexts.scores import ScoreTable
from geoseg.errors import BundleError
from geoseg.legend import Legend
from geoseg.models.bundle import Bundle, default_bundle_path, open_bundle
from geoseg.models.modes import Modes, modes_of, restore_modes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from geoseg.choices import PlannedPrecision, PlannedRuntime
    from geoseg.models.runtimes.base import Predictor
    from geoseg.models.runtimes.halving import HalvingPredictor

PLAIN_CONTEXT = 512
"""Patch side for a module that says nothing of its own, pixels."""

PLAIN_HALO = 32
"""Halo for a module that says nothing of its own, pixels."""

_held: dict[str, _Held] = {}
"""Modules in use, by digest; they never travel."""

_tokens: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()

_predictors: dict[tuple[str, str, str, str, tuple[int | None, int] | None], HalvingPredictor] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """A caller's module, and how to give it back."""

    network: nn.Module
    modes: Modes
    device: torch.device | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """How a worker gets the network: a few words, no weights."""

    digest: str
    """SHA-256 of the bundle file, or of a module's weights."""
    path: Path | None
    """The bundle; None for a module, which only its own process has."""
    packaged: bool
    """True for the bundle that ships with geoseg: every worker takes that of its own installation."""
    multiple: int
    """What sides of patches must be multiples of."""

    def predictor(
        self,
        device: str,
        *,
        runtime: PlannedRuntime = "eager",
        precision: PlannedPrecision = "fp32",
        threads: int | None = None,
        streams: int = 1,
    ) -> HalvingPredictor:
        """The predictor of this process, loaded once; its batches halve where memory runs out.

        Args:
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            runtime: what runs a bundle; a module is always run as it is.
            precision: of the network's products.
            threads: as for :func:`geoseg.models.runtimes.make_predictor`.
            streams: as there.

        Raises:
            BundleError: if the file is another than the one that was planned with.
            MissingExtraError: if the runtime is not installed.
        """
        from geoseg.models.runtimes.halving import HalvingPredictor

        own = (threads, streams) if runtime == "openvino" else None
        key = (self.digest, device, runtime, precision, own)
        with _lock:
            if key not in _predictors:
                _predictors.clear()  # one model at a time: its weights are what memory was planned for
                _predictors[key] = HalvingPredictor(
                    self._load(device, runtime=runtime, precision=precision, threads=threads, streams=streams)
                )
            return _predictors[key]

    def open(self) -> Bundle:
        """The bundle, looked at on this worker.

        Raises:
            BundleError: if it cannot be read, or is another than the one that was planned with.
        """
        if self.path is None:
            raise BundleError("a torch.nn.Module exists in its own process only: save it as a bundle for other workers")
        bundle = open_bundle(None if self.packaged else self.path)
        if bundle.digest != self.digest:
            raise BundleError(
                f"{bundle.path} is not the model the run was planned with ({bundle.digest[:12]}, planned"
                f" {self.digest[:12]}); give the first one again or start the run anew"
            )
        return bundle

    def _load(
        self,
        device: str,
        *,
        runtime: PlannedRuntime,
        precision: PlannedPrecision,
        threads: int | None,
        streams: int,
    ) -> Predictor:
        if self.path is None:
            from geoseg.models.runtimes.eager import EagerPredictor

            network = _held[self.digest].network
            return EagerPredictor(network, device=device, multiple=self.multiple, precision=precision)
        from geoseg.models.runtimes import make_predictor

        return make_predictor(
            self.open(), device=device, runtime=runtime, precision=precision, threads=threads, streams=streams
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """What a plan needs to know of a model, and how a worker gets it."""

    digest: str
    """SHA-256 of the bundle file, or of a module's weights."""
    path: Path | None
    """The bundle; None for a module, which only this process has."""
    name: str
    bands: int | None
    """Input channels; None for a module whose first layer does not tell."""
    legend: Legend
    rule: SizeRule
    """Which sides of patches the network takes."""
    context: int
    halo: int
    context_scores: ScoreTable | None = None
    """What each context earned in training."""
    calibration: Calibration | None = None
    """What each context reached on held-out scenes."""
    temperature: float = 1.0
    """What logits are divided by before confidence is made of them."""
    gsd: float | None = None
    dtype: str | None = None
    """Data type it was trained on; None if not known."""
    activation_bytes_per_pixel: float | None = None
    macs_per_pixel: float | None = None
    card: Mapping[str, Any] | None = None
    """A bundle's card as plain values; None for a module."""

    @property
    def recipe(self) -> ModelRecipe:
        """What travels to workers."""
        return ModelRecipe(
            digest=self.digest,
            path=self.path,
            packaged=self.path is not None and self.path == default_bundle_path().resolve(),
            multiple=self.rule.multiple,
        )

    def release(self) -> None:
        """Gives a caller's module back as it was; does nothing for a bundle, which may be used again."""
        held = _held.pop(self.digest, None)
        if held is not None:
            with _lock:
                for key in [k for k in _predictors if k[0] == self.digest]:
                    del _predictors[key]
            restore_modes(held.modes)
            if held.device is not None:
                held.network.to(held.device)


def from_bundle(bundle: Bundle) -> ModelSource:
    """The source of a bundle that was looked at."""
    card = bundle.card
    return ModelSource(
        digest=bundle.digest,
        path=bundle.path,
        name=card.name,
        bands=len(card.bands),
        legend=card.legend,
        rule=card.rule,
        context=card.context,
        halo=card.halo,
        context_scores=card.context_scores,
        calibration=card.calibration,
        temperature=card.temperature,
        gsd=card.gsd,
        dtype=card.dtype,
        activation_bytes_per_pixel=card.activation_bytes_per_pixel,
        macs_per_pixel=card.macs_per_pixel,
        card=card.to_json(),
    )


def from_module(
    network: nn.Module, *, bands: int | None = None, legend: Legend | None = None, multiple: int | None = None
) -> ModelSource:
    """The source of a module that a caller holds; it gets unnormalised pixels in float32.

    Args:
        network: gives logits (N, K, h, w) for (N, C, h, w).
        bands: input channels; None takes those of its first convolution.
        legend: the meaning of its channels; None numbers them, K found by one small forward pass.
        multiple: what patch sides must be multiples of; None: an smp model's output stride, else 1.
    """
    import torch

    from geoseg.models.networks import size_rule

    if bands is None:
        first = next((m for m in network.modules() if isinstance(m, torch.nn.Conv2d)), None)
        bands = None if first is None else first.in_channels
    rule = size_rule(network) if multiple is None else SizeRule(multiple=multiple)
    parameter = next(network.parameters(), None)
    held = _Held(network=network, modes=modes_of(network), device=None if parameter is None else parameter.device)
    digest = _digest(network)
    _held[digest] = held
    try:
        found = legend or Legend.numbered(_channels(network, bands=bands or 3, rule=rule, device=held.device))
    except BaseException:
        _held.pop(digest)
        restore_modes(held.modes)
        raise
    return ModelSource(
        digest=digest,
        path=None,
        name=type(network).__name__,
        bands=bands,
        legend=found,
        rule=rule,
        context=rule.near(PLAIN_CONTEXT)[-1],
        halo=-(-PLAIN_HALO // rule.multiple) * rule.multiple,
    )


def _digest(network: nn.Module) -> str:
    """Names a module: its structure, its weights, and the object itself, which may hold more than either shows."""
    import torch

    hasher = hashlib.sha256(f"{network!r} {_token(network)}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        hasher.update(name.encode())
        if isinstance(tensor, torch.Tensor):
            hasher.update(tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


def _token(network: nn.Module) -> str:
    """A random name for an object, the same as long as it lives."""
    return _tokens.setdefault(network, uuid.uuid4().hex)


def _channels(network: nn.Module, *, bands: int, rule: SizeRule, device: torch.device | None) -> int:
    """K, by one small forward pass."""
    import numpy as np

    from geoseg.models.runtimes.eager import EagerPredictor

    side = rule.near(64)[-1]
    sample = np.zeros((1, bands, side, side), np.float32)
    predictor = EagerPredictor(network, device=device or "cpu", multiple=rule.multiple)
    return int(predictor.logits(sample, np.ones((1, side, side), bool)).shape[1])
