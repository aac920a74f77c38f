"""Whether an error means that memory ran out: few libraries have a type of their own for that."""

from __future__ import annotations

import re

_OUT_OF_MEMORY = re.compile(
    r"out[ _]of[ _]memory"  # CUDA, its driver, GDAL
    r"|bad_alloc"  # C++
    r"|(can't|cannot|could not|couldn't|unable to|failed to|tried to) (re)?allocate"  # torch, NumPy, mmap, OpenVINO
    r"|(re)?allocation (has )?failed|failed allocation|ALLOC_FAILED"  # oneDNN, cuDNN, cuBLAS
    r"|(not enough|insufficient) (\w+ )?memory",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """True if memory is what was short.

    A message that has to do with memory is not enough: PyTorch says "its data is not allocated yet" of a wrong tensor,
    and a batch that is halved for that never fits.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return _OUT_OF_MEMORY.search(" ".join(str(error).split())) is not None
