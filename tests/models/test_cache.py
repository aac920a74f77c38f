"""The user's cache: where it is, whole files only, and that nothing about it stops a run."""

import os
from pathlib import Path

import pytest

from geoseg.models.cache import cache_folder, cached_json, keep_json, place, unplaced


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEOSEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_first_place_that_is_named_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "geoseg"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / "home" / ".cache" / "geoseg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "geoseg"
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("GEOSEG_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "geoseg"


def test_what_is_kept_is_found_and_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "made" / "late"))
    assert cached_json("probes/a.json") is None
    for value in ({"halo": 32}, {"halo": 64}):
        kept = keep_json("probes/a.json", value)
        assert kept == tmp_path / "made" / "late" / "probes" / "a.json"
        assert cached_json("probes/a.json") == value
    plain = tmp_path / "plain"
    plain.touch()
    assert kept.stat().st_mode == plain.stat().st_mode, "the umask's, not private"
    assert [path.name for path in kept.parent.iterdir()] == ["a.json"], "nothing half written is left"


@pytest.mark.parametrize("content", [b"", b'{"halo": 3', b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path))
    (tmp_path / "a.json").write_bytes(content)
    assert cached_json("a.json") is None
    keep_json("a.json", {"halo": 32})
    assert cached_json("a.json") == {"halo": 32}


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "file" / "cache"))
    assert keep_json("a.json", {}) is None
    assert cached_json("a.json") is None
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path))
    (tmp_path / "a.json").mkdir()
    assert keep_json("a.json", {}) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "file"], "nothing half written is left"


def test_what_was_left_unfinished_goes_when_it_is_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path))
    left = [unplaced(tmp_path / "probes" / name) for name in ("a.json", "b.json")]
    os.utime(left[0], (1e9, 1e9))
    kept = keep_json("probes/c.json", {})
    assert sorted((tmp_path / "probes").iterdir()) == sorted([left[1], kept])


def test_a_file_is_placed_whole(tmp_path: Path) -> None:
    target = tmp_path / "ir" / "model.xml"
    made = unplaced(target)
    assert made.suffix == ".xml"
    assert made.parent == target.parent
    assert not target.exists()
    made.write_text("whole")
    assert place(made, target).read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]
