"""What a report tells: a value that is put together from a store, and then written as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.legend import Legend
from geoseg.reporting.survey import Survey

Rows = Sequence[tuple[str, str]]
"""Names and values, as text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Content:
    """All that a report shows. Nothing in it is HTML: the page escapes it."""

    name: str
    """What the map is called."""
    shape: tuple[int, int]
    """(height, width) of the map."""
    crs: str
    """Name of its CRS, or ``no CRS``."""
    gsd: tuple[float, float] | None
    """Ground metres per pixel (x, y); None where nothing tells."""
    factor: int
    """Pixels of the map, along a side, that are one pixel of the pictures."""
    legend: Legend
    classes: npt.NDArray[np.uint8]
    """(h, w): the overview that is shown."""
    scene: npt.NDArray[np.uint8] | None
    """(3, h, w): the scene on the same grid; None where it cannot be read."""
    survey: Survey
    contexts: tuple[int, ...] = ()
    """Contexts (pixels) behind the bits of the context layer."""
    metrics: Mapping[str, Any] | None = None
    """As ``geoseg.evaluation.metrics.summarise`` gives them."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """As ``Plan.to_json`` gives it."""
    timing: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for: ``scene``, ``model``, ``options``, ``versions``."""
    card: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Versions and digests: root attributes whose names begin with ``geoseg_``."""
    notes: tuple[str, ...] = ()
