"""SciPy's image functions, or the way to get them: part of the optional extra ``train``."""

from __future__ import annotations

from geoseg.errors import MissingExtraError

try:
    from scipy import ndimage
except ImportError as error:
    raise MissingExtraError("training needs SciPy: pip install 'geoseg[train]'") from error

__all__ = ["ndimage"]
