"""The user's cache folder: what geoseg has measured or converted once and may find again.

Everything in it can be made again. So whatever is wrong with the cache (no home, no right to write, a full disk, a torn
file) means "not cached" and never stops a run. Files appear whole or not at all: they are written beside their place
and renamed, so two processes that make the same thing at once both succeed and the last one stays. What a process that
was killed left unfinished goes when the next one makes something in the same folder.
"""

import contextlib
import json
import logging
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)

ABANDONED_SECONDS = 3600.0
"""What is unfinished and was not touched for so long has nobody who works on it: a conversion is given half of it."""


def cache_folder() -> Path | None:
    """The folder of geoseg's cached files: GEOSEG_CACHE, else XDG_CACHE_HOME/geoseg, else ~/.cache/geoseg.

    It is not made here and need not exist. An XDG_CACHE_HOME that is not absolute is passed over, as the XDG base
    directory specification asks.

    Returns:
        The folder, or None where the user has no home folder (a container with an unknown user).
    """
    if own := os.environ.get("GEOSEG_CACHE"):
        return Path(own).absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "geoseg"
    try:
        return Path.home() / ".cache" / "geoseg"
    except RuntimeError:
        return None


def cached_json(name: str) -> dict[str, Any] | None:
    """The object that :func:`keep_json` kept under a name.

    Args:
        name: path inside the cache folder, such as ``probes/ab12.json``.

    Returns:
        The object, or None where there is none, it cannot be read, or it is no JSON object.
    """
    folder = cache_folder()
    if folder is None:
        return None
    try:
        value = json.loads((folder / name).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        if not isinstance(error, FileNotFoundError):
            _LOG.debug("passed over %s: %s", folder / name, error)
        return None
    return value if isinstance(value, dict) else None


def keep_json(name: str, value: dict[str, Any]) -> Path | None:
    """Keep an object under a name, in place of what was there.

    Args:
        name: path inside the cache folder, such as ``probes/ab12.json``.
        value: what JSON can hold.

    Returns:
        Where it is kept, or None where it could not be.
    """
    folder = cache_folder()
    if folder is None:
        return None
    made: Path | None = None
    try:
        made = unplaced(folder / name)
        made.write_text(json.dumps(value, indent=1), encoding="utf-8")
        tidy(made.parent, "*.part*")
        return place(made, folder / name)
    except OSError as error:
        _LOG.debug("could not keep %s: %s", folder / name, error)
        if made is not None:
            with contextlib.suppress(OSError):
                made.unlink()
        return None


def tidy(folder: Path, pattern: str, *, older: float = ABANDONED_SECONDS) -> None:
    """Delete what processes that were killed left unfinished: hidden files and folders. What cannot be deleted stays.

    Args:
        folder: of the cache, or for temporary files.
        pattern: of names, after the dot.
        older: seconds for which nobody touched them.
    """
    try:
        for left in folder.glob(f".{pattern}"):
            if time.time() - left.stat().st_mtime < older:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
    except OSError as error:  # another process tidies too
        _LOG.debug("could not tidy %s: %s", folder, error)


def unplaced(target: Path) -> Path:
    """A new empty file beside a target, to be written and then given to :func:`place`.

    It has the target's suffix, for writers that look at it. The folder is made where it is not there.

    Raises:
        OSError: the folder cannot be made or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f".{target.stem}.{uuid.uuid4().hex}.part{target.suffix}")
    made.touch(exist_ok=False)  # with the umask's rights, where mkstemp's are private: caches are shared
    return made


def place(made: Path, target: Path) -> Path:
    """Put a whole file (from :func:`unplaced`) in its place, replacing what was there.

    Raises:
        OSError: the folder cannot be written.
    """
    return made.replace(target)
