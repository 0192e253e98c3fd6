"""A training checkpoint made small, to carry it from one loan of a machine to the next.

`python -m ditto.training.state pack RUN STATE` writes one file from RUN/last.ckpt; `unpack STATE RUN` writes last.ckpt
again, and training goes on: same step, learning rate, budget and stream of batches. `ditto.training.parts` cuts it.

Weights, steps and all small values are exact. Rounded to bfloat16 (a relative error of 2^-9 at most) are the moments of
the optimiser, and the average of the weights as its difference from them. Bytes are stored plane by plane (all first
bytes, then all second ones, ...) and compressed: signs and exponents of neighbours are alike, mantissas are not.
"""

import argparse
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ditto.types import UserError

SMALL = 1024  # tensors of no more elements are kept as they are
WIDTH = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
CHECKPOINT = "last.ckpt"


@dataclass(frozen=True)
class Planes:
    """A tensor as compressed byte planes. `dtype`: what it had; `stored`: what its bytes are.

    `content` is uint8: torch.save pickles `bytes` by an old protocol that makes half of them two bytes long.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    stored: torch.dtype
    content: Tensor

    @classmethod
    def of(cls, tensor: Tensor, stored: torch.dtype | None = None) -> "Planes":
        """float32 (as it is, or rounded to bfloat16) of any shape."""
        values = tensor.detach().cpu().to(stored or tensor.dtype).contiguous()
        width = values.element_size()
        planes = values.view(WIDTH[values.dtype]).numpy().reshape(-1, 1).view(np.uint8).reshape(-1, width).T
        content = torch.frombuffer(bytearray(zlib.compress(planes.tobytes(), 1)), dtype=torch.uint8)
        return cls(tuple(tensor.shape), tensor.dtype, values.dtype, content)

    def tensor(self) -> Tensor:
        width = self.stored.itemsize
        planes = np.frombuffer(zlib.decompress(self.content.numpy().tobytes()), np.uint8).reshape(width, -1)
        values = torch.from_numpy(planes.T.copy()).view(self.stored)
        return values.reshape(self.shape).to(self.dtype)


@dataclass(frozen=True)
class Average:
    """The average of a weight as its difference from the weight."""

    difference: Planes


def _large(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() > SMALL


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same dicts and lists with every leaf changed."""
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value)


def shrink(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A Lightning checkpoint with :class:`Planes` and :class:`Average` in place of its large tensors."""
    small = dict(checkpoint)
    moments, weights = small.pop("optimizer_states"), small.get("current_model_state", {})
    average = small.pop("state_dict")
    kept = {
        "optimizer_states": _each(moments, lambda v: Planes.of(v, torch.bfloat16) if _large(v) else v),
        "state_dict": {
            name: Average(Planes.of(value - weights[name].to(value.device), torch.bfloat16))
            if _large(value) and name in weights
            else value
            for name, value in average.items()
        },
    }
    return {key: _each(value, lambda v: Planes.of(v) if _large(v) else v) for key, value in (small | kept).items()}


def restore(small: dict[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`shrink`."""
    whole = _each(small, lambda v: v.tensor() if isinstance(v, Planes) else v)
    weights = whole.get("current_model_state", {})
    whole["state_dict"] = {
        name: weights[name] + value.difference.tensor() if isinstance(value, Average) else value
        for name, value in whole["state_dict"].items()
    }
    return whole


def _write(content: Any, path: Path) -> None:
    """As a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save(content, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def pack(run: Path, state: Path) -> int:
    """Write `state` from the run's checkpoint; its step. Training may go on meanwhile: checkpoints are whole."""
    source = run / CHECKPOINT
    if not source.exists():
        raise UserError(f"no checkpoint {source}: train first with `python -m ditto.training.train`")
    # weights_only=False here and below: Lightning keeps its own loop state; the files are ones we wrote.
    checkpoint = torch.load(source, map_location="cpu", weights_only=False)
    _write(shrink(checkpoint), state)
    return int(checkpoint["global_step"])


def unpack(state: Path, run: Path) -> int:
    """Write the run's checkpoint from `state`; its step. UserError where the run is further on already."""
    if not state.exists():
        raise UserError(f"no packed state {state}: join its parts with `python -m ditto.training.parts join {state}`")
    checkpoint = restore(torch.load(state, map_location="cpu", weights_only=False))
    step, target = int(checkpoint["global_step"]), run / CHECKPOINT
    if target.exists():
        there = int(torch.load(target, map_location="cpu", weights_only=False)["global_step"])
        if there >= step:
            raise UserError(f"{target} is at step {there}, {state} at {step}: remove the one that is not wanted")
    _write(checkpoint, target)
    return step


def main(argv: list[str] | None = None) -> int:
    """Pack or unpack; user errors are one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m ditto.training.state", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="action", required=True)
    for name, order in (("pack", ("run", "state")), ("unpack", ("state", "run"))):
        command = commands.add_parser(name)
        for argument in order:
            command.add_argument(argument, type=Path)
    args = parser.parse_args(argv)
    try:
        if args.action == "pack":
            step = pack(args.run, args.state)
            print(f"{args.state}: step {step}, {args.state.stat().st_size / 2**20:.1f} MiB")
        else:
            print(f"{args.run / CHECKPOINT}: step {unpack(args.state, args.run)}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
