"""One tile of a class map: the regions that end in it, and what others bring to its rims."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.polygons import ragged
from geoseg.polygons.chains import Chains, Ids, Vertices, find_chains
from geoseg.polygons.ragged import Ints
from geoseg.polygons.regions import Facts, Regions, assemble
from geoseg.polygons.runs import Runs, find_runs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenRegions:
    """Parts of regions that go on in other tiles, with their chains sorted by part."""

    facts: Facts
    region: Ints
    """Part that each chain is of; ascending."""
    chains: Chains

    def take(self, items: npt.NDArray[np.integer]) -> OpenRegions:
        """Some of the parts; ``items`` ascend."""
        number = np.full(len(self.facts), -1)
        number[items] = np.arange(len(items))
        kept = np.flatnonzero(number[self.region] >= 0)
        return OpenRegions(
            facts=self.facts.take(items), region=number[self.region[kept]], chains=take_chains(self.chains, kept)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TracedTile:
    """What a tile gives to the scene."""

    window: Window
    whole: Regions
    """Regions that lie in no other tile."""
    open: OpenRegions
    sides: dict[str, Ints]
    """For each side, along it, the open part that goes on beyond it there; -1 for none."""


def trace_tile(
    padded: Ids,
    window: Window,
    *,
    width: int,
    vertices: Vertices,
    confidence: npt.NDArray[np.uint8] | None = None,
) -> TracedTile:
    """Regions of a tile with their borders.

    Args:
        padded: class ids (height + 2, width + 2) of the tile and its neighbours, 255 outside the scene.
        window: the tile.
        width: of the scene, pixels.
        vertices: which a ring has.
        confidence: of the tile (height, width), percent, 255 where there is none.
    """
    runs = find_runs(padded[1:-1, 1:-1])
    facts = _facts(runs, padded[1:-1, 1:-1], window, width=width, confidence=confidence)
    chains = find_chains(padded, window, width=width, vertices=vertices)
    region = runs.at(chains.pixel)
    goes_on = {side: _continued(padded, own, side) for side, own in runs.sides().items()}
    is_open = np.zeros(runs.count, np.bool_)
    for own in goes_on.values():
        is_open[own[own >= 0]] = True
    number = np.where(is_open, np.cumsum(is_open), np.cumsum(~is_open)) - 1
    number = np.append(number, -1)  # what -1 stands for, here too
    ending = np.flatnonzero(~is_open[region])
    assert chains.closed[ending].all(), "a region that ends in a tile has rings only"
    vertex, rings = ragged.take(chains.offsets, ending)
    whole = assemble(
        facts.take(np.flatnonzero(~is_open)),
        region=number[region[ending]],
        coords=chains.coords[vertex],
        rings=rings,
        doubtful=chains.doubtful[vertex],
    )
    staying = np.flatnonzero(is_open[region])
    staying = staying[np.argsort(region[staying], kind="stable")]
    left = OpenRegions(
        facts=facts.take(np.flatnonzero(is_open)),
        region=number[region[staying]],
        chains=take_chains(chains, staying),
    )
    sides = {side: number[own] for side, own in goes_on.items()}
    return TracedTile(window=window, whole=whole, open=left, sides=sides)


def take_chains(chains: Chains, items: npt.NDArray[np.integer]) -> Chains:
    """Some chains, in that order."""
    vertex, offsets = ragged.take(chains.offsets, items)
    return replace(
        chains,
        coords=chains.coords[vertex],
        doubtful=chains.doubtful[vertex],
        offsets=offsets,
        pixel=chains.pixel[items],
        closed=chains.closed[items],
        begin=chains.begin[items],
        to=chains.to[items],
        smooth=chains.smooth[items],
    )


def _continued(padded: Ids, own: Ints, side: str) -> Ints:
    """Along a side, the regions that have a pixel of their class beyond it; -1 for none."""
    turned = padded if side in ("top", "bottom") else padded.T
    beyond, rim = (turned[:2] if side in ("top", "left") else turned[:-3:-1])[:, 1:-1]
    return np.where(rim == beyond, own, -1)


def _facts(runs: Runs, classes: Ids, window: Window, *, width: int, confidence: npt.NDArray[np.uint8] | None) -> Facts:
    first = runs.first
    row, col = np.divmod(first, window.width)
    nothing = np.zeros(runs.count, np.int64)
    percent, measured = nothing, nothing
    if confidence is not None:
        known = confidence != IGNORE
        percent, measured = runs.totals(np.where(known, confidence, 0)), runs.totals(known.view(np.uint8))
    return Facts(
        classes=classes.ravel()[first],
        pixels=runs.sums(runs.lengths),
        first=(row + window.row_off) * width + col + window.col_off,
        percent=percent,
        measured=measured,
    )
