"""The five classes of synthetic scenes, which are the default model's too."""

from __future__ import annotations

from typing import Final

from geoseg.legend import Legend, LegendClass

BUILDING: Final = 0
LAND: Final = 1
ROAD: Final = 2
VEGETATION: Final = 3
WATER: Final = 4

LEGEND: Final = Legend(
    (
        LegendClass(id=BUILDING, name="building", color=(200, 60, 50)),
        LegendClass(id=LAND, name="land", color=(222, 200, 150)),
        LegendClass(id=ROAD, name="road", color=(110, 110, 120)),
        LegendClass(id=VEGETATION, name="vegetation", color=(80, 150, 70)),
        LegendClass(id=WATER, name="water", color=(60, 120, 190)),
    )
)
"""Building, land, road, vegetation, water: ids 0 to 4, in map colours."""
