"""torchvision and torchaudio without their compiled parts, where these cannot be loaded.

Wheels of a package index are CUDA builds; beside a CPU build of torch their libraries do not load, and the import of
either package fails. The judges use neither part: laion_clap takes a batch norm and picture transforms that are plain
Python, encodec a resampler. So the two operators that torchvision describes on import are declared without a body, and
torchaudio is told that it has no extension, which it allows for. Where the libraries load, nothing is done.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import torch

SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@functools.cache  # keeps the declarations alive, which end with their library
def spare_compiled_parts() -> list[Any]:
    """To be called before the first import of either package."""
    declared = []
    if not _loads("torchvision", "_C.so"):
        declared.append(torch.library.Library("torchvision", "FRAGMENT"))
        for operator in ("nms", "qnms"):
            declared[0].define(operator + SIGNATURE)
    if not _loads("torchaudio", "lib/_torchaudio*.so"):
        extension = types.ModuleType("torchaudio._extension")
        vars(extension).update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=lambda function: function, _check_cuda_version=str
        )
        sys.modules["torchaudio._extension"] = extension
    return declared


def _loads(package: str, pattern: str) -> bool:
    """Whether the library of a package loads; also true where there is no such library or package."""
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        for library in Path(folder).glob(pattern):
            try:
                torch.ops.load_library(library)
            except OSError:
                return False
    return True
