"""Figures of a model from the shapes of its tensors alone: no GPU, no weights, seconds of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ditto.memory import GIB
from ditto.models.base import MusicModel
from eval.efficiency.cases import Case
from eval.efficiency.live import LiveTensors
from eval.models.pieces import Piece, Pieces, backward, checkpointed, forward, gib, pieces
from eval.models.shapes import shapes_only, without_values
from eval.sets import Row, row

GFLOP = 1e9


def counted_rows(case: Case) -> list[Row]:
    """Everything that can be said of the case's model without running it."""
    model = case.model
    ghost = pieces(case, without_values(model), model.encode(["a song"]), model.encode([""]))
    return [*_grid_rows(model), *_size_rows(model), *_flop_rows(ghost, case.sampler_steps), *_memory_rows(ghost, case)]


class Operations(TorchDispatchMode):
    """Adds up the operations of what PyTorch has a formula for: matrix products, convolutions, attention.

    As torch.utils.flop_counter.FlopCounterMode, without its count by module, whose hooks some networks here break.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def flops(function: Callable[[], object]) -> int:
    """Operations of whatever the function does, backward passes included."""
    with shapes_only(fused=False), Operations() as counter:
        function()
    return counter.total


def held_bytes(piece: Piece, parts: Pieces) -> int:
    """What is still there when the piece has run with gradients on: what it saved, and its result."""
    x = parts.latent()
    with shapes_only(fused=True), LiveTensors() as live:
        result = piece(x)
        held = live.now
        del result
    return held


def peak_bytes(piece: Piece, parts: Pieces) -> int:
    """The most that is there at once while the piece runs and its gradient is taken, beside weights and input."""
    x = parts.latent()
    with shapes_only(fused=True), LiveTensors() as live:
        backward(piece, x)
    return live.peak


def _grid_rows(model: MusicModel) -> list[Row]:
    clip, (channels, bins, columns) = model.clip, model.shape
    figures = {
        "clip_seconds": clip.seconds,
        "sample_rate": clip.sample_rate,
        "frame_rate": clip.frame_rate,
        "latent_rate": columns / clip.seconds,
        "latent_channels": channels,
        "latent_bins": bins,
        "latent_columns": columns,
    }
    return [row(metric, value, 1) for metric, value in figures.items()]


def _size_rows(model: MusicModel) -> list[Row]:
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    rows = [row(f"parameters_{name}", number, 1) for name, number in parts.items() if number]
    return [*rows, row("weights_gib", gib(model), 1)]


def _flop_rows(parts: Pieces, steps: int) -> list[Row]:
    def of(work: Callable[[Piece, Tensor], Tensor], piece: Piece) -> float:
        return flops(lambda: work(piece, parts.latent())) / GFLOP

    call, call_backward = of(forward, parts.call), of(backward, checkpointed(parts.call))
    wave, wave_backward = of(forward, parts.wave), of(backward, parts.wave)
    figures = {
        "gflop_call": call,
        "gflop_call_backward": call_backward,
        "gflop_wave": wave,
        "gflop_wave_backward": wave_backward,
        "gflop_step": steps * call_backward + wave_backward,
    }
    return [row(metric, value, 1) for metric, value in figures.items()]


def _memory_rows(parts: Pieces, case: Case) -> list[Row]:
    latents = (case.sampler_steps + 1) * parts.latent().nbytes
    call, wave = peak_bytes(parts.call, parts), peak_bytes(parts.wave, parts)
    figures = {
        "saved_call_gib": held_bytes(parts.call, parts),
        "saved_wave_gib": held_bytes(parts.wave, parts),
        "latents_gib": latents,
        "peak_call_gib": call,
        "peak_wave_gib": wave,
        "peak_gib": latents + max(call, wave),  # the sound's backward pass is over when the chain's begins
    }
    return [row(metric, value / GIB, 1) for metric, value in figures.items()]
