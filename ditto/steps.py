"""The K steps of a method that optimises x_T: what is around each of them, so that the method itself is its algorithm.

A progress bar, the count of model calls, the word to whoever observes, and the state of an unfinished batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from ditto.clips import Clips
from ditto.kept import Unfinished
from ditto.memory import count_calls
from ditto.method import Method, Request


class Optimising(Method, Protocol):
    """A method of K = `steps` steps; its `repr` tells its options."""

    steps: int


@contextmanager
def optimisation_steps(
    request: Request, method: Optimising, x_T: Tensor, optimizer: torch.optim.Optimizer, clips: Clips
) -> Iterator[Iterator[int]]:
    """Gives the numbers of the steps that are to be made: from 0, or from where an interrupted run had come to.

    They end before K where every clip has stopped. Between two of them the method takes a step of `optimizer`, which
    changes x_T [B, ...] in place, and calls `clips.finish`.
    """
    unfinished = Unfinished(request, method, x_T, optimizer, clips)
    first = unfinished.restore()
    title = type(method).__name__.upper()
    bar = tqdm(total=method.steps, initial=first, desc=title, unit="step", disable=not request.progress)
    with bar, unfinished, count_calls(request.model) as calls:
        before = clips.history.model_calls

        def numbers() -> Iterator[int]:
            for k in range(first, method.steps):
                if clips.all_stopped:
                    return
                clips.begin(k)
                yield k
                clips.history.model_calls = before + calls.count
                unfinished.note(k + 1)
                bar.set_postfix(loss=clips.mean_loss, refresh=False)
                bar.update()
                request.observe(clips.history.rows[-1])

        yield numbers()
