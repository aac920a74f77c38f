"""Which material covers every pixel, how high it stands, and how bright its texture makes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geoseg.synthesis import kinds as k
from geoseg.synthesis.noise import Floats, Frame, byte, fractal_noise, lattice_hash, pixel_words, smooth_noise, unit
from geoseg.synthesis.sampling import Index, Sampler, look_up, paint, saw
from geoseg.synthesis.terrain import Terrain, terrain_around
from geoseg.synthesis.town import Town, build

STRIP = 64
"""Rows that are worked out together."""

_SMALL, _LARGE, _SPECK = 7, 11, 6  # metres between possible trees of two sizes, and between cars
_KIND = {
    name: np.array([getattr(kind, name) for kind in k.KINDS], dtype=np.float32)
    for name in ("green", "trees", "lawn", "crops")
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cover:
    """The surface at every pixel of a frame; arrays (H, W)."""

    terrain: Terrain
    district: npt.NDArray[np.uint8]
    """Index into the terrain's districts."""
    material: npt.NDArray[np.uint8]
    """Materials of ``kinds``; ``kinds.CLASS_OF`` gives their classes."""
    height: Floats
    """Metres over the ground."""
    bright: Floats
    """Factor on the material's colour."""
    tint: Floats
    """How warm (positive) or cool the ground is, about +-0.5."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Crowns:
    """Round things, one to a lattice cell at most."""

    square: Floats
    """Squared distance from the middle in units of the radius: below 1 is inside."""
    dy: Floats
    """Metres south of the middle."""
    dx: Floats
    """Metres east of it."""
    drawn: Floats
    """Uniform in [0, 1), one value for each."""


def cover(
    frame: Frame, *, pixels: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], sun: tuple[float, float]
) -> Cover:
    """The surface under a frame whose rows and columns are ``pixels`` of the world, lit from ``sun`` (y, x).

    It is worked out in strips: a few hundred operations pass over each, and a strip's arrays stay in the CPU's cache.
    """
    terrain = terrain_around(frame)
    shape = frame.shape
    whole = Cover(
        terrain=terrain, district=np.empty(shape, np.uint8), material=np.empty(shape, np.uint8),
        height=np.empty(shape, np.float32), bright=np.empty(shape, np.float32), tint=np.empty(shape, np.float32),
    )  # fmt: skip
    for start in range(0, shape[0], STRIP):
        rows = slice(start, min(start + STRIP, shape[0]))
        _strip(whole, rows, replace(frame, y=frame.y[rows]), pixels=(pixels[0][rows], pixels[1]), sun=sun)
    return whole


def _strip(
    whole: Cover, rows: slice, frame: Frame, *, pixels: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    sun: tuple[float, float],
) -> None:  # fmt: skip
    """Fill some rows of a cover."""
    terrain = whole.terrain
    sampler = Sampler(coarse=terrain.frame, fine=frame)
    whole.district[rows] = sampler.nearest(terrain.district)
    district = whole.district[rows].astype(np.intp)
    warp = sampler.linear(terrain.warp[0]), sampler.linear(terrain.warp[1])
    places = frame.y[:, None] + warp[0], frame.x[None, :] + warp[1]
    town = build(terrain, sampler, district=district, places=places, warp=warp)
    grain = byte(pixel_words(*pixels, seed=frame.seed, key=101), 0) - np.float32(0.5)
    grain += smooth_noise(frame, 3, key=103)
    patch = _patches(frame)
    sweep = sampler.linear(terrain.sweep)
    green = sampler.linear(terrain.green) + patch * np.float32(0.3)
    water = sampler.linear(terrain.water) + patch * np.float32(1.6)

    material, height, crowns, specks = _materials(
        frame, town=town, district=district, kind=terrain.districts.kind, green=green, water=water,
        main_road=sampler.linear(terrain.main_road), middle=sampler.linear(terrain.middle), grain=grain,
    )  # fmt: skip
    bright = 1 + look_up(k.GRAIN, material) * grain
    bright += look_up(k.PATCHES, material) * patch
    bright += look_up(k.SWEEP, material) * sweep
    toward_sun = replace(frame, y=frame.y + np.float32(2 * sun[0]), x=frame.x + np.float32(2 * sun[1]))
    bright += look_up(k.RELIEF, material) * (patch - _patches(toward_sun))
    _texture(bright, material, town=town, crowns=crowns, specks=specks, district=district, sun=sun)
    whole.material[rows], whole.height[rows], whole.bright[rows], whole.tint[rows] = material, height, bright, sweep


def _patches(frame: Frame) -> Floats:
    """Patches of 10-25 m, which double as the lie of the ground."""
    return fractal_noise(frame, 24, key=105, octaves=2, falloff=0.8)


def _materials(
    frame: Frame, *, town: Town, district: Index, kind: npt.NDArray[np.intp], green: Floats,
    water: Floats, main_road: Floats, middle: Floats, grain: Floats,
) -> tuple[npt.NDArray[np.uint8], Floats, tuple[_Crowns, _Crowns], _Crowns]:  # fmt: skip
    """(material, height, two sizes of trees, cars), painted one over the other from the ground up."""
    of_kind = {name: values[kind] for name, values in _KIND.items()}
    material = np.zeros(district.shape, dtype=np.uint8)
    use = byte(town.lot, 2)
    style = byte(town.lot, 3)
    rough = green + grain * np.float32(0.12)
    built_kind = look_up(kind < 4, district)

    paint(material, k.YARD, built_kind & (style < 0.55))
    paint(material, k.PAVED, built_kind & (style < 0.25))
    fallow = look_up(kind == 4, district)
    paint(material, k.FALLOW, fallow & (style < 0.7))
    lawn = look_up(of_kind["lawn"], district)
    field = lawn + look_up(of_kind["crops"], district)
    tended = (town.border > 1.2) & (use < field)
    paint(material, k.CROP_B, tended)
    paint(material, k.CROP_A, (tended) & (style < 0.5))
    paint(material, k.GRASS, tended & (use < lawn))
    wild = rough - look_up(of_kind["green"], district)
    wild += np.float32(0.5) * (water < 30) * (np.float32(1) - water * np.float32(1 / 30))
    paint(material, k.GRASS, (wild > 0) & ~tended)
    paint(material, k.SHRUB, (wild > 0.45) & ~tended)
    paint(material, k.WALL, built_kind & (town.border < 0.6) & (style > 0.3))
    paint(material, k.SAND, water < 7 + 6 * grain)

    small, large = (_crowns(frame, cell, key=key) for cell, key in ((_SMALL, 121), (_LARGE, 131)))
    specks = _crowns(frame, _SPECK, key=141)
    share = look_up(of_kind["trees"], district) * (1 + np.float32(0.9) * green)
    free = (main_road > 1) & (town.street > -0.5) & (town.inside < -1) & (water > 3) & ~town.pool
    height = np.zeros(district.shape, dtype=np.float32)
    for crowns, what, tall in ((small, k.PALM, 4.0), (large, k.TREE, 7.0)):
        tree = free & (crowns.drawn < share) & (crowns.square + grain * np.float32(0.35) < 1)
        paint(material, what, tree)
        height = np.maximum(height, np.float32(tall) * (1 - np.float32(0.6) * crowns.square) * tree)

    paint(material, k.POOL, town.pool)
    natural = look_up(kind >= 4, district)
    street = town.street < grain * np.float32(0.8) * natural
    paint(material, k.STREET, street)
    paint(material, k.TRACK, (street) & (natural))
    roof = (k.ROOF_0 + byte(town.lot, 1) * k.ROOFS).astype(np.uint8)
    house = (town.inside > 0) & (town.street > 1) & (main_road > 1) & (water > 2)
    paint(material, roof, house)
    height += (town.height - height) * house
    wet = water < 0
    depth = np.clip((water + 4 * grain) * np.float32(-1 / 5), 0, k.WATER_STEPS - 1).astype(np.uint8)
    paint(material, k.WATER_0 + depth, wet)
    on_main = main_road < 0
    paint(material, k.ARTERIAL, on_main)
    paint(material, k.LINE, on_main & (middle < 1.1) & (main_road < -6))
    height *= ~(wet | on_main)
    return material, height, (small, large), specks


def _crowns(frame: Frame, cell: int, *, key: int) -> _Crowns:
    """One disc in every lattice cell, never reaching out of it: separable but for the look-ups."""
    numbers, offsets = [], []
    for anchor, places in zip(frame.anchor, (frame.y, frame.x), strict=True):
        base, rest = divmod(anchor, cell)
        number = np.floor((rest + places) / np.float32(cell))
        numbers.append(number.astype(np.int64) + base)
        offsets.append(rest + places - number * cell)
    rows, cols = (np.arange(n[0], n[-1] + 1, dtype=np.int64) for n in numbers)
    words = lattice_hash(rows[:, None], cols[None, :], seed=frame.seed, key=key)
    row, col = numbers[0] - rows[0], numbers[1] - cols[0]

    def spread(table: Floats) -> Floats:
        spread_out: Floats = table[:, col][row]
        return spread_out

    size = np.float32(cell)
    radius: Floats = size * (np.float32(0.26) + np.float32(0.2) * unit(words, 40))
    free: Floats = size - np.float32(2) * radius
    dy = offsets[0][:, None] - spread(radius + free * unit(words, 0))
    dx = offsets[1][None, :] - spread(radius + free * unit(words, 20))
    square = (dy * dy + dx * dx) * spread(np.float32(1) / (radius * radius))
    drawn = spread(unit(lattice_hash(rows[:, None], cols[None, :], seed=frame.seed, key=key + 1)))
    return _Crowns(square=square, dy=dy, dx=dx, drawn=drawn)


def _texture(
    bright: Floats, material: npt.NDArray[np.uint8], *, town: Town, crowns: tuple[_Crowns, _Crowns], specks: _Crowns,
    district: Index, sun: tuple[float, float],
) -> None:  # fmt: skip
    """Brighten and darken in place: pitched roofs, parapets, plough lines, crowns, cars."""
    south, east = np.float32(sun[0]), np.float32(sun[1])
    roof = material >= k.ROOF_0
    style = byte(town.lot, 3)
    along = town.cos * east + town.sin * south  # the sun's direction along u and v
    across = town.cos * south - town.sin * east
    pitch = (town.slope_u * look_up(along, district) + town.slope_v * look_up(across, district)) * np.float32(0.17)
    pitch *= (style < 0.5) & roof
    bright += pitch
    flat = roof & (style >= 0.5)
    bright += np.float32(0.14) * (flat & (town.inside < 1.3))
    unit_on_roof = flat & (specks.square < 0.6) & (specks.drawn < 0.45) & (town.inside > 2)
    bright += unit_on_roof * (specks.drawn - np.float32(0.25))
    for crown, what in zip(crowns, (k.PALM, k.TREE), strict=True):
        bright += (crown.dy * south + crown.dx * east) * np.float32(0.07) * (material == what)
    bright += look_up(k.ROWS, material) * saw(town.v, 5.0)
    bright += saw(town.u, 4.0) * np.float32(0.05) * (roof & (style > 0.8))
    car = ((material == k.ARTERIAL) | (material == k.STREET)) & (specks.square < 0.7) & (specks.drawn < 0.07)
    bright += car * (np.float32(0.8) - np.float32(1.2) * (specks.drawn < 0.03))
