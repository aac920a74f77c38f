"""Every error geoseg raises on purpose.

Each is a :class:`GeosegError` and a builtin too, so that callers may catch either. The message is one line: what is
wrong, the numbers, and the way out. The command line prints it without a traceback and exits 1.
"""


class GeosegError(Exception):
    """Base of all errors that geoseg raises on purpose."""


class SceneError(GeosegError, ValueError):
    """A raster that opens but that geoseg cannot use as it is (bands, dtype, size, blocks)."""


class SceneReadError(GeosegError, OSError):
    """A raster that cannot be opened, or that fails while a window of it is read."""


class LegendError(GeosegError, ValueError):
    """A legend that contradicts itself, or values that are not in it."""


class BundleError(GeosegError, ValueError):
    """A model file that is not a bundle, is damaged, or is of a newer format."""


class ConversionError(BundleError):
    """A bundle that OpenVINO does not take; other runtimes may."""


class PlanError(GeosegError, ValueError):
    """Options that cannot be met together: patch size, overlap, multiple, memory."""


class OutOfMemoryError(PlanError, MemoryError):
    """A forward pass that the memory there is does not take."""


class ClusterError(GeosegError, RuntimeError):
    """Workers or a scheduler that cannot be reached, that cannot do a run, or that were lost while it lasted."""


class OutputError(GeosegError, OSError):
    """A target that cannot be written: unwritable folder, full disk, unknown suffix."""


class OutputExistsError(GeosegError, FileExistsError):
    """A target that is there already and may not be replaced without ``--overwrite``."""


class OutputLockedError(GeosegError, BlockingIOError):
    """A target that another process is writing."""


class GridError(GeosegError, ValueError):
    """Two rasters whose grids should be the same and are not."""


class SampleError(GeosegError, ValueError):
    """A sample of a map that cannot be drawn as asked, or that lacks what an estimate needs."""


class ConfigError(GeosegError, ValueError):
    """A configuration file with a missing, unknown or impossible entry."""


class ManifestError(GeosegError, ValueError):
    """A list of scenes that lacks a column, is empty, or whose scenes are in each other's way."""


class MissingExtraError(GeosegError, ImportError):
    """An optional dependency that is not installed; the message names the extra."""


class StoppedError(GeosegError, RuntimeError):
    """The run was stopped by a signal before it was whole.

    Attributes:
        signum: the number of the signal (2 for Ctrl-C, 15 for SIGTERM); the exit code is 128 + signum.
    """

    def __init__(self, message: str, *, signum: int) -> None:
        super().__init__(message)
        self.signum = signum
