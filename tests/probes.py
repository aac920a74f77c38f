"""Probes that tests make up for bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geoseg.inference import machine
from geoseg.models.bundle import open_bundle
from geoseg.models.probing.result import ProbeResult
from geoseg.models.probing.seams import SeamCurve


def made_up_probe(bundle: Path | None, **fields: Any) -> ProbeResult:
    """A probe of a bundle (None: the default one) on this machine's CPU that saw and timed nothing."""
    found = open_bundle(bundle)
    common: dict[str, Any] = {
        "model": found.card.name,
        "model_digest": found.digest,
        "multiple": found.card.multiple,
        "device": "cpu",
        "runtime": "eager",
        "machine": machine.describe_machine(),
        "version": "",
        "scenes": (),
        "reach": None,
        "reach_tried": 448,
        "fields": (),
        "seams": (),
        "speeds": (),
    }
    return ProbeResult(**{**common, **fields})


def finite_probe(bundle: Path | None, *, reach: int, **fields: Any) -> ProbeResult:
    """One of a network that sees so many pixels far, and answers otherwise up to there."""
    return made_up_probe(bundle, reach=reach, seams=(flat_curve(reach),), **fields)


def flat_curve(distance: int, *, rate: float = 0.5) -> SeamCurve:
    """Half of all classes differ up to a distance (whole bins of 8 px), none beyond."""
    bins = -(-distance // 8)
    return SeamCurve(size=512, pixels=(1000,) * 32, changed=(int(1000 * rate),) * bins + (0,) * (32 - bins))
