"""Lightning, or the way to get it: the only import of the optional extra ``train``."""

from __future__ import annotations

from geoseg.errors import MissingExtraError

try:
    import lightning
except ImportError as error:
    raise MissingExtraError("training needs Lightning: pip install 'geoseg[train]'") from error

__all__ = ["lightning"]
