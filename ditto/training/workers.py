"""Work on many files by several processes, and the commands that prepare both splits of the music with it."""

import argparse
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import torch
from torch import Tensor

from ditto import allocator
from ditto.build import pick_device
from ditto.errors import UserError

ResultT = TypeVar("ResultT")


def ordered_map(work: Callable[[Path], ResultT], paths: list[Path], workers: int) -> Iterator[ResultT]:
    """Results in the order of the files; a few batches at a time, so that finished ones don't pile up."""
    if workers == 1:
        yield from map(work, paths)
        return
    size = 8 * workers
    # Not forked: the parent may already run threads of torch.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        for start in range(0, len(paths), size):
            yield from pool.map(work, paths[start : start + size])


def map_waves(
    compute: Callable[[Tensor], Tensor], paths: list[Path], workers: int, device: str = "cpu"
) -> Iterator[np.ndarray]:
    """compute(wave of a file [N], float32, on the device) as float16, in the order of the files.

    On a CPU `workers` processes compute; with another device as many threads read ahead and this one computes.
    `compute` has to be a function of a module.
    """
    if device == "cpu":
        yield from ordered_map(partial(_file, compute), paths, workers)
        return
    with ThreadPoolExecutor(workers) as readers, torch.no_grad():
        ahead: deque[Future[np.ndarray]] = deque()
        for path in [*paths, *[None] * (4 * workers)]:
            if path is not None:
                ahead.append(readers.submit(_read, path))
            if len(ahead) > 4 * workers or (path is None and ahead):
                wave_N = torch.from_numpy(ahead.popleft().result()).to(device)
                yield compute(wave_N).contiguous().to(torch.float16).cpu().numpy()


def _read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


@torch.no_grad()
def _file(compute: Callable[[Tensor], Tensor], path: Path) -> np.ndarray:
    return compute(torch.from_numpy(_read(path))).contiguous().to(torch.float16).numpy()


def _begin() -> None:
    """Of a worker."""
    torch.set_num_threads(1)
    allocator.keep_buffers()


def prepare_splits(prog: str, description: str, build: Callable[[Path, str, int, str], str]) -> int:
    """The command `prog`: build(data root, split, workers, device) for train and val, printing what it says.

    Returns the exit code.

    User errors are one line and exit code 2.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--device", default="auto", help="what computes (default: a GPU if there is one)")
    arguments = parser.parse_args()
    workers = max(1, arguments.workers)
    allocator.keep_buffers()
    try:
        device = pick_device(arguments.device)
        for split in ("train", "val"):
            print(f"{split}: {build(Path(os.environ.get('DITTO_DATA', 'data')), split, workers, device)}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
