"""Colours, shadows and the camera: from a surface to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from geoseg.synthesis import kinds as k
from geoseg.synthesis.cover import Cover
from geoseg.synthesis.noise import Floats, Frame, byte, key_word, lattice_hash, pixel_words, smooth_noise, unit
from geoseg.synthesis.sampling import look_up, shifted
from geoseg.synthesis.terrain import Districts

REACH = 31
"""Pixels that a shadow can be long."""
_STEPS = (1, 2, 4, 8, 16)

_GROUND = ((206, 200, 190), (222, 214, 200), (196, 174, 140), (176, 146, 116), (168, 162, 152), (150, 138, 112))
_ASPHALT = ((72, 70, 74), (92, 88, 86), (112, 108, 106), (134, 126, 120), (62, 62, 70), (100, 92, 84))
_ROOF = (
    (238, 236, 230), (226, 216, 196), (198, 192, 184), (164, 160, 156), (120, 116, 114), (84, 80, 80), (176, 104, 78),
    (148, 88, 70), (206, 178, 140), (184, 160, 130), (112, 136, 164), (120, 150, 146), (214, 206, 190), (150, 142, 130),
    (100, 94, 92), (190, 140, 110),
)  # fmt: skip
_GRASS = ((104, 116, 78), (124, 126, 92), (82, 100, 68), (134, 128, 98))
_CROWN = ((48, 68, 44), (62, 80, 50), (78, 88, 60), (40, 58, 48))
_DEEP = ((24, 32, 42), (30, 62, 50), (44, 78, 98), (40, 56, 84), (26, 44, 46))
_SHALLOW = ((70, 84, 84), (88, 112, 88), (104, 158, 158), (104, 128, 136), (92, 100, 86))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What is the same for a whole world: sun and camera, drawn from the seed."""

    sun: tuple[float, float]
    """Unit vector (south, east) towards the sun."""
    rise: float
    """Metres that a ray to the sun climbs per metre."""
    gain: tuple[float, float, float]
    """Red, green, blue."""
    haze: float
    """Added grey, 0..255."""
    contrast: float

    @classmethod
    def of(cls, seed: int) -> Weather:
        """The weather of a seed: northern summer to winter, hazy to clear."""
        draw = [float(unit(key_word(seed, 900 + i))[0]) for i in range(7)]
        azimuth = (draw[0] - 0.5) * 2.2
        return cls(
            sun=(float(np.cos(azimuth)), float(np.sin(azimuth))),
            rise=0.75 + 0.9 * draw[1],
            gain=(1.0 + 0.08 * (draw[2] - 0.5), 1.0, 1.0 + 0.12 * (draw[3] - 0.5)),
            haze=22 * draw[4],
            contrast=0.92 + 0.28 * draw[5],
        )


def palette(districts: Districts, *, seed: int) -> Floats:
    """(3, n * MATERIALS) the colours of every district's materials, 0..255."""
    out = np.stack(
        [_district_colors(int(w), int(r), seed) for w, r in zip(districts.words, districts.region, strict=True)]
    )
    return np.ascontiguousarray(out.reshape(-1, 3).T)


