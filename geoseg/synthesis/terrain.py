"""What varies over tens of metres: districts, the main roads between them, water. Worked out on a 4 m grid.

Districts are the cells of a jittered, warped Voronoi diagram (Worley, 1996); main roads run along their edges, which
also hides that a cell's outline is known to 4 m only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.synthesis.kinds import KINDS
from geoseg.synthesis.noise import Floats, Frame, Hashes, fractal_noise, lattice_hash, smooth_noise, unit

STEP = 4
"""Metres between the points of the coarse grid."""
REACH = 72
"""Metres that the coarse grid reaches past the pixels: half the largest lot and some."""
SITE = 470
"""Metres between districts."""

_K_WARP, _K_SITE, _K_RIVER, _K_LAKE, _K_WIDTH, _K_VACANT, _K_SWEEP, _K_GREEN = range(11, 91, 10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Districts:
    """The districts that a frame may touch; n of them."""

    place: Floats
    """(n, 2) y and x of their sites, metres from the frame's anchor."""
    words: Hashes
    """(n,) hashes that everything else about a district is drawn from."""
    region: Hashes
    """(n,) hashes shared by neighbouring districts: the look of a region."""
    kind: npt.NDArray[np.intp]
    """(n,) indices into ``KINDS``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terrain:
    """Coarse fields (h, w) on ``frame``, ``STEP`` metres apart."""

    frame: Frame
    districts: Districts
    district: npt.NDArray[np.uint8]
    """Index of the district a point belongs to."""
    middle: Floats
    """Metres to the middle of the nearest main road."""
    main_road: Floats
    """Metres to the edge of the nearest main road, negative on it."""
    water: Floats
    """Metres to the shore, negative in the water."""
    room: Floats
    """Metres around a point that may be built on; negative where nothing may."""
    sweep: Floats
    """Slow changes over 100 m and more, about +-0.5."""
    green: Floats
    """How well plants do, about +-0.6."""
    warp: tuple[Floats, Floats]
    """Displacement (y, x) in metres under which districts are plain Voronoi cells."""


def terrain_around(fine: Frame) -> Terrain:
    """The terrain under a frame and ``REACH`` metres around it."""
    frame = _coarse(fine)
    warp = _warp(frame)
    districts = _sites(frame)
    y = frame.y[:, None] + warp[0]
    x = frame.x[None, :] + warp[1]
    district, middle, main_road = _voronoi(districts, y=y, x=x)
    water = _water(frame)
    vacant = smooth_noise(frame, 170, key=_K_VACANT) > 0.62
    room = np.minimum(water - 4, main_road)
    room[vacant] = -99
    sweep = fractal_noise(frame, 210, key=_K_SWEEP, octaves=3, falloff=0.6)
    green = sweep * np.float32(0.55) + smooth_noise(frame, 65, key=_K_GREEN) * np.float32(0.7)
    return Terrain(
        frame=frame, districts=districts, district=district, middle=middle, main_road=main_road, water=water,
        room=room, sweep=sweep, green=green, warp=warp,
    )  # fmt: skip


def _coarse(fine: Frame) -> Frame:
    """Grid points at whole multiples of ``STEP`` from the world's origin, so that every frame sees the same ones."""
    axes = []
    for anchor, offsets in zip(fine.anchor, (fine.y, fine.x), strict=True):
        first = (anchor + int(np.floor(offsets[0])) - REACH) // STEP * STEP - anchor
        count = (int(np.ceil(offsets[-1])) + REACH - first) // STEP + 2
        axes.append((first + STEP * np.arange(count)).astype(np.float32))
    return Frame(seed=fine.seed, anchor=fine.anchor, y=axes[0], x=axes[1])


def _warp(frame: Frame) -> tuple[Floats, Floats]:
    return tuple(  # type: ignore[return-value]
        smooth_noise(frame, 310, key=_K_WARP + i) * np.float32(56)
        + smooth_noise(frame, 95, key=_K_WARP + 5 + i) * np.float32(9)
        for i in (0, 1)
    )


