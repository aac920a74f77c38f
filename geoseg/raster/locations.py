"""Where a class store lies: a folder of this machine, or a prefix of any file system that fsspec knows.

All that differs between the two is behind this protocol: how an unfinished store gets its final name
(a rename; a copy on the server with the root's metadata last), where markers lie, how a store is deleted so that no
half of one is ever taken for a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

OWN = "geoseg_store"
"""Root attribute with what ``open_store`` needs; written last, so that a half created store is no store."""

PLAN_DIGEST = "geoseg_plan_digest"
"""Root attribute with the digest of the plan that made the store."""

ROOT_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zmetadata")
"""Files of a root group, of either Zarr format. Written in reverse: whose attributes are there is whole."""

MARKERS = "classes/.geoseg-done"
"""Folder of the markers. Below an array, where no reader of Zarr looks for members."""

CLAIM = "classes/.geoseg-part"
"""First file of an unfinished store and the last to go: what lies beside it is geoseg's, whole or not."""


class Location(Protocol):
    """A place for one store; two of the same name are equal."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    def sibling(self, name: str) -> Location:
        """Another place in the same folder."""

    def zarr_store(self) -> Any:
        """What zarr opens."""

    def errors(self) -> AbstractContextManager[None]:
        """Turns what the file system raises in a block into one line: ``OutputError``."""

    def exists(self) -> bool:
        """True if anything is there."""

    def is_empty(self) -> bool:
        """True if nothing of worth is there: nothing at all, or an empty folder."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file below; None if there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file below, whole or not at all."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file below unless it is there; False if it is. As exclusive as the file system can."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete files below; those that are not there are passed over."""

    def mark(self, key: str) -> None:
        """Leave a marker for ``key``."""

    def is_marked(self, key: str) -> bool:
        """True if there is a marker for ``key``."""

    def marks(self) -> Iterator[str]:
        """The keys that have markers, in any order; memory does not grow with their number on a local disk."""

    def discard(self) -> None:
        """Delete all, so that what is left of it by a kill is never taken for a store."""

    def leftovers(self) -> bool:
        """True if a killed process left something of a replacement or a deletion beside this place, or markers."""

    def make_folder(self) -> None:
        """Make the folder this place is in, where there are folders."""

    def tidy(self) -> None:
        """Finish what a killed process began to replace or delete here. Under the lock only."""

    def finishing(self) -> bool:
        """True if ``publish`` was killed while it was at work: what is at the target is no stranger's."""

    def is_published(self, final: Location, *, digest: str) -> bool:
        """True if the store that is here, of the plan of that digest, is whole at ``final``: ``retire`` is left."""

    def publish(self, final: Location) -> None:
        """Give the whole store that is here its final name; killed at any moment, the same call goes on."""

    def retire(self) -> None:
        """Delete what ``publish`` leaves here."""

    def forget_marks(self) -> None:
        """Delete all markers: of a store that has its final name."""

    def guard(self) -> tuple[Location, str]:
        """Where the lock of this place lies: a folder and a name in it."""


def claim(stage: str) -> bytes:
    """What a claim says: ``writing``; or ``replacing`` and ``copying``, where a store gets its name bit by bit."""
    return json.dumps({"stage": stage}).encode()


def root_attributes(place: Location) -> dict[str, Any]:
    """Attributes of the root group at ``place``, whoever wrote it; empty if there is none that can be read."""
    for name in ("zarr.json", ".zattrs"):
        data = place.read(name)
        if data is None:
            continue
        try:
            found = json.loads(data)
            return dict(found["attributes"] if name == "zarr.json" else found)
        except (ValueError, TypeError, KeyError):
            return {}
    return {}
