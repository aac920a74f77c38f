"""``geoseg model benchmark``: what networks cost, at the sizes somebody asks about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import BundleError, PlanError
from geoseg.models.device import pick_device

if TYPE_CHECKING:
    from torch import nn

NETWORKS = (
    "Dilated6Pooling",
    "UNetPublished",
    "SegNet",
    "FCN8s",
    "Unet:mobilenet_v2",
    "Unet:resnet34",
    "DeepLabV3Plus:resnet34",
    "Segformer:mit_b0",
)
"""What is measured if nobody asks for anything else: the method's own, the classics, and what is used today."""

SIZES = (256, 512)
"""Sides of patches that are measured by default, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRow:
    """One network at one size. What was measured is None where the network refuses the size."""

    network: str
    """As it was asked for."""
    size: int
    """Side of the patches, pixels."""
    batch: int
    multiple: int
    """What sides must be multiples of."""
    receptive_field: int | None
    """Side of the largest window an output pixel depends on, pixels; None: the whole patch."""
    model_bytes: int
    """Weights and buffers in float32."""
    forward_seconds: float | None = None
    backward_seconds: float | None = None
    inference_bytes: int | None = None
    """Peak of live tensors in a forward pass, weights apart."""
    training_bytes: int | None = None
    """Peak of live tensors in a training pass, gradients included, weights apart."""
    refused: str | None = None
    """Why the size was not measured."""

    @property
    def pixels_per_second(self) -> float | None:
        """Input pixels a forward pass answers per second."""
        return None if not self.forward_seconds else self.batch * self.size**2 / self.forward_seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "pixels_per_second": self.pixels_per_second}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """A network to be built."""

    name: str
    architecture: str
    arguments: dict[str, Any]
    bands: int
    classes: int

    def build(self) -> nn.Module:
        from geoseg.models.networks import build

        return build(self.architecture, self.arguments, bands=self.bands, classes=self.classes)


def model_benchmark(
    networks: Sequence[str | os.PathLike[str]] = NETWORKS,
    *,
    sizes: Sequence[int] = SIZES,
    bands: int = 3,
    classes: int = 6,
    batch: int = 1,
    device: str = "auto",
    repeats: int = 3,
    threads: int | None = None,
    progress: Callable[[BenchmarkRow], None] | None = None,
) -> tuple[BenchmarkRow, ...]:
    """Measures networks: time and memory of a forward and a backward pass, their size, and what they see.

    Args:
        networks: architectures, with an encoder after a colon where they take one (``Unet:mobilenet_v2``), or bundles
            (``*.safetensors``, whose own bands and classes count).
        sizes: sides of the patches, pixels.
        bands: input channels of architectures.
        classes: output channels of architectures.
        batch: patches per pass.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        repeats: timed passes of which the median is told.
        threads: CPU threads; None: PyTorch's own choice.
        progress: called with each row.

    Raises:
        BundleError: if a network is unknown or a bundle cannot be read, before anything is measured.
        PlanError: if a size or a number is not positive, or the device is not there.
    """
    numbers = {"bands": bands, "classes": classes, "batch": batch, "repeats": repeats, "threads": threads or 1}
    numbers |= {"size": min(sizes, default=0), "networks": len(networks)}
    for name, value in numbers.items():
        if value < 1:
            raise PlanError(f"a benchmark with {name} {value}: give numbers from 1 on")
    place = pick_device(device)
    subjects = [_subject(str(name), bands=bands, classes=classes) for name in networks]
    for subject in subjects:
        subject.build()  # a typing error in the last one should not cost the time of all before it
    rows = []
    with _threads(threads):
        for subject in subjects:
            for row in _rows(subject, sizes=sizes, batch=batch, device=place, repeats=repeats):
                rows.append(row)
                if progress is not None:
                    progress(row)
    return tuple(rows)


def _subject(name: str, *, bands: int, classes: int) -> _Subject:
    """A network by the name somebody gave."""
    if name.lower().endswith(".safetensors") or Path(name).is_file():
        from geoseg.models.bundle import open_bundle

        card = open_bundle(name).card
        return _Subject(
            name=name,
            architecture=card.architecture,
            arguments=dict(card.arguments),
            bands=len(card.bands),
            classes=len(card.legend),
        )
    from geoseg.models.networks import OWN

    architecture, _, encoder = name.partition(":")
    if encoder and architecture.lower() in {own.lower() for own in OWN}:
        raise BundleError(f"{architecture} takes no encoder, so not {encoder!r}: write {architecture}")
    arguments = {"encoder_name": encoder} if encoder else {}
    return _Subject(name=name, architecture=architecture, arguments=arguments, bands=bands, classes=classes)


def _rows(subject: _Subject, *, sizes: Sequence[int], batch: int, device: str, repeats: int) -> Iterator[BenchmarkRow]:
    """The rows of one network, which is built once and gone afterwards."""
    from geoseg.models.benchmark import costs, weight_bytes
    from geoseg.models.networks import receptive_field, size_rule

    network = subject.build()
    rule = size_rule(network)
    common: dict[str, Any] = {
        "network": subject.name,
        "batch": batch,
        "multiple": rule.multiple,
        "receptive_field": receptive_field(network, bands=subject.bands),
        "model_bytes": weight_bytes(network),
    }
    network = network.to(device)
    for size in sizes:
        refused = rule.refusal(size)
        if refused is None:
            try:
                found = costs(network, bands=subject.bands, size=size, batch=batch, repeats=repeats)
            except PlanError as error:
                refused = str(error)
            else:
                yield BenchmarkRow(**common, size=size, **asdict(found))
                continue
        yield BenchmarkRow(**common, size=size, refused=refused)


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    """PyTorch with so many threads for a while."""
    import torch

    before = torch.get_num_threads()
    if wanted is not None:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def benchmark_table(rows: Sequence[BenchmarkRow]) -> list[tuple[str, ...]]:
    """The rows as a table for people, header first."""
    header = (
        "network", "px", "forward ms", "backward ms", "training MB", "inference MB", "model MB", "Mpx/s", "field px",
        "multiple",
    )  # fmt: skip
    table: list[tuple[str, ...]] = [header]
    for row in rows:
        field = "global" if row.receptive_field is None else str(row.receptive_field)
        figures = (
            _figure(row.forward_seconds, 1e3),
            _figure(row.backward_seconds, 1e3),
            _figure(row.training_bytes, 1e-6),
            _figure(row.inference_bytes, 1e-6),
            _figure(row.model_bytes, 1e-6),
            _figure(row.pixels_per_second, 1e-6, digits=3),
            field,
            str(row.multiple),
        )
        note = (f"  refused: {row.refused}",) if row.refused else ()
        table.append((row.network, str(row.size), *figures, *note))
    return table


def _figure(value: float | None, scale: float, *, digits: int = 1) -> str:
    return "-" if value is None else f"{value * scale:.{digits}f}"
