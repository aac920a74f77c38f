"""What libraries say when memory is short, word for word, and what they say that only sounds like it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from geoseg.models.runtimes.memory import is_out_of_memory

SHORT = (
    "alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 40000000000 bytes.",
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY",
    "std::bad_alloc",
    "unable to mmap 123 bytes from file </dev/shm/x>: Cannot allocate memory (12)",
    "Exception from src/inference/src/cpp/infer_request.cpp:223: Failed to allocate 123 bytes of memory",
    "Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000) and data type float64",
)

OTHER = (
    "The tensor has a non-zero number of elements, but its data is not allocated yet. If you're using torch.compile",
    "Attempted to set the storage of a tensor on device cpu to a storage on different device",
    'alloc_ INTERNAL ASSERT FAILED at "../c10/core/CPUAllocator.cpp":21, please report a bug to PyTorch.',
    "unallocated output: shape is not known",
    "Tensors must have the same allocator",
    "Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 4, 64, 64] to have 3 channels, but got 4",
    "CUDA error: an illegal memory access was encountered",
    "",
)


@pytest.mark.parametrize("message", SHORT)
def test_memory_that_is_short_is_known_by_its_words(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))


@pytest.mark.parametrize("message", OTHER)
def test_what_only_sounds_like_it_is_another_error(message: str) -> None:
    assert not is_out_of_memory(RuntimeError(message))


@pytest.mark.skipif(sys.maxsize < 2**40, reason="needs sizes that no machine has")
def test_the_libraries_here_are_known() -> None:
    for ask in (lambda: torch.empty(2**60, dtype=torch.uint8), lambda: np.empty(2**60, np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            ask()
        assert is_out_of_memory(caught.value)
        assert is_out_of_memory(RuntimeError(str(caught.value)))


def test_openvino_is_known() -> None:
    openvino = pytest.importorskip("openvino")
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        openvino.Tensor(openvino.Type.u8, openvino.Shape([2**60]))
    assert is_out_of_memory(caught.value)
