"""What a probe tells of memory: as measured where it was, never less than in proportion elsewhere."""

from __future__ import annotations

import pytest

from geoseg.inference.known import Known
from geoseg.models.probing.result import ProbedSpeed
from tests.probes import made_up_probe


def known(*measured: tuple[int, int, int | None]) -> Known:
    """Of (size, batch, bytes)."""
    speeds = tuple(ProbedSpeed(size=s, batch=n, seconds=1.0, bytes=b) for s, n, b in measured)
    return Known(speeds=made_up_probe(None, speeds=speeds))


def test_nothing_is_told_where_nothing_was_measured() -> None:
    assert Known().activation_bytes((512, 512), 1) is None
    assert known((256, 1, None)).activation_bytes((256, 256), 1) is None


def test_what_was_measured_is_told_as_it_was() -> None:
    here = known((256, 1, 50 * 256**2), (256, 16, 300 * 256**2), (1024, 1, 80 * 1024**2), (64, 1, None))
    assert here.activation_bytes((256, 256), 1) == 50 * 256**2
    assert here.activation_bytes((256, 256), 16) == 300 * 256**2
    assert here.activation_bytes((1024, 1024), 1) == 80 * 1024**2


@pytest.mark.parametrize("per_pixel", [1.0, 700.0])
@pytest.mark.parametrize("fixed", [0, 10**6])
def test_it_is_never_less_than_a_pass_takes(per_pixel: float, fixed: int) -> None:
    """Of a network that takes so much per pixel, and something anyway, up to the largest size and batch measured."""

    def taken(size: int, batch: int) -> int:
        return round(fixed + per_pixel * batch * size**2)

    here = known(*((size, batch, taken(size, batch)) for size in (128, 512, 1536) for batch in (1, 8)))
    for size in (64, 128, 200, 512, 700, 1100, 1536):
        for batch in (1, 3, 8, 16):
            least = taken(size, batch) - (fixed if size < 128 else 0)
            found = here.activation_bytes((size, size), batch)
            assert found is not None
            assert found >= least - 1
            assert found <= batch * (fixed + fixed * (size / 128) ** 2) + 1.01 * per_pixel * batch * size**2
