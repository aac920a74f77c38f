"""How much goes through a network at once where nothing better is known: for plans, and for the probe of them."""

from __future__ import annotations

BATCH_PIXELS = {"cpu": 1_200_000, "cuda": 8_000_000}
"""Input pixels of a batch by device: enough to fill the machine, small enough for its memory."""

MOST_PATCHES = {"cpu": 16, "cuda": 64}
"""Patches of a batch at most, by device."""


def streams_of(runtime: str, threads: int) -> int:
    """Batches that a run has in the network at once.

    OpenVINO's graph can be run by several callers, each on its share of the threads: two of them keep all cores busy
    while one's answer is fetched and the next is brought. An odd number of threads is not shared out: one would get
    none. PyTorch's threads serve one caller.

    Args:
        runtime: what runs the network.
        threads: of its arithmetic.
    """
    return 2 if runtime == "openvino" and threads % 2 == 0 else 1


ACTIVATION_BYTES_PER_PIXEL = 1000.0
"""A guess for networks without a card."""
