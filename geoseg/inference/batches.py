"""How many patches go through the network at once, and what an adaptive run's budget pays for."""

from __future__ import annotations

from geoseg.choices import PlannedRuntime
from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import TileGrid
from geoseg.geometry.windows import sized
from geoseg.inference.known import Known
from geoseg.inference.passes import ContextPass
from geoseg.models.batching import MOST_PATCHES

_QUICKER = 0.8  # smaller differences of measured time are the machine's mood


def most_patches(lattice: Lattice, pixels: int, *, device: str, asked: int | None = None) -> int:
    """Patches of a lattice in a batch of at most so many pixels; at least one.

    Args:
        lattice: of a context.
        pixels: of the batch.
        device: ``cpu`` or ``cuda``.
        asked: most patches that were asked for.
    """
    most = asked or MOST_PATCHES[device]
    return max(1, min(most, pixels // (lattice.patch[0] * lattice.patch[1])))


def batch_of(
    lattice: Lattice, pixels: int, *, device: str, asked: int | None, known: Known, runtime: PlannedRuntime
) -> int:
    """As many as :func:`most_patches`, or one at a time where a probe found that markedly quicker.

    OpenVINO runs the patches of a batch one by one: in batches of one they are shared out best among its streams.
    """
    if runtime == "openvino":
        return asked or 1
    most = most_patches(lattice, pixels, device=device, asked=asked)
    alone, together = (known.seconds_per_pixel(lattice.patch, n) for n in (1, most))
    if asked is not None or alone is None or together is None:
        return most
    return 1 if alone < _QUICKER * together else most


def unaffordable(contexts: tuple[ContextPass, ...], block: TileGrid, *, budget: float) -> list[str]:
    """Contexts of which not even a whole block's budget pays for one patch."""
    shape = block.lattice.shape
    cells = [min(n, axis.count) for n, axis in zip(block.cells, (block.lattice.rows, block.lattice.cols), strict=True)]
    left = (budget - 1) * cells[0] * cells[1] * block.lattice.patch[0] * block.lattice.patch[1]
    found = [c.size for c in contexts[1:] if c.lattice.patch[0] * c.lattice.patch[1] > left]
    if not found or budget == 1:
        return []
    listed = ", ".join(str(size) for size in found)
    core = min(block.core[0], shape[0]), min(block.core[1], shape[1])
    return [f"a budget of {budget:g} pays for no patch of {listed} px in a block of {sized(core)} px"]
