"""Stores on object stores and other file systems that fsspec knows: ``s3://…``, ``memory://…``.

There are no renames: a whole store is copied on the server, its root's metadata last, so that a reader never finds half
a store under its final name. Credentials and endpoints come from where each file system looks by itself (for S3 the
environment, ``AWS_ENDPOINT_URL`` included, and ``~/.aws``); they are never in a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from geoseg.errors import GeosegError, OutputError
from geoseg.raster.locations import (
    CLAIM,
    MARKERS,
    PLAN_DIGEST,
    ROOT_METADATA,
    Location,
    claim,
    root_attributes,
)
from geoseg.raster.remote_system import batches, file_system, files_below, remove_files

_STORAGE_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "adlfs", "azure", "google", "fsspec")
"""Their errors are a storage's, whether or not they are an ``OSError``."""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """All objects under a URL."""

    url: str

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        authority = rest.partition("/")[0]
        if "@" in authority and (":" in authority or scheme.startswith("s3")):
            raise OutputError(
                f"a {scheme}:// output has a password in its name: take it out, and give credentials by the environment"
                " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or ~/.aws"
            )
        if "::" in self.url or any(sign in self.url for sign in "*?[]#"):
            raise OutputError(f"{self.url}: the name of a store has no *, ?, #, [ or :: in it; name another")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def sibling(self, name: str) -> RemoteFolder:
        """Another folder beside this one."""
        return RemoteFolder(f"{self.url.rpartition('/')[0]}/{name}")

    def zarr_store(self) -> Any:
        """Zarr's store on the same file system, in zarr's own event loop."""
        from zarr.storage import FsspecStore

        with self.errors():
            system, path = file_system(self.url, own_loop=False)
            return FsspecStore(fs=system, path=path)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """One line about this URL, whichever library an error comes from."""
        try:
            yield
        except GeosegError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _STORAGE_LIBRARIES:
                raise
            words = " ".join(str(error).split()) or type(error).__name__
            raise OutputError(f"{self.url}: {words}; check the address, the bucket and the credentials") from error

    def exists(self) -> bool:
        """True if there is any object."""
        return not self.is_empty()

    def is_empty(self) -> bool:
        """True if there is no object."""
        with self.errors():
            system, path = file_system(self.url)
            return next(files_below(system, path), None) is None and not system.isfile(path)

    def read(self, name: str) -> bytes | None:
        """The bytes of an object below; None if there is none."""
        with self.errors():
            system, path = file_system(self.url)
            try:
                return bytes(system.cat_file(f"{path}/{name}"))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None

    def write(self, name: str, data: bytes) -> None:
        """One PUT: whole or not at all."""
        with self.errors():
            system, path = file_system(self.url)
            system.pipe_file(f"{path}/{name}", data)

    def create(self, name: str, data: bytes) -> bool:
        """A conditional PUT where the server knows it; else what is there now decides, and two may both win."""
        with self.errors():
            system, path = file_system(self.url)
            if system.exists(f"{path}/{name}"):
                return False
            try:
                system.pipe_file(f"{path}/{name}", data, mode="create")
            except FileExistsError:
                return False
            except (OSError, NotImplementedError) as error:
                if "PreconditionFailed" in str(error) or "pre-conditions" in str(error):
                    return False
                if not isinstance(error, NotImplementedError) and "not implemented" not in str(error).lower():
                    raise
                system.pipe_file(f"{path}/{name}", data)
            return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects below."""
        with self.errors():
            system, path = file_system(self.url)
            for some in batches(f"{path}/{name}" for name in names):
                remove_files(system, list(some))

    def mark(self, key: str) -> None:
        """An empty object, in a folder of its row: listings come row by row and memory stays flat."""
        self.write(_marker(key), b"")

    def is_marked(self, key: str) -> bool:
        """One request."""
        with self.errors():
            system, path = file_system(self.url)
            return bool(system.exists(f"{path}/{_marker(key)}"))

    def marks(self) -> Iterator[str]:
        """Listed row by row."""
        with self.errors():
            system, path = file_system(self.url)
            for file, _ in files_below(system, f"{path}/{MARKERS}"):
                yield unquote(file.rpartition("/")[2])

    def discard(self) -> None:
        """The root's metadata first, the claim last."""
        self.delete(ROOT_METADATA)
        self.retire()

    def leftovers(self) -> bool:
        """Nothing lies beside a remote store but its unfinished one and its lock."""
        return False

    def make_folder(self) -> None:
        """Object stores have no folders, and geoseg makes no buckets."""

    def tidy(self) -> None:
        """Nothing to do: what a killed copy left is found by the unfinished store's claim."""

    def finishing(self) -> bool:
        """True if ``publish`` was killed while it was at work."""
        return self._stage() in ("replacing", "copying")

    def is_published(self, final: Location, *, digest: str) -> bool:
        """True if only the deletion is left to do."""
        return self._stage() == "copying" and root_attributes(final).get(PLAN_DIGEST) == digest

    def publish(self, final: Location) -> None:
        """Empties the target, copies on the server, the root's metadata last; then deletes what was copied.

        The claim says how far that is: until it says ``copying`` what is at the target is an old store, after that all
        of it is this one's, and objects that are there need no second copy.
        """
        assert isinstance(final, RemoteFolder)
        if self._stage() != "copying":
            self.write(CLAIM, claim("replacing"))
            final.discard()
            if not final.is_empty():
                raise OutputError(f"{final} cannot be emptied; allow deleting, or name another output")
            self.write(CLAIM, claim("copying"))
        with final.errors():
            self._copy(final)
        self.retire()

    def _copy(self, final: RemoteFolder) -> None:
        """All that belongs to a whole store and is not at ``final`` yet; the root's metadata last."""
        system, path = file_system(self.url)
        _, target = file_system(final.url)
        # Sizes as well: not every file system copies a file whole or not at all.
        there = {(file.removeprefix(target), size) for file, size in files_below(system, target)}
        last = [f"/{name}" for name in reversed(ROOT_METADATA)]
        passed = {*last, f"/{CLAIM}"}
        found = ((file.removeprefix(path), size) for file, size in files_below(system, path, skip=f"{path}/{MARKERS}"))
        for some in batches(
            name
            for name, size in found
            if (name, size) not in there and name not in passed and not name.endswith(".partial")  # a killed probe's
        ):
            system.copy([path + name for name in some], [target + name for name in some], on_error="raise")
        for name in last:
            if system.exists(path + name):
                system.copy(path + name, target + name)

    def retire(self) -> None:
        """Delete all but the root's metadata, then that, then the claim."""
        with self.errors():
            system, path = file_system(self.url)
            last = [f"{path}/{name}" for name in ROOT_METADATA]
            kept = {*last, f"{path}/{CLAIM}"}
            for some in batches(file for file, _ in files_below(system, path) if file not in kept):
                remove_files(system, some)
            remove_files(system, last)
            remove_files(system, [f"{path}/{CLAIM}"])

    def forget_marks(self) -> None:
        """None are copied."""

    def guard(self) -> tuple[Location, str]:
        """An object in a folder of its own."""
        return self.sibling(f".{self.name}.lock"), "holder"

    def _stage(self) -> str | None:
        data = self.read(CLAIM)
        return None if data is None else str(json.loads(data)["stage"])


def _marker(key: str) -> str:
    return f"{MARKERS}/{quote(key.split('.')[0], safe='')}/{quote(key, safe='')}"
