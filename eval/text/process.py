"""A fence around packages that change the whole process: what they leave behind is put back.

Kept: grad mode, default dtype, random states of Python, NumPy and torch (CPU), sys.path; their prints are swallowed.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def fenced() -> Iterator[None]:
    """Inside: no gradients and no output. After: the process is as it was, also when the package raised."""
    grad, dtype, path = torch.is_grad_enabled(), torch.get_default_dtype(), list(sys.path)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        sys.path[:] = path
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