def _sites(frame: Frame) -> Districts:
    """The sites of all districts that can be nearest or second nearest somewhere in the frame."""
    cells = []
    for anchor, offsets in zip(frame.anchor, (frame.y, frame.x), strict=True):
        first = (anchor + int(offsets[0]) - 120) // SITE - 2
        last = (anchor + int(offsets[-1]) + 120) // SITE + 2
        cells.append(np.arange(first, last + 1, dtype=np.int64))
    rows, cols = (a.ravel() for a in np.meshgrid(*cells, indexing="ij"))
    words = lattice_hash(rows, cols, seed=frame.seed, key=_K_SITE)
    jitter = lattice_hash(rows, cols, seed=frame.seed, key=_K_SITE + 1)
    y = (rows * SITE - frame.anchor[0]) + (0.12 + 0.76 * unit(jitter, 0)) * SITE
    x = (cols * SITE - frame.anchor[1]) + (0.12 + 0.76 * unit(jitter, 24)) * SITE
    region = lattice_hash(rows // 3, cols // 3, seed=frame.seed, key=_K_SITE + 2)
    kind = np.searchsorted(np.cumsum([k.weight for k in KINDS])[:-1], unit(words, 0), side="right")
    keep = _reachable(y, x, frame)
    place = np.stack([y, x], axis=1)[keep].astype(np.float32)
    return Districts(place=place, words=words[keep], region=region[keep], kind=kind[keep].astype(np.intp))


def _reachable(y: npt.NDArray[np.float64], x: npt.NDArray[np.float64], frame: Frame) -> npt.NDArray[np.intp]:
    """Sites no farther from the frame at best than the third nearest is at worst."""
    spans = [(float(o[0]) - 120, float(o[-1]) + 120) for o in (frame.y, frame.x)]
    near, far = np.zeros(len(y)), np.zeros(len(y))
    for place, (low, high) in zip((y, x), spans, strict=True):
        near += np.maximum(0, np.maximum(low - place, place - high)) ** 2
        far += np.maximum(np.abs(place - low), np.abs(place - high)) ** 2
    limit = np.sort(far)[min(2, len(far) - 1)]
    return np.flatnonzero(near <= limit)


def _voronoi(districts: Districts, *, y: Floats, x: Floats) -> tuple[npt.NDArray[np.uint8], Floats, Floats]:
    """(district, metres to the nearest cell edge, metres to the edge of the main road along it)."""
    place, count = districts.place, len(districts.place)
    squares = [(y - py) ** 2 + (x - px) ** 2 for py, px in place]
    best = np.minimum.reduce(squares)
    nearest = np.zeros(best.shape, dtype=np.intp)
    for number, square in enumerate(squares):
        np.maximum(nearest, number * (square == best), out=nearest)
    apart = np.hypot(*(place[:, None, :] - place[None, :, :]).transpose(2, 0, 1)) + np.eye(count, dtype=np.float32)
    nearness = (0.5 / apart).astype(np.float32)
    half = _half_widths(districts)
    middle, main_road = np.full_like(best, 1e6), np.full_like(best, 1e6)
    for other in range(count):
        edge = (squares[other] - best) * np.take(nearness[other], nearest)
        edge += np.float32(1e6) * (nearest == other)
        np.minimum(middle, edge, out=middle)
        np.minimum(main_road, edge - np.take(half[other], nearest), out=main_road)
    return nearest.astype(np.uint8), middle, main_road


def _half_widths(districts: Districts) -> Floats:
    """(n, n) half the width of the main road between two districts, metres; symmetric."""
    drawn = unit(districts.words[:, None] ^ districts.words[None, :], 16)
    natural = np.array([k.natural for k in KINDS])[districts.kind]
    small = natural[:, None] & natural[None, :]
    width: Floats = np.where(small, 4.0 + 1.0 * drawn, 5.5 + 7.0 * drawn**3).astype(np.float32)
    return width


def _water(frame: Frame) -> Floats:
    """Signed metres to the shore: rivers run where one noise is 0, lakes lie where another is high."""
    river = fractal_noise(frame, 980, key=_K_RIVER, octaves=4, falloff=0.42)
    width = 15 + 26 * smooth_noise(frame, 640, key=_K_WIDTH)
    lake = fractal_noise(frame, 620, key=_K_LAKE, octaves=4, falloff=0.45)
    to_river = np.abs(river) / _slope(river) - np.maximum(width, -6)
    to_lake = (np.float32(0.79) - lake) / _slope(lake)
    water: Floats = np.clip(np.minimum(to_river, to_lake), -200, 200).astype(np.float32)
    return water


def _slope(field: Floats) -> Floats:
    """Length of a field's gradient per metre, never 0."""
    down, along = np.gradient(field, np.float32(STEP))
    slope: Floats = np.sqrt(down * down + along * along + np.float32(4e-7)).astype(np.float32)
    return slope
