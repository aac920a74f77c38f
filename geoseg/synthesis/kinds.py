"""The kinds of districts, and the materials that a scene is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from geoseg.synthesis.legend import BUILDING, LAND, ROAD, VEGETATION, WATER


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a district is laid out; lengths in metres, shares in 0..1."""

    name: str
    weight: float
    """Share of the districts."""
    block: tuple[float, float]
    """Distance of streets, along and across the district's axis."""
    street: float
    """Half the width of a street."""
    lot: tuple[float, float]
    """Wanted size of a lot."""
    margin: float
    """From a lot's border to its building, at least."""
    built: float
    """Share of lots with a building."""
    largest: float
    """Half the side of a building, at most."""
    heights: tuple[float, float]
    bend: float
    """How much streets curve."""
    green: float
    """Threshold above which the ground is overgrown; noise of standard deviation 0.6 around 0."""
    trees: float
    """Share of places that hold a tree, where the ground is neither built nor paved."""
    lawn: float
    """Share of lots that are lawn."""
    crops: float
    """Share of lots under crops."""
    pools: float
    """Share of lots with a pool."""
    natural: bool
    """True if the roads around it may be small."""


KINDS: Final = (
    Kind(name="dense", weight=0.21, block=(112, 72), street=2.8, lot=(23, 23), margin=1.6, built=0.9, largest=16,
         heights=(6, 22), bend=0.1, green=1.1, trees=0.06, lawn=0.03, crops=0, pools=0, natural=False),
    Kind(name="towers", weight=0.07, block=(185, 145), street=4.0, lot=(62, 58), margin=9, built=0.75, largest=24,
         heights=(18, 45), bend=0.2, green=0.75, trees=0.1, lawn=0.2, crops=0, pools=0.25, natural=False),
    Kind(name="villas", weight=0.20, block=(150, 78), street=2.6, lot=(29, 30), margin=4.5, built=0.88, largest=11,
         heights=(4, 9), bend=0.55, green=0.8, trees=0.2, lawn=0.3, crops=0, pools=0.16, natural=False),
    Kind(name="sheds", weight=0.1, block=(230, 160), street=4.0, lot=(74, 62), margin=7, built=0.72, largest=40,
         heights=(6, 12), bend=0.05, green=1.5, trees=0.02, lawn=0.03, crops=0, pools=0, natural=False),
    Kind(name="fields", weight=0.13, block=(330, 210), street=2.8, lot=(105, 80), margin=8, built=0.07, largest=11,
         heights=(4, 7), bend=0.25, green=0.9, trees=0.08, lawn=0.05, crops=0.55, pools=0.0, natural=True),
    Kind(name="desert", weight=0.22, block=(520, 430), street=2.6, lot=(85, 85), margin=9, built=0.05, largest=15,
         heights=(4, 7), bend=0.9, green=1.25, trees=0.03, lawn=0, crops=0, pools=0, natural=True),
    Kind(name="park", weight=0.07, block=(190, 150), street=2.5, lot=(70, 70), margin=10, built=0.06, largest=13,
         heights=(4, 8), bend=1.0, green=-0.1, trees=0.3, lawn=0.35, crops=0, pools=0.03, natural=True),
)  # fmt: skip
"""All kinds of districts; the weights sum to 1."""

# Materials: small integers that index every table below.
SOIL, PAVED, SAND, FALLOW, YARD, WALL = 0, 1, 2, 3, 4, 5
STREET, ARTERIAL, TRACK, LINE = 6, 7, 8, 9
GRASS, CROP_A, CROP_B, SHRUB, TREE, PALM = 10, 11, 12, 13, 14, 15
WATER_0, WATER_STEPS, POOL = 16, 8, 24
ROOF_0, ROOFS = 25, 16
MATERIALS: Final = ROOF_0 + ROOFS

CLASS_OF: Final[npt.NDArray[np.uint8]] = np.array(
    [LAND] * 6 + [ROAD] * 4 + [VEGETATION] * 6 + [WATER] * 9 + [BUILDING] * ROOFS, dtype=np.uint8
)
"""Material -> class id."""


def _table(values: dict[int, float], *, roofs: float, water: float) -> npt.NDArray[np.float32]:
    table = np.full(MATERIALS, roofs, dtype=np.float32)
    table[WATER_0 : POOL + 1] = water
    for material, value in values.items():
        table[material] = value
    return table


GRAIN: Final = _table(
    {SOIL: 0.045, PAVED: 0.05, SAND: 0.025, FALLOW: 0.06, YARD: 0.09, WALL: 0.06, STREET: 0.05, ARTERIAL: 0.04,
     TRACK: 0.06, LINE: 0.03, GRASS: 0.09, CROP_A: 0.08, CROP_B: 0.08, SHRUB: 0.16, TREE: 0.2, PALM: 0.18},
    roofs=0.035, water=0.02,
)  # fmt: skip
"""Material -> contrast of the finest texture, 1-3 m."""
PATCHES: Final = _table(
    {SOIL: 0.1, PAVED: 0.1, SAND: 0.06, FALLOW: 0.1, YARD: 0.16, WALL: 0.1, STREET: 0.07, ARTERIAL: 0.05, TRACK: 0.09,
     LINE: 0.05, GRASS: 0.13, CROP_A: 0.1, CROP_B: 0.1, SHRUB: 0.2, TREE: 0.12, PALM: 0.12},
    roofs=0.04, water=0.03,
)  # fmt: skip
"""Material -> contrast of patches of 8-25 m."""
SWEEP: Final = _table(
    {SOIL: 0.2, PAVED: 0.12, SAND: 0.08, FALLOW: 0.12, YARD: 0.12, WALL: 0.05, STREET: 0.12, ARTERIAL: 0.08, TRACK: 0.2,
     LINE: 0.05, GRASS: 0.16, CROP_A: 0.08, CROP_B: 0.08, SHRUB: 0.15, TREE: 0.1, PALM: 0.1},
    roofs=0.0, water=0.08,
)  # fmt: skip
"""Material -> contrast of changes over 100 m and more."""
RELIEF: Final = _table(
    {SOIL: 0.16, SAND: 0.08, FALLOW: 0.08, YARD: 0.08, TRACK: 0.1, GRASS: 0.1, SHRUB: 0.25}, roofs=0, water=0
)
"""Material -> how much the lie of the ground shows."""
ROWS: Final = _table({FALLOW: 0.12, CROP_A: 0.2, CROP_B: 0.12}, roofs=0.0, water=0.0)
"""Material -> contrast of plough lines."""