@lru_cache(maxsize=4096)
def _district_colors(word: int, region: int, seed: int) -> Floats:
    """(MATERIALS, 3) colours drawn from a district's hash, and from its region's for what neighbours share."""
    numbers = np.arange(k.MATERIALS + 16, dtype=np.int64)
    own = unit(lattice_hash(numbers, np.zeros(1, dtype=np.int64), seed=word, key=301))
    shared = unit(lattice_hash(numbers, np.zeros(1, dtype=np.int64), seed=region, key=303))
    everywhere = unit(key_word(seed, 305))[0]

    def pick(colors: tuple[tuple[int, int, int], ...], draw: np.float32) -> Floats:
        place = float(draw) * (len(colors) - 1)
        low = int(place)
        return np.asarray(
            np.asarray(colors[low]) * (1 - place + low) + np.asarray(colors[low + 1]) * (place - low), dtype=np.float32
        )

    ground = pick(_GROUND, shared[0]) * (0.92 + 0.16 * own[0])
    asphalt = pick(_ASPHALT, np.float32(0.5) * (shared[1] + own[1]))
    grass, crown = pick(_GRASS, shared[2]), pick(_CROWN, shared[3])
    colors = np.zeros((k.MATERIALS, 3), dtype=np.float32)
    colors[k.SOIL] = ground
    colors[k.PAVED] = 0.5 * ground + 0.5 * np.float32(150 + 60 * own[2])
    colors[k.SAND] = 0.4 * ground + 0.6 * np.array((226, 214, 188))
    colors[k.FALLOW] = ground * np.array((0.8, 0.74, 0.68))
    colors[k.YARD] = ground * (0.7 + 0.25 * own[3])
    colors[k.WALL] = ground * (1.12 if own[4] < 0.6 else 0.6)
    colors[k.STREET] = asphalt + 0.22 * own[5] * (ground - asphalt)
    colors[k.ARTERIAL] = pick(_ASPHALT, shared[4]) * 0.96
    colors[k.TRACK] = ground * (0.74 + 0.36 * (own[6] > 0.75)) * np.array((1, 0.97, 0.95))
    colors[k.LINE] = colors[k.ARTERIAL] + 55
    colors[k.GRASS] = grass * (0.9 + 0.25 * own[7])
    colors[k.CROP_A] = pick(_GRASS, own[8]) * 0.92
    colors[k.CROP_B] = pick(_GRASS, own[9]) * np.array((1.12, 1.02, 0.86))
    colors[k.SHRUB] = 0.55 * crown + 0.45 * grass
    colors[k.TREE] = crown
    colors[k.PALM] = 0.75 * crown + 0.25 * ground * 0.7
    water = 0.75 * everywhere + 0.25 * shared[5]
    deep, shallow = pick(_DEEP, water), pick(_SHALLOW, water)
    share = np.exp(-np.arange(k.WATER_STEPS) / 1.6)[:, None]
    colors[k.WATER_0 : k.POOL] = deep + share * (shallow - deep)
    colors[k.POOL] = (90, 170, 186)
    roofs = np.array([pick(_ROOF, (d * 0.999)) for d in own[-k.ROOFS :]])
    first = int(own[10] * k.ROOFS)  # a district has its favourites: half its roofs come from three neighbours
    roofs[::2] = np.asarray(_ROOF, dtype=np.float32)[(first + np.arange(k.ROOFS // 2) % 3) % k.ROOFS]
    roofs += 0.3 * (roofs.mean(axis=1, keepdims=True) - roofs)
    colors[k.ROOF_0 :] = roofs * (0.92 + 0.14 * own[12 : 12 + k.ROOFS, None])
    return np.clip(colors, 4, 250)


def shadows(height: Floats, *, weather: Weather, gsd: float) -> Floats:
    """0 in the light to 1 in the shade, from heights in metres that reach ``REACH`` pixels farther to the sun.

    A surface is dark where another one towards the sun rises over its ray. The rays' maxima are taken by doubling:
    1, 2, 4 ... steps, so that 31 pixels cost five comparisons.
    """
    top = height.copy()
    shape = height.shape
    for step in _STEPS:
        down, along = round(weather.sun[0] * step), round(weather.sun[1] * step)
        rows, cols = shifted(down, shape[0]), shifted(along, shape[1])
        fall = np.float32(weather.rise * gsd * step)
        here = top[rows[0], cols[0]]
        raised = top.copy()
        np.maximum(here, top[rows[1], cols[1]] - fall, out=raised[rows[0], cols[0]])
        top = raised
    top -= height
    top -= np.float32(0.4)
    np.clip(top, 0, 1, out=top)
    return top


_SHADE = (0.64, 0.6, 0.53)
_WARM = (0.05, 0.0, -0.055)


def expose(
    cover: Cover, frame: Frame, *, pixels: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], weather: Weather,
    gsd: float,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """The surface as a camera sees it: (3, H, W); one pixel at each rim is blurred against itself."""
    index = cover.district.astype(np.intp) * k.MATERIALS + cover.material
    colors = palette(cover.terrain.districts, seed=frame.seed)
    shade = shadows(cover.height, weather=weather, gsd=gsd)
    light = 1 + np.float32(0.09) * smooth_noise(frame, 900, key=201)
    light *= cover.bright
    noise = pixel_words(*pixels, seed=frame.seed, key=211)
    out = np.empty((3, *frame.shape), dtype=np.uint8)
    middle = np.float32(128)
    for band in range(3):
        value = look_up(colors[band], index)
        value *= light
        value *= 1 + np.float32(_WARM[band]) * cover.tint
        value *= 1 - np.float32(_SHADE[band]) * shade
        value = _blurred(value)
        value -= middle
        value *= np.float32(weather.contrast * weather.gain[band])
        value += byte(noise, band) * np.float32(9)
        value += middle + np.float32(weather.haze - 4)
        out[band] = np.clip(value, 0, 255, out=value).astype(np.uint8)
    return out


def _blurred(field: Floats) -> Floats:
    """A 1-2-1 filter in both directions: the optics; rims stay as they are."""
    half, quarter = np.float32(0.5), np.float32(0.25)
    down = field * half
    down[1:-1] += (field[:-2] + field[2:]) * quarter
    out = down * half
    out[:, 1:-1] += (down[:, :-2] + down[:, 2:]) * quarter
    return out
