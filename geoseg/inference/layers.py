"""Which layers a run gives beside the classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What is wanted beside the classes."""

    confidence: bool = False
    """Probability of the winning class, percent."""
    probabilities: bool = False
    """Probability of every class."""
    contexts: bool = False
    """Which contexts had a say, a bit for each."""
