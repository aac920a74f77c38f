"""How a store at a URL gets its name: stopped at any copy, it is whole or cannot be opened, and goes on."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import fsspec
import numpy as np
import pytest

from geoseg.geometry.windows import Window, split
from geoseg.raster.locations import PLAN_DIGEST, claim, root_attributes
from geoseg.raster.places import location_of
from geoseg.raster.zarr_store import create_store, finish_store
from tests.raster.test_zarr_store import SPEC, UTM, some_classes

DIGEST = "d" * 64


def unfinished(folder: str, zarr_format: int) -> str:
    """A store with all its tiles, its markers, and what a killed probe left."""
    part = f"{folder}/.map.zarr.part.zarr"
    store = create_store(part, replace(SPEC, zarr_format=zarr_format, attributes={PLAN_DIGEST: DIGEST}))
    classes = some_classes(UTM.shape)
    for window in split(store.shape, size=SPEC.core):
        store.write_classes(window, classes[window.within(Window.whole(store.shape))])
        store.mark_done(f"{window.row_off}.{window.col_off}")
    store.place.write("classes/.geoseg-done.abc.partial", b"")
    return part


def objects(folder: str) -> dict[str, bytes]:
    system, path = fsspec.core.url_to_fs(folder)
    return {name.removeprefix(path): system.cat_file(name) for name in system.find(path)} if system.exists(path) else {}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stopped_at_any_copy_it_goes_on(monkeypatch: pytest.MonkeyPatch, zarr_format: int) -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    finish_store(unfinished(f"{folder}/once", zarr_format), f"{folder}/once/map.zarr")
    wanted = objects(f"{folder}/once/map.zarr")
    assert not [name for name in wanted if "geoseg-" in name]
    system, _ = fsspec.core.url_to_fs(folder)
    plain = type(system).cp_file
    left = 0

    def stopping(self: Any, source: str, target: str, **rest: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        plain(self, source, target, **rest)

    monkeypatch.setattr(type(system), "cp_file", stopping)
    for number in range(len(wanted)):
        part, final = unfinished(f"{folder}/{number}", zarr_format), location_of(f"{folder}/{number}/map.zarr")
        left = number
        with pytest.raises(KeyboardInterrupt):
            finish_store(part, final)
        assert not root_attributes(final) or objects(str(final)) == wanted
        assert not location_of(part).is_published(final, digest=DIGEST)  # the last copy gives the name
        left = len(wanted)
        finish_store(part, final)
        assert objects(str(final)) == wanted
        assert not objects(part)


def test_an_object_that_was_half_copied_is_copied_again() -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    part, final = unfinished(folder, 3), location_of(f"{folder}/map.zarr")
    whole = objects(part)["/classes/c/0/0"]
    location_of(part).write("classes/.geoseg-part", claim("copying"))
    final.write("classes/c/0/0", whole[:-1])
    finish_store(part, final)
    assert final.read("classes/c/0/0") == whole
    assert np.frombuffer(whole, np.uint8).size > 1
