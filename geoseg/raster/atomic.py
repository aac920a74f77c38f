"""Files that are whole or not there: hidden names to write under, one swap, one kind of error.

Everything geoseg writes is written as ``.<name>.part`` beside its target and renamed when it is whole, so that a file
under its final name can be trusted, and a stopped run leaves nothing but hidden files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geoseg.errors import GeosegError, OutputError, OutputExistsError

_ROOM = 2**18
"""Bytes of a compressed block, and what a file system needs for itself."""


def part_path(target: Path, *, suffix: str = "") -> Path:
    """Where ``target`` is written until it is whole: ``out.tif`` gives ``.out.tif.part`` in the same folder."""
    return target.with_name(f".{target.name}.part{suffix}")


@contextmanager
def output_errors(target: Path) -> Iterator[None]:
    """Turn any ``OSError`` of the block into one line about ``target``; geoseg's own errors pass as they are.

    Raises:
        OutputError: for a full disk, a missing or unwritable folder, a broken device.
    """
    try:
        yield
    except GeosegError:
        raise
    except OSError as error:
        raise OutputError(failure(target, reason=error.strerror or str(error))) from error


def refuse_unwritable(target: Path) -> None:
    """Refuses a target whose folder can neither be written nor made; nothing is changed.

    Raises:
        OutputError: naming the folder.
    """
    folder = next(folder for folder in target.absolute().parents if folder.exists())
    if not folder.is_dir():
        raise OutputError(failure(target, reason=f"{folder} is no folder"))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(failure(target, reason=f"no permission to write in {folder}"))


def failure(target: Path, *, reason: str) -> str:
    """The line that tells why ``target`` could not be written."""
    reason = " ".join(reason.split())
    full = any(word in reason.lower() for word in ("space", "too large", "quota"))
    if not full and _is_full(target):  # libtiff says "write error" and keeps the reason to itself
        reason, full = f"{reason} (no space left on device)", True
    return f"cannot write {target}: {reason}; {'free some space' if full else 'name another folder'}"


def _is_full(target: Path) -> bool:
    """True if the disk of ``target`` has no room for a block of pixels."""
    folder = next((above for above in target.parents if above.is_dir()), None)
    try:
        return folder is not None and shutil.disk_usage(folder).free < _ROOM
    except OSError:
        return False


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Stop before work is done for a target that may not be replaced.

    Raises:
        OutputExistsError: if ``target`` is there and ``overwrite`` is False.
    """
    if not overwrite and os.path.lexists(target):
        raise OutputExistsError(f"{target} is there already; --overwrite replaces it")


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Delete a folder so that, stopped at any moment, it is either whole or not there under its name."""
    if folder.exists():
        trash = part_path(folder, suffix=".trash")
        remove(trash)
        folder.rename(trash)
        remove(trash)


def recover(target: Path) -> None:
    """Tidy up after a process that was killed while it replaced or deleted ``target``: an old one steps back."""
    aside = part_path(target, suffix=".old")
    if aside.exists() and not os.path.lexists(target):
        aside.rename(target)
    remove(aside)
    remove(part_path(target, suffix=".trash"))


def put_in_place(part: Path, target: Path) -> None:
    """Rename a whole ``part`` to ``target``, replacing what is there; the old one stays whole until then.

    A folder cannot be renamed over a folder that holds something: the old one steps aside under a hidden name first
    and is deleted last.

    Raises:
        OutputError: if the file system refuses.
    """
    with output_errors(target):
        if not target.is_dir() or target.is_symlink():
            if part.is_dir():
                target.unlink(missing_ok=True)
            part.replace(target)
            return
        aside = part_path(target, suffix=".old")
        remove(aside)
        target.rename(aside)
        try:
            part.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        shutil.rmtree(aside)
