"""Work on many files by several processes, and the commands that prepare both splits of the music with it."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from ditto import allocator
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


def _begin() -> None:
    """Of a worker."""
    torch.set_num_threads(1)
    allocator.keep_buffers()


def prepare_splits(prog: str, description: str, build: Callable[[Path, str, int], str]) -> int:
    """The command `prog`: build(data root, split, workers) for train and val, printing what it says; the exit code.

    User errors are one line and exit code 2.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    workers = max(1, parser.parse_args().workers)
    allocator.keep_buffers()
    try:
        for split in ("train", "val"):
            print(f"{split}: {build(Path(os.environ.get('DITTO_DATA', 'data')), split, workers)}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
