"""Laws of the lattice and its weights, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.choices import STITCHES
from geoseg.errors import PlanError
from geoseg.geometry.fitting import fit_patch, make_lattice
from geoseg.geometry.lattice import Axis, round_up
from geoseg.geometry.tiles import TileGrid, chunk_side, make_tiles
from geoseg.geometry.windows import Window


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    multiple = draw(st.sampled_from([1, 2, 8, 32]))
    halo = multiple * draw(st.integers(0, 3))
    patch = 2 * halo + multiple * draw(st.integers(1, 8))
    return Axis(length=draw(st.integers(1, 900)), patch=patch, halo=halo, multiple=multiple)


@given(axes())
def test_cells_cover_every_pixel_once(axis: Axis) -> None:
    owners = np.zeros(axis.length, int)
    for i in range(axis.count):
        start, stop = axis.cell(i)
        assert start < stop
        owners[start:stop] += 1
    assert (owners == 1).all()


@given(axes())
def test_cells_lie_a_halo_inside_every_patch_edge_that_is_not_the_scenes(axis: Axis) -> None:
    for i in range(axis.count):
        (start, stop), origin = axis.cell(i), axis.origin(i)
        assert origin % axis.multiple == 0
        assert axis.side % axis.multiple == 0
        assert origin >= 0
        assert origin + axis.side <= axis.padded < axis.length + axis.multiple
        assert start - origin >= (axis.halo if origin > 0 else 0)
        assert origin + axis.side - stop >= (axis.halo if origin + axis.side < axis.padded else 0)


@given(axes(), st.sampled_from(STITCHES))
def test_weights_are_a_partition_of_unity(axis: Axis, stitch: str) -> None:
    total = np.zeros(axis.length)
    for i in range(axis.count):
        start, stop = axis.span(i, stitch)
        weights = axis.weights(i, stitch)
        assert (weights > 0).all()
        total[start:stop] += weights
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


@given(axes(), st.sampled_from(STITCHES), st.data())
def test_reaching_is_every_patch_with_a_say_and_no_other(axis: Axis, stitch: str, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, axis.count - 1))
    last = data.draw(st.integers(first, axis.count - 1))
    start, stop = axis.cell(first)[0], axis.cell(last)[1]
    expected = [i for i in range(axis.count) if axis.span(i, stitch)[0] < stop and axis.span(i, stitch)[1] > start]
    assert list(axis.reaching(start, stop, stitch)) == expected


@given(st.integers(1, 20_000), st.integers(64, 2048), st.sampled_from([1, 8, 32]))
def test_a_fitted_patch_is_near_its_context_and_never_computes_more(length: int, context: int, multiple: int) -> None:
    halo = round_up(16, multiple) // 2 if multiple < 32 else 0
    halo = round_up(halo, multiple)
    try:
        patch = fit_patch(context, length=length, halo=halo, multiple=multiple)
    except PlanError:
        return
    assert patch % multiple == 0
    assert context * 7 / 8 <= patch <= context * 9 / 8
    fitted = Axis(length=length, patch=patch, halo=halo, multiple=multiple)
    if context % multiple == 0 and (context > 2 * halo or fitted.padded <= context):
        exact = Axis(length=length, patch=context, halo=halo, multiple=multiple)
        assert fitted.count * fitted.side <= exact.count * exact.side


def test_the_example_of_the_design() -> None:
    axis = make_lattice((4096, 4096), context=1024, halo=32, multiple=32).rows
    assert (axis.side, axis.count) == (1088, 4)
    assert round((axis.side * axis.count / 4096) ** 2, 2) == 1.13


def test_sizes_that_cannot_be_met_name_the_multiple_and_the_way_out() -> None:
    with pytest.raises(PlanError, match=r"multiples of 32; use 480 or 512"):
        make_lattice((4096, 4096), context=500, halo=32, multiple=32, exact=True)
    with pytest.raises(PlanError, match=r"multiples of 32; use 32 or 64"):
        make_lattice((4096, 4096), context=45, halo=0, multiple=32)
    with pytest.raises(PlanError, match=r"overlap of 128 px"):
        make_lattice((4096, 4096), context=96, halo=64, multiple=32)


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    multiple = draw(st.sampled_from([1, 8]))
    halo = multiple * draw(st.integers(0, 2))
    context = 2 * halo + multiple * draw(st.integers(2, 8))
    shape = (draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    lattice = make_lattice(shape, context=context, halo=halo, multiple=multiple, exact=True)
    return make_tiles(lattice, stitch=draw(st.sampled_from(STITCHES)), tile=draw(st.integers(1, 400)))


@given(grids())
def test_tiles_cover_the_scene_once_and_read_what_they_need(grid: TileGrid) -> None:
    owners = np.zeros(grid.lattice.shape, int)
    scene = Window.whole(grid.lattice.shape)
    patches = 0
    for tile in grid:
        rows, cols = tile.core.within(scene)
        owners[rows, cols] += 1
        tile.core.within(tile.read)
        tile.read.within(scene)
        for axis, which in ((grid.lattice.rows, tile.patch_rows), (grid.lattice.cols, tile.patch_cols)):
            low, high = (
                (tile.padded.row_off, tile.padded.row_stop)
                if axis is grid.lattice.rows and which is tile.patch_rows
                else (tile.padded.col_off, tile.padded.col_stop)
            )
            for i in which:
                assert low <= axis.origin(i)
                assert axis.origin(i) + axis.side <= high
        patches += tile.patches
        assert tile.core.row_off % grid.core[0] == 0
        assert tile.core.col_off % grid.core[1] == 0
    assert (owners == 1).all()
    assert grid.patches == patches
    assert grid.computed_pixels == patches * grid.lattice.patch[0] * grid.lattice.patch[1]
    if grid.stitch == "crop":
        assert patches == grid.lattice.count


@given(st.integers(1, 5000))
def test_chunks_divide_strides(stride: int) -> None:
    chunk = chunk_side(stride)
    assert stride % chunk == 0
    assert chunk >= min(512, stride)
