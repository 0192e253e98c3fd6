"""The state of an unfinished batch: an optimisation that is stopped goes on at the step it had reached.

Kept are x_T, the optimiser's state, the bookkeeping of the clips and the history, as they are between two steps; with
the random numbers drawn from the clips' seeds that is everything, and the result is, bit for bit, that of a run which
nobody stopped. State is written every `every_s` seconds, and when anything ends the optimisation early: an error,
Ctrl-C, SIGTERM. What is killed outright goes on from the last write.

A state belongs to one batch: its file begins with the SHA-256 of the request, the method's options and the data.
Where that does not fit (other clips or options, another version of PyTorch, a damaged file) the batch starts anew.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from torch import Tensor

from ditto.run_directory import write_bytes
from ditto.types import UserError

if TYPE_CHECKING:
    from ditto.clips import Clips
    from ditto.method import Method, Request

_DIGEST = 32  # bytes


class Kept(Protocol):
    """A place for the state of one batch."""

    every_s: float  # between two writes

    def read(self) -> bytes | None: ...

    def write(self, data: bytes) -> None: ...


@dataclass
class StateFile:
    """A file that is either the old state or the whole new one; whoever made it removes it."""

    path: Path
    every_s: float = 60.0

    def read(self) -> bytes | None:
        return self.path.read_bytes() if self.path.is_file() else None

    def write(self, data: bytes) -> None:
        write_bytes(self.path, data)


class Unfinished:
    """`restore`, then `note` after every step; leaving the context writes what is not written yet.

    A snapshot is taken after each step, in the memory of the CPU: an interrupt may come when an optimiser has changed
    half of its state. It is a few latents per clip, little beside a step. Without a place to keep it nothing is done.
    """

    def __init__(
        self, request: Request, method: Method, x_T: Tensor, optimizer: torch.optim.Optimizer, clips: Clips
    ) -> None:
        self.kept = request.kept
        self.identity = b"" if request.kept is None else _identity(request, method)
        self.x_T, self.optimizer, self.clips = x_T, optimizer, clips
        self.snapshot: dict[str, Any] | None = None  # None: nothing that is not written
        self.started = self.written = time.perf_counter()

    def restore(self) -> int:
        """Take up the kept state, if there is one; the number of the step to go on with."""
        if self.kept is None:
            return 0
        try:
            data = self.kept.read()
            if data is None:
                return 0
            if data[:_DIGEST] != self._digest(data[_DIGEST:]):
                raise ValueError("it is damaged, or of other clips or options")
            state = torch.load(io.BytesIO(data[_DIGEST:]), map_location="cpu", weights_only=True)
            self.optimizer.load_state_dict(state["optimizer"])
        except Exception as error:  # a state is a convenience: without it the same clips are made, later
            _warn(f"the kept state of a batch is not used ({error}); the batch starts at its first step")
            return 0
        with torch.no_grad():
            self.x_T.copy_(state["x_T"])
        self.clips.restore(state["clips"])
        self.clips.history.seconds_before = state["seconds"]
        return state["step"]

    def note(self, step: int) -> None:
        """The state is that before step number `step`."""
        if self.kept is None:
            return
        seconds = self.clips.history.seconds_before + time.perf_counter() - self.started
        state = {"x_T": self.x_T, "optimizer": self.optimizer.state_dict(), "clips": self.clips.state()}
        self.snapshot = _copied({"step": step, "seconds": seconds, **state})
        if time.perf_counter() - self.written >= self.kept.every_s:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Write where the steps were cut short, and where they took long: the batch is not saved before it is heard."""
        if self.kept is not None and (error or time.perf_counter() - self.started >= self.kept.every_s):
            self._write()

    def _write(self) -> None:
        if self.kept is None or self.snapshot is None:
            return
        buffer = io.BytesIO()
        torch.save(self.snapshot, buffer)
        data = buffer.getvalue()
        try:
            self.kept.write(self._digest(data) + data)
            self.snapshot = None
        except (OSError, UserError) as error:
            _warn(f"the state of a batch is not kept: {error}")
        self.written = time.perf_counter()

    def _digest(self, data: bytes) -> bytes:
        digest = hashlib.sha256(self.identity)
        digest.update(data)
        return digest.digest()


def _identity(request: Request, method: Method) -> bytes:
    """Which batch a state belongs to. x_T follows from the seeds, the target from the control and the clips."""
    model, control = request.model, request.control
    options = [method, request.sampler, control, control.clips, control.round, request.prompts, list(request.seeds)]
    latent = [tuple(request.x_T.shape), request.x_T.dtype, model.name, model.weights_hash, str(torch.__version__)]
    words = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(options + latent))  # addresses differ between processes
    return hashlib.sha256(words.encode()).digest()


def _copied(value: Any) -> Any:
    """The same, its tensors copied to the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, list | tuple) else value


def _warn(words: str) -> None:
    print(f"warning: {words}", file=sys.stderr, flush=True)
