"""Bundles in OpenVINO's own form (IR): converted once, in a child process, and kept in the user's cache folder."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geoseg.errors import BundleError, ConversionError
from geoseg.models.bundle import Bundle
from geoseg.models.cache import cache_folder, tidy
from geoseg.version import __version__

_LOG = logging.getLogger(__name__)

_MAKERS = ("openvino", "torch", "segmentation-models-pytorch", "timm")
"""Packages that decide what a conversion gives."""

_SECONDS = 1800.0
"""Most that a conversion may take."""

WATCHED = "--watched"
"""Argument of the child: end when standard input does, which is when this process is no more."""

NOT_WRITTEN = 3
"""Exit code of the child where the folder does not take the files; the network is not to blame."""


_TEMPORARY = "geoseg-openvino-"
"""Names of folders of conversions that the cache does not take."""

_DAY = 86400.0
"""Seconds after which nobody reads such a folder any more: a network is read at the start of a run."""

_refusals: dict[str, str] = {}
"""Why bundles could not be converted in this process, by their place: for where nothing can be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A bundle in OpenVINO's form."""

    path: Path
    """``model.xml``; ``model.bin`` is beside it."""
    note: str | None = None
    """What the user should know of where it is."""


def is_converted(digest: str) -> bool:
    """True if the bundle of this digest is in the cache; False where that cannot be read."""
    place = _place(digest)
    return place is not None and _is_there(place)


def _is_there(place: Path) -> bool:
    """True if a conversion is in its place; unlike ``Path.exists``, no right to look is an answer too."""
    return os.path.exists(place / "model.xml")  # noqa: PTH110


def refusal(digest: str) -> str | None:
    """Why the bundle of this digest could not be converted when that was tried; None if it was not, or could."""
    place = _place(digest)
    if place is not None:
        with contextlib.suppress(OSError, ValueError):
            return _refused(place).read_text(encoding="utf-8")
    return _refusals.get(str(place or digest))


def converted(bundle: Bundle, *, anew: bool = False) -> Converted:
    """The bundle's IR from the cache, converted first if it is not there.

    Two processes may do so at once: the second waits where the file system can lock, and else does it too.

    Args:
        bundle: a model that was looked at.
        anew: what is in the cache proved to be damaged: it is dropped, or passed over where that cannot be.

    Raises:
        BundleError: if OpenVINO cannot take the network.
    """
    place = _place(bundle.digest)
    if anew:
        forget(bundle)
    if place is not None and not (anew and _is_there(place)):
        with contextlib.suppress(OSError):
            return Converted(path=_cached(bundle, place))
    try:
        tidy(Path(tempfile.gettempdir()), f"{_TEMPORARY}*", older=_DAY)  # of processes that left without a goodbye
        folder = Path(tempfile.mkdtemp(prefix=f".{_TEMPORARY}"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _convert(bundle, folder)
    except OSError as error:
        raise BundleError(f"{bundle.path} cannot be converted for OpenVINO: {error}; use --runtime eager") from error
    where = "there is no cache folder" if place is None else f"{place.parent} cannot be written, or is full"
    note = f"the model was converted for OpenVINO for this run only: {where}; set GEOSEG_CACHE to a folder that can be"
    _LOG.warning(note)
    return Converted(path=folder / "model.xml", note=note)


def forget(bundle: Bundle) -> None:
    """Drops a bundle's IR from the cache, where it proved to be damaged."""
    place = _place(bundle.digest)
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)


def _cached(bundle: Bundle, place: Path) -> Path:
    """``model.xml`` in the cache.

    Raises:
        OSError: if it is not there and the cache cannot be written.
    """
    if _is_there(place):
        return place / "model.xml"
    place.parent.mkdir(parents=True, exist_ok=True)
    with _lock(place.with_suffix(".lock")) as alone:
        if _is_there(place):  # made while this process waited
            return place / "model.xml"
        if alone:  # whoever made these was killed
            shutil.rmtree(place, ignore_errors=True)  # half of it may be there yet
            tidy(place.parent, f"{place.name}.*", older=0.0)
        tidy(place.parent, "*")
        made = place.parent / f".{place.name}.{uuid.uuid4().hex}"
        made.mkdir()  # with the umask's rights, where mkdtemp's are private
        try:
            _convert(bundle, made)
            with contextlib.suppress(OSError):  # another process was first: its is as good
                made.rename(place)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    if not _is_there(place):
        raise FileNotFoundError(place)
    return place / "model.xml"


def _convert(bundle: Bundle, folder: Path) -> None:
    """Converts in a child process: PyTorch's memory is given back and the run needs no PyTorch.

    Raises:
        BundleError: if OpenVINO cannot take the network.
        OSError: if the folder does not take the files.
    """
    _LOG.info("converting %s for OpenVINO, once", bundle.path)
    command = [sys.executable, "-m", "geoseg.models.runtimes.convert", str(bundle.path), str(folder), WATCHED]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ours, theirs = os.pipe()  # what the child reads ends with this process, however that ends
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            env=environment,
            stdin=ours,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refuse(bundle, f"converting {bundle.path} took over {_SECONDS:g} s", lasting=False) from error
    finally:
        os.close(ours)
        os.close(theirs)
    if done.returncode == NOT_WRITTEN:
        raise OSError(done.stderr.strip().splitlines()[-1])
    if done.returncode or not (folder / "model.xml").exists():
        lines = done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"]
        reason = f"{bundle.path} cannot be converted for OpenVINO: {lines[-1]}"
        raise _refuse(bundle, reason, lasting=done.returncode > 0)  # less than 0: something killed it
    place = _place(bundle.digest)
    _refusals.pop(str(place or bundle.digest), None)
    if place is not None:
        with contextlib.suppress(OSError):
            _refused(place).unlink()


def _refuse(bundle: Bundle, reason: str, *, lasting: bool) -> ConversionError:
    """Remembers that a conversion failed, for ``auto``; a lasting reason for later processes too."""
    place = _place(bundle.digest)
    _refusals[str(place or bundle.digest)] = reason
    if place is not None and lasting:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            _refused(place).write_text(reason, encoding="utf-8")
    return ConversionError(f"{reason}; use --runtime eager")


def _refused(place: Path) -> Path:
    """Where it is kept that a conversion failed."""
    return place.with_name(f"{place.name}.refused")


def _place(digest: str) -> Path | None:
    """The folder of a bundle's IR: named by the bundle and by what converts it."""
    folder = cache_folder()
    if folder is None:
        return None
    makers = " ".join([f"geoseg {__version__}", *(f"{name} {_version(name)}" for name in _MAKERS)])
    return folder / "openvino" / f"{digest[:24]}-{hashlib.sha256(makers.encode()).hexdigest()[:12]}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Holds a lock file where the system can; a conversion takes memory that a host's workers need not each take.

    Gives True if it does.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    with path.open("a") as file:
        held = False
        with contextlib.suppress(OSError):  # some network file systems cannot
            fcntl.flock(file, fcntl.LOCK_EX)
            held = True
        yield held
