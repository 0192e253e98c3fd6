"""torch.compile of a network's blocks: fewer, larger kernels, for minutes of compiling before the first step.

Block by block, not the network as one graph: that was measured too (torch 2.13, model=embedded in bf16 on a CPU), and
its gradient was wrong by 20 %, where each block's own is as near to float32 as that of the uncompiled network.
Only calls that record gradients are compiled: an optimisation makes them K x T times, the sampling after it comes once.
One graph of each block for each combination of shapes and guidance (nothing is dynamic: a run has few). Checkpointed
steps run the compiled pass again in backward, as they run any other. Parameters are frozen, so the backward graphs have
the gradients of the inputs only. Results differ from the uncompiled ones by rounding, within the precision.
Compiled code stays on the disk (TORCHINDUCTOR_CACHE_DIR), so a second process only traces and loads it.

default          fused kernels: C++ on a CPU, Triton on a GPU
reduce-overhead  also CUDA graphs: one launch a block; the same as default on a CPU
max-autotune     also tries several kernels for every matrix product and convolution, and takes the fastest
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from ditto.types import UserError

MODES = ("default", "reduce-overhead", "max-autotune")
GRAPHS = 64  # of one kind of block; PyTorch's own limit of 8 is reached by two sizes of a batch


def compile_blocks(blocks: Iterable[nn.Module], mode: str, device: torch.device) -> None:
    """Make the blocks' calls with gradients run compiled; a block that has hooks inside runs as it was.

    A copy of a block compiles its own. UserError for an unknown mode, or where the device's compiler is missing.
    """
    if mode not in MODES:
        raise UserError(f"unknown compile={mode}: choose {', '.join(MODES)}, or null")
    _check_compiler(device)
    for block in blocks:
        eager = type(block).forward
        fast = torch.compile(eager, mode=mode, fullgraph=True, dynamic=False)
        block.forward = partial(_forward, fast, eager, block)


def _forward(fast: Callable[..., Any], eager: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled() or _hooked(module):
        return eager(module, *args, **kwargs)
    limit = torch.compiler.config.patch(recompile_limit=GRAPHS)  # type: ignore[attr-defined]
    with limit, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\._dynamo")  # of cached functions that are traced through
        return fast(module, *args, **kwargs)


def _hooked(module: nn.Module) -> bool:
    """A compiled graph does not notice hooks that came after it: readout heads would get nothing."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def _check_compiler(device: torch.device) -> None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise UserError(
            f"compile needs the C++ compiler {compiler}: install it (Debian: apt install g++), or leave it out"
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError("compile on a GPU needs triton: pip install triton, or leave compile out")
