"""Streets, blocks, lots and buildings, evaluated at every pixel on its own.

Each district carries a jittered grid of streets, turned by its own angle and bent by the warp. A pixel finds the block
and the lot it lies in by division, draws that lot's numbers from a hash, and asks whether it lies in its building.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.synthesis.kinds import KINDS
from geoseg.synthesis.noise import Floats, Ints, Words, byte, lattice_hash, mix32, unit
from geoseg.synthesis.sampling import Flags, Index, Sampler, look_up
from geoseg.synthesis.terrain import Districts, Terrain

_LINES = 64  # streets of a district per direction, before their jitter repeats
_KIND = {
    name: np.array([getattr(k, name) for k in KINDS], dtype=np.float32)
    for name in ("street", "margin", "built", "largest", "bend")
}
_BLOCK = np.array([k.block for k in KINDS], dtype=np.float32)
_LOT = np.array([k.lot for k in KINDS], dtype=np.float32)
_HEIGHTS = np.array([k.heights for k in KINDS], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Town:
    """What the built environment is at every pixel; arrays (H, W)."""

    street: Floats
    """Metres to the edge of the nearest street, negative on it."""
    u: Floats
    """Metres along the district's axis."""
    v: Floats
    """Metres across it."""
    border: Floats
    """Metres to the border of the lot."""
    lot: Words
    """First hash of the lot: bytes 0-3 = built, roof, lawn or crops, style."""
    inside: Floats
    """Metres to the wall of the lot's building, positive inside; negative where there is no building."""
    height: Floats
    """Metres of the building's roof over the ground, if there is one."""
    slope_u: Floats
    """-1, 0 or 1: which way a pitched roof falls along u."""
    slope_v: Floats
    """The same along v."""
    pool: Flags
    """True in a swimming pool."""
    cos: Floats
    """(n,) cosine of each district's axis against east."""
    sin: Floats
    """(n,) its sine."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Axis:
    """One direction of a street grid at every pixel."""

    number: Ints
    """Which block."""
    start: Floats
    """Metres past the near street's edge."""
    length: Floats
    """Metres between the two streets' edges."""


