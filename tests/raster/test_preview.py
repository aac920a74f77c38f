"""The quick look: the right colours at the right place, and a stretch that any dtype survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from geoseg.errors import OutputError
from geoseg.legend import Legend
from geoseg.raster.preview import display_rgb, write_preview

LEGEND = Legend.numbered(3)

Pixels = npt.NDArray[Any]


def test_colours_over_the_scene(tmp_path: Path) -> None:
    classes = np.zeros((40, 60), np.uint8)
    classes[:, 20:40] = 2
    classes[:, 40:] = 255
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 60), dtype=np.uint8)
    write_preview(tmp_path / "a.png", classes=classes, pixels=pixels, legend=LEGEND, opacity=0.25)
    shown = np.asarray(Image.open(tmp_path / "a.png")).astype(float)
    scene = np.moveaxis(pixels, 0, -1)
    for cols, color in ((slice(0, 20), LEGEND.colors[0]), (slice(20, 40), LEGEND.colors[2])):
        assert np.abs(shown[:40, cols] - (0.75 * scene[:, cols] + 0.25 * np.array(color))).max() <= 0.5
    assert np.array_equal(shown[:40, 40:60], scene[:, 40:])
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_legend_shows_every_colour_beside_the_picture(tmp_path: Path) -> None:
    write_preview(tmp_path / "a.png", classes=np.zeros((10, 10), np.uint8), pixels=None, legend=LEGEND)
    strip = np.asarray(Image.open(tmp_path / "a.png"))[:, 10:]
    for color in LEGEND.colors:
        assert (strip == color).all(axis=-1).sum() > 100
    assert (strip < 100).all(axis=-1).sum() > 50  # ink


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    classes = np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match="do not fit"):
        write_preview(tmp_path / "a.png", classes=classes, pixels=np.zeros((3, 5, 4), np.uint8), legend=LEGEND)
    with pytest.raises(ValueError, match="opacity"):
        write_preview(tmp_path / "a.png", classes=classes, pixels=None, legend=LEGEND, opacity=2)
    assert not list(tmp_path.iterdir())


def test_unwritable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot write"):
        write_preview(tmp_path / "file" / "a.png", classes=np.zeros((4, 5), np.uint8), pixels=None, legend=LEGEND)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_stretch_puts_percentiles_at_black_and_white(dtype: type) -> None:
    ramp: Pixels = np.linspace(10, 110, 101 * 7).reshape(1, 101, 7).astype(dtype)
    shown = display_rgb(np.concatenate([ramp, ramp * 2, ramp + 9, ramp * 0]).astype(dtype), percentiles=(10, 90))
    assert shown.shape == (3, 101, 7)
    assert shown.dtype == np.uint8
    assert (shown[:, :9] == 0).all()
    assert (shown[:, -9:] == 255).all()
    assert np.abs(shown[:, 50].astype(int) - 127).max() <= 4


def test_one_band_is_grey_and_what_is_not_valid_is_black() -> None:
    band = np.arange(1, 101, dtype=np.float32).reshape(1, 10, 10)
    band[0, 0, 0] = np.nan
    valid = np.ones((10, 10), bool)
    valid[9, 9] = False
    shown = display_rgb(band, valid=valid)
    assert np.array_equal(shown[0], shown[1])
    assert np.array_equal(shown[0], shown[2])
    assert shown[0, 0, 0] == shown[0, 9, 9] == 0
    band[0, 9, 9] = 1e30
    assert np.array_equal(display_rgb(band, valid=valid), shown)


@given(arrays(np.float32, (3, 4, 5), elements=st.floats(width=32)))
def test_any_floats_survive(pixels: Pixels) -> None:
    assert display_rgb(pixels).shape == (3, 4, 5)
