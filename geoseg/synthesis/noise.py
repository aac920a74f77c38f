"""Randomness that belongs to places: hashes of integer positions, and smooth noise over lattices of them.

Nothing here has a state. A value follows from the seed, a key (which noise it is) and integer coordinates, all in
64-bit arithmetic, so that it is the same in whatever order, window or process it is asked for, at any distance from
the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Words = npt.NDArray[np.uint32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROW, _COL = np.uint64(0xD1342543DE82EF95), np.uint64(0xA24BAED4963EE407)
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_SPLINE_GAIN = np.float32(1.0 / np.sqrt(1 / 3) / 0.55 / 2)  # brings the standard deviation of the spline to about 1/2


def mix(values: Hashes) -> Hashes:
    """Scramble 64-bit words: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    z = (values ^ (values >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


def key_word(seed: int, key: int) -> Hashes:
    """One 64-bit word for a seed and a key, as an array without axes, which wraps around without a warning."""
    seeds = np.array([seed % 2**64], dtype=np.uint64)
    return mix(mix(seeds + _GOLDEN) ^ np.uint64(key))


def lattice_hash(rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], *, seed: int, key: int) -> Hashes:
    """Hashes of integer positions; ``rows`` and ``cols`` broadcast against each other."""
    return mix(mix(rows.astype(np.uint64) * _ROW + key_word(seed, key)) ^ (cols.astype(np.uint64) * _COL))


def unit(words: Hashes, shift: int = 40) -> Floats:
    """Bits ``shift`` … ``shift + 23`` of 64-bit words as float32 in [0, 1)."""
    bits = (words >> np.uint64(shift)) & np.uint64(0xFFFFFF)
    return bits.astype(np.float32) * np.float32(2.0**-24)


def mix32(values: Words) -> Words:
    """Scramble 32-bit words (Ellis, "lowbias32", 2018); in place, for it runs on every pixel."""
    values ^= values >> np.uint32(16)
    values *= np.uint32(0x7FEB352D)
    values ^= values >> np.uint32(15)
    values *= np.uint32(0x846CA68B)
    values ^= values >> np.uint32(16)
    return values


def byte(words: Words, index: int) -> Floats:
    """Byte ``index`` (0..3) of 32-bit words as float32 in [0, 1)."""
    bits = (words >> np.uint32(8 * index)) & np.uint32(255)
    return bits.astype(np.float32) * np.float32(1 / 256)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A regular grid of sample points: integer anchor plus small offsets, so that float32 stays exact far out.

    Positions are metres south (y) and east (x) of the world's origin.
    """

    seed: int
    anchor: tuple[int, int]
    """(y, x) of the frame's origin, whole metres."""
    y: Floats
    """(H,) offsets of the rows from the anchor, metres, ascending."""
    x: Floats
    """(W,) offsets of the columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.y), len(self.x)


def _taps(anchor: int, offsets: Floats, cell: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp], list[Floats]]:
    """Lattice nodes along one axis, the first node of each sample, and its three quadratic B-spline weights."""
    base, rest = divmod(anchor, cell)
    place = (np.float32(rest) + offsets) / np.float32(cell)
    nearest = np.floor(place + np.float32(0.5))
    d = place - nearest
    first = nearest.astype(np.int64) - 1
    nodes = np.arange(int(first[0]), int(first[-1]) + 3, dtype=np.int64) + base
    half = np.float32(0.5)
    weights = [half * (half - d) ** 2, np.float32(0.75) - d * d, half * (half + d) ** 2]
    return nodes, (first - first[0]).astype(np.intp), weights


def smooth_noise(frame: Frame, cell: int, *, key: int) -> Floats:
    """Noise (H, W) with features of about ``cell`` metres: mean 0, standard deviation about 1/2, within +-2.

    Uniform random values on a square lattice, interpolated by quadratic B-splines: once differentiable, and separable,
    so that a pixel costs three multiplications.
    """
    rows, first_row, weight_row = _taps(frame.anchor[0], frame.y, cell)
    cols, first_col, weight_col = _taps(frame.anchor[1], frame.x, cell)
    values = unit(lattice_hash(rows[:, None], cols[None, :], seed=frame.seed, key=key)) * 2 - 1
    values *= _SPLINE_GAIN
    across = sum(values[:, first_col + i] * weight_col[i] for i in range(3))
    across = np.asarray(across, dtype=np.float32)
    out = across[first_row] * weight_row[0][:, None]
    for i in (1, 2):
        part = across[first_row + i]
        part *= weight_row[i][:, None]
        out += part
    return out


def fractal_noise(frame: Frame, cell: int, *, key: int, octaves: int, falloff: float = 0.5) -> Floats:
    """A sum of ``octaves`` smooth noises, each of 2.3 times smaller features and ``falloff`` times the height."""
    out = smooth_noise(frame, cell, key=key)
    height = 1.0
    for octave in range(1, octaves):
        height *= falloff
        part = smooth_noise(frame, max(2, round(cell / 2.3**octave)), key=key + 1000 * octave)
        part *= np.float32(height)
        out += part
    return out


def pixel_words(rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], *, seed: int, key: int) -> Words:
    """A 32-bit hash for every pixel of ``rows`` x ``cols``: (H, W)."""
    zero = np.zeros(1, dtype=np.int64)
    down = (lattice_hash(rows, zero, seed=seed, key=key) >> np.uint64(32)).astype(np.uint32)
    along = (lattice_hash(zero, cols, seed=seed, key=key + 1) >> np.uint64(32)).astype(np.uint32)
    return mix32(down[:, None] + along[None, :])
