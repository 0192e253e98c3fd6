"""Is an error one of memory, and how is what a failed batch held given back?"""

from __future__ import annotations

import gc

import torch

# What the allocators of PyTorch, CUDA, cuBLAS and cuDNN say where they raise a plain RuntimeError.
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cufft_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Would a smaller batch help against this error?"""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def release() -> None:
    """Give back what nobody refers to. Call it where the error is gone: its traceback holds the batch's tensors."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