def build(
    terrain: Terrain, sampler: Sampler, *, district: Index, places: tuple[Floats, Floats], warp: tuple[Floats, Floats]
) -> Town:
    """The town at ``places`` (y, x), already displaced by ``warp`` (metres from the anchor), each in a ``district``."""
    y, x = places
    districts = terrain.districts
    kind = districts.kind
    angle = unit(districts.words, 8) * np.float32(np.pi / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    place = districts.place
    c: Floats = look_up(cos, district)
    s: Floats = look_up(sin, district)
    bend = look_up(_KIND["bend"][kind], district)
    u = c * x + s * y - look_up(cos * place[:, 1] + sin * place[:, 0], district) + bend * warp[1]
    v = c * y - s * x - look_up(cos * place[:, 0] - sin * place[:, 1], district) + bend * warp[0]
    along = _streets(u, districts, district=district, axis=0)
    across = _streets(v, districts, district=district, axis=1)
    street = np.minimum(
        np.minimum(along.start, along.length - along.start), np.minimum(across.start, across.length - across.start)
    )
    i, px, half_x = _lots(along, look_up(_LOT[kind, 0], district))
    j, py, half_y = _lots(across, look_up(_LOT[kind, 1], district))
    first, second = _lot_words(districts, district, along=along, across=across, i=i, j=j)
    border = np.minimum(half_x - np.abs(px), half_y - np.abs(py))
    middle = y - warp[0] - s * px - c * py, x - warp[1] - c * px + s * py  # the warp hardly changes within a lot
    room = _room_at_lot(terrain, sampler.indices(*middle), district=district)
    inside, ex, ey, signs, tall = _buildings(
        kind, district, first=first, second=second, px=px, py=py, half=(half_x, half_y), room=room
    )
    pool = _pools(kind, district, first=first, second=second, px=px, py=py, half=(half_x, half_y))
    pool &= (inside < -1.5) & (room > 0)
    along_x = ex < ey
    return Town(
        street=street, u=u, v=v, border=border, lot=first, inside=inside, height=tall,
        slope_u=signs[0] * along_x, slope_v=signs[1] * ~along_x, pool=pool, cos=cos, sin=sin,
    )  # fmt: skip


def _streets(place: Floats, districts: Districts, *, district: Index, axis: int) -> _Axis:
    """Which two streets a place lies between."""
    block = _BLOCK[districts.kind, axis] * (0.85 + 0.3 * unit(districts.words, 20 + axis)).astype(np.float32)
    drawn = lattice_hash(
        districts.words.view(np.int64)[:, None], np.arange(_LINES)[None, :], seed=axis, key=77
    )  # a district's word is hashed once more with the number of the street
    offset = unit(drawn, 0) * np.float32(0.3)
    wide = (unit(drawn, 24) < 0.22).astype(np.float32) * np.float32(0.6) + 1
    half = _KIND["street"][districts.kind][:, None] * wide
    metres = place * look_up(np.float32(1) / block, district)
    whole = np.floor(metres)
    metres -= whole
    number = whole.astype(np.intp)
    base = district * _LINES
    before = metres < look_up(offset.ravel(), base + (number & (_LINES - 1)))
    number -= before
    metres += before
    metres *= look_up(block, district)
    low = look_up((offset * block[:, None] + half).ravel(), base + (number & (_LINES - 1)))
    metres -= low
    length = look_up(((offset + 1) * block[:, None] - half).ravel(), base + ((number + 1) & (_LINES - 1)))
    length -= low
    return _Axis(number=number.astype(np.int32), start=metres, length=length)


def _lots(axis: _Axis, wanted: Floats) -> tuple[Floats, Floats, Floats]:
    """(number of the lot, metres from its middle, half its length) along one direction."""
    count = np.maximum(np.rint(axis.length / wanted), np.float32(1))
    length = axis.length / count
    number = np.floor(axis.start / length)
    half = length * np.float32(0.5)
    return number, axis.start - number * length - half, half


def _lot_words(
    districts: Districts, district: Index, *, along: _Axis, across: _Axis, i: Floats, j: Floats
) -> tuple[Words, Words]:
    """Two 32-bit hashes of the lot."""
    own = (districts.words >> np.uint64(11)).astype(np.uint32)
    word = look_up(own, district)
    for part, factor in (
        (along.number, 0x9E3779B1),
        (across.number, 0x85EBCA77),
        (i.astype(np.int32), 0xC2B2AE3D),
        (j.astype(np.int32), 0x27D4EB2F),
    ):
        word += part.view(np.uint32) * np.uint32(factor)
    first = mix32(word)
    return first, mix32(first + np.uint32(0x68E31DA4))


def _room_at_lot(terrain: Terrain, index: Index, *, district: Index) -> Floats:
    """``terrain.room`` at the middle of each pixel's lot; hugely negative where that lies in another district."""
    room = look_up(terrain.room.ravel(), index)
    room -= np.float32(1e3) * (look_up(terrain.district.ravel(), index) != district)
    return room


def _buildings(
    kind: npt.NDArray[np.intp], district: Index, *, first: Words, second: Words, px: Floats, py: Floats,
    half: tuple[Floats, Floats], room: Floats,
) -> tuple[Floats, Floats, Floats, tuple[Floats, Floats], Floats]:  # fmt: skip
    """(metres inside, distances to the walls along x and y, sides of the ridge, height) of the lot's building."""
    margin, largest = (look_up(_KIND[name][kind], district) for name in ("margin", "largest"))
    size = byte(second, 0)
    free_x, free_y = half[0] - margin, half[1] - margin
    hx = np.minimum(free_x * (1 - np.float32(0.4) * size * size), largest)
    hy = np.minimum(free_y * (1 - np.float32(0.2) * size), largest)
    shift = (byte(second, 1) - np.float32(0.5)) * np.float32(1.4)
    qx = px - shift * (free_x - hx)
    qy = py + shift * (free_y - hy)
    ex, ey = hx - np.abs(qx), hy - np.abs(qy)
    notch = byte(second, 2)  # up to 0.55 a corner is missing: an L
    corner = notch * np.float32(1.4) + np.float32(0.05) + np.float32(9) * (notch > 0.55)
    cut = np.maximum(corner * hx - qx * _sign(second, 24), (np.float32(0.1) + corner) * hy - qy * _sign(second, 25))
    inside = np.minimum(np.minimum(ex, ey), cut)
    standing = byte(first, 0) < look_up(_KIND["built"][kind], district)
    standing &= room > np.float32(0.8) * np.maximum(hx, hy)
    standing &= np.minimum(hx, hy) > 2.5
    inside -= np.float32(1e3) * ~standing
    low, high = _HEIGHTS[kind].T
    draw = byte(second, 3)
    tall = look_up(low, district) + look_up(high - low, district) * (draw * draw)
    return inside, ex, ey, (np.copysign(np.float32(1), qx), np.copysign(np.float32(1), qy)), tall


def _sign(words: Words, bit: int) -> Floats:
    """-1 or 1, from one bit of 32-bit words."""
    return ((words >> np.uint32(bit)) & np.uint32(1)).astype(np.float32) * 2 - 1


_POOLS = np.array([k.pools for k in KINDS], dtype=np.float32)


def _pools(
    kind: npt.NDArray[np.intp], district: Index, *, first: Words, second: Words, px: Floats, py: Floats,
    half: tuple[Floats, Floats],
) -> Flags:  # fmt: skip
    """True in the pools: 5 x 9 m, in one corner of their lot."""
    present = byte(first, 3) < look_up(_POOLS[kind], district)
    side_x, side_y = px * _sign(second, 2), py * _sign(second, 3)
    pool: Flags = (
        present
        & (np.abs(side_x - half[0] + np.float32(4.2)) < 2.6)
        & (np.abs(side_y - half[1] + np.float32(6.5)) < 4.6)
    )
    return pool
