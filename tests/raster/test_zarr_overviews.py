"""The pyramid: its rule against a plain count, and levels that do not know how the map was tiled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.geometry.geobox import GeoBox, GroundControlPoint
from geoseg.geometry.windows import Window, split
from geoseg.legend import Legend
from geoseg.raster import zarr_overviews
from geoseg.raster.result_store import ResultStore
from geoseg.raster.zarr_overviews import Level, factors, level_geobox, mode_2x2
from geoseg.raster.zarr_store import StoreSpec, create_store, open_store
from tests.clusters import wait_until

Classes = npt.NDArray[np.uint8]


def counted(classes: Classes) -> Classes:
    """The rule as it is written, pixel by pixel: Counter keeps the order of first sight among equals."""
    rows, cols = -(-classes.shape[0] // 2), -(-classes.shape[1] // 2)
    result = np.full((rows, cols), 255, np.uint8)
    for row in range(rows):
        for col in range(cols):
            four = classes[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
            counts = Counter(v for v in four if v != 255)
            if counts:
                result[row, col] = counts.most_common(1)[0][0]
    return result


def test_every_pattern_of_four() -> None:
    values = np.array([0, 1, 7, 254, 255], np.uint8)
    patterns = np.stack(np.meshgrid(*[values] * 4, indexing="ij"), axis=-1).reshape(-1, 2, 2)
    classes = np.concatenate(patterns, axis=1)
    assert np.array_equal(mode_2x2(classes), counted(classes))


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255])))
def test_any_shape(classes: Classes) -> None:
    assert np.array_equal(mode_2x2(classes), counted(classes))


def test_strips_do_not_show() -> None:
    classes = np.random.default_rng(0).integers(0, 5, (401, 77), dtype=np.uint8)
    assert np.array_equal(mode_2x2(classes), counted(classes))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1), ()),
        ((512, 512), ()),
        ((513, 10), (2,)),
        ((10, 1024), (2,)),
        ((1025, 9), (2, 4)),
        ((10000, 1), (2, 4, 8, 16, 32)),
    ],
)
def test_levels_end_when_both_sides_are_small(shape: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert factors(shape) == expected
    assert max(level_geobox(GeoBox(shape=shape), (1, *expected)[-1]).shape) <= 512


def test_the_corner_stays_and_control_points_move_with_their_pixels() -> None:
    geobox = GeoBox(
        shape=(1001, 999), transform=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), gcps=(GroundControlPoint(row=8, col=4, x=1, y=2),)
    )
    level = level_geobox(geobox, 4)
    assert level.shape == (251, 250)
    assert level.world(10, 20) == geobox.world(40, 80)
    assert (level.gcps[0].row, level.gcps[0].col, level.gcps[0].x) == (2, 1, 1)
    assert not level_geobox(GeoBox(shape=(1001, 999)), 2).is_placed


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("core", "chunk", "threads"), [((600, 450), (75, 150), 1), ((330, 1200), (110, 110), 4)])
def test_levels_do_not_depend_on_tiles(
    tmp_path: Path, zarr_format: int, core: tuple[int, int], chunk: tuple[int, int], threads: int
) -> None:
    shape = (1201, 1111)
    classes = np.random.default_rng(0).integers(0, 4, shape, dtype=np.uint8)
    classes[300:500, 200:700] = 255
    spec = StoreSpec(
        geobox=GeoBox(shape=shape), core=core, chunk=chunk, legend=Legend.numbered(4), zarr_format=zarr_format
    )
    store = create_store(tmp_path / "a.zarr", spec)
    for window in split(shape, size=core):
        store.write_classes(window, classes[window.within(Window.whole(shape))])
    assert store.overview_factors() == ()
    for _ in range(2):  # made again they are the same
        store.add_overviews(threads=threads)
        assert store.overview_factors() == (2, 4)
        expected = classes
        for factor in (2, 4):
            expected = mode_2x2(expected)
            assert np.array_equal(store.read_overview(factor, Window.whole(expected.shape)), expected)
    assert np.array_equal(store.read_overview(1, Window.whole(shape)), classes)


def filled_store(path: Path, *, shape: tuple[int, int], core: tuple[int, int], zarr_format: int = 3) -> ResultStore:
    """A whole map of random blocks."""
    blocks = np.random.default_rng(0).integers(0, 4, (-(-shape[0] // 50), -(-shape[1] // 50)), dtype=np.uint8)
    classes = blocks.repeat(50, 0).repeat(50, 1)[: shape[0], : shape[1]]
    chunk = (core[0] // 3, core[1] // 3)
    spec = StoreSpec(
        geobox=GeoBox(shape=shape), core=core, chunk=chunk, legend=Legend.numbered(4), zarr_format=zarr_format
    )
    store = create_store(path, spec)
    for tile in split(shape, size=core):
        store.write_classes(tile, classes[tile.within(Window.whole(shape))])
    return store


def tiles_of(store: ResultStore) -> npt.NDArray[np.bool_]:
    """None of them done."""
    return np.zeros([-(-n // c) for n, c in zip(store.shape, store.spec.core, strict=True)], np.bool_)


SHAPE, CORE = (1300, 1700), (192, 288)
"""42 tiles; where shards are as small as chunks, a window of the first overview is made of 128 x 192 px."""


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_overviews, "_SHARD", 1)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("told", ["in order", "reversed", "some", "twice"])
def test_made_beside_the_tiles_they_are_the_same(tmp_path: Path, zarr_format: int, told: str) -> None:
    late, early = (
        filled_store(tmp_path / name, shape=SHAPE, core=CORE, zarr_format=zarr_format)
        for name in ("late.zarr", "early.zarr")
    )
    places = list(np.ndindex(*tiles_of(early).shape))
    if told == "reversed":
        places.reverse()
    with early.early_overviews(tiles_of(early)) as written:
        for number, (row, col) in enumerate(places):
            for _ in range(2 if told == "twice" else told != "some" or number % 5 > 0):
                written(row, col)
    for store in (late, early):
        store.add_overviews()
    assert contents(tmp_path / "early.zarr") == contents(tmp_path / "late.zarr")


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_run_that_was_stopped_begins_them_anew(tmp_path: Path, zarr_format: int) -> None:
    late, early = (
        filled_store(tmp_path / name, shape=SHAPE, core=CORE, zarr_format=zarr_format)
        for name in ("late.zarr", "early.zarr")
    )
    done = tiles_of(early)

    def stopped() -> None:
        with early.early_overviews(done) as written:
            for place in list(np.ndindex(*done.shape))[:25]:
                written(*place)
                done[place] = True
            wait_until(lambda: (tmp_path / "early.zarr/overviews/2/classes").exists(), seconds=60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    (tmp_path / "early.zarr/overviews" / ("zarr.json" if zarr_format == 3 else ".zgroup")).unlink()  # torn
    again = open_store(tmp_path / "early.zarr")
    with again.early_overviews(done) as written:
        for place in list(np.ndindex(*done.shape))[25:]:
            written(*place)
    for store in (late, again):
        store.add_overviews()
    assert contents(tmp_path / "early.zarr") == contents(tmp_path / "late.zarr")


@pytest.mark.usefixtures("small_shards")
def test_windows_are_made_once_and_wait_for_all_of_their_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled_store(tmp_path / "a.zarr", shape=SHAPE, core=CORE)
    told = tiles_of(store)
    filled: Counter[Window] = Counter()
    fill = Level.fill

    def check(level: Level, window: Window) -> None:
        if level.factor == 2:
            rows, cols = level.source(window)
            assert told[
                rows.start // CORE[0] : -(-rows.stop // CORE[0]), cols.start // CORE[1] : -(-cols.stop // CORE[1])
            ].all()
            filled[window] += 1
        fill(level, window)

    monkeypatch.setattr(Level, "fill", check)
    with store.early_overviews(told) as written:
        wait_until(lambda: (tmp_path / "a.zarr/overviews/4/classes/zarr.json").exists(), seconds=60)
        for place in np.ndindex(*told.shape):
            told[place] = True
            written(*place)
            time.sleep(0.01)
        wait_until(lambda: len(filled) > 20, seconds=60)
    store.add_overviews()
    assert set(filled.values()) == {1}
    assert len(filled) == sum(1 for _ in Level(None, 2, shape=SHAPE, chunk=store.spec.chunk).windows())


@pytest.mark.usefixtures("small_shards")
def test_what_fails_beside_the_tiles_is_made_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled_store(tmp_path / "a.zarr", shape=SHAPE, core=CORE)
    failed = threading.Event()

    def fail(*_: object) -> None:
        failed.set()
        raise OSError("no space left")

    with monkeypatch.context() as patched, store.early_overviews(tiles_of(store)) as written:
        patched.setattr(Level, "fill", fail)
        for place in np.ndindex(*tiles_of(store).shape):
            written(*place)
        assert failed.wait(60)
    store.add_overviews()
    expected = mode_2x2(store.read_classes(Window.whole(SHAPE)))
    assert np.array_equal(store.read_overview(2, Window.whole(expected.shape)), expected)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
