"""Imports of much, at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Within, Python does not look for garbage: what is imported stays, and looking takes time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
