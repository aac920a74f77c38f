"""Laws of how a lattice is cut into tiles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.tiles import make_wide_tiles

SIDES = st.integers(1, 60_000)


@given(SIDES, SIDES, st.integers(1, 12), st.integers(200, 3000))
def test_wide_tiles_are_as_wide_as_their_pixels_allow(height: int, width: int, size: int, tile: int) -> None:
    lattice = make_lattice((height, width), context=64 * size, halo=16, multiple=16)
    grid = make_wide_tiles(lattice, stitch="crop", tile=tile)
    rows, cols = lattice.rows, lattice.cols
    most = 1.5 * tile * tile
    assert 1 <= grid.cells[0] <= rows.count
    assert 1 <= grid.cells[1] <= cols.count
    if grid.shape[1] == 1:
        assert rows.stride * width <= most or cols.count == 1
        assert grid.cells[0] * rows.stride * width <= most or grid.cells[0] == 1
    else:  # one row of cells, and fewer parts would be too many pixels
        assert grid.cells[0] == 1
        assert rows.stride * width > most
    assert grid.shape[1] <= -(-rows.stride * width // most)
