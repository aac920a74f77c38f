"""How much goes through a network at once where nothing better is known: for plans, and for the probe of them."""

from __future__ import annotations

BATCH_PIXELS = {"cpu": 1_200_000, "cuda": 8_000_000}
"""Input pixels of a batch by device: enough to fill the machine, small enough for its memory."""

MOST_PATCHES = {"cpu": 16, "cuda": 64}
"""Patches of a batch at most, by device."""

ACTIVATION_BYTES_PER_PIXEL = 1000.0
"""A guess for networks without a card."""
