"""Work on many files by several processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

ResultT = TypeVar("ResultT")


def ordered_map(work: Callable[[Path], ResultT], paths: list[Path], workers: int) -> Iterator[ResultT]:
    """Results in the order of the files; a few batches at a time, so that finished ones don't pile up."""
    if workers == 1:
        yield from map(work, paths)
        return
    size = 8 * workers
    # Not forked: the parent may already run threads of torch.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for start in range(0, len(paths), size):
            yield from pool.map(work, paths[start : start + size])
