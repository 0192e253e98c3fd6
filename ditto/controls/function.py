"""Any differentiable function of x_0 or of the wave as a control.

f = the given function, y = the given target, L = mean squared error in the function's own units (squared).
Metric: <name>_mse.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ditto.controls.base import Control, ControlError, Sound
from ditto.types import ClipSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUTS = ("wave", "x_0")


@dataclass(eq=False)
class FunctionControl(Control):
    """function: [B, N] (of: wave) or [B, C, F, T] (of: x_0) -> [B, ...], in torch, one clip apart from the others.

    Where it has parameters called sample_rate, hop or n_fft that are not given, they get the values of the model.
    target: a number, or nested lists, that broadcast to the function's value for one clip. name: of the metric.
    """

    function: Callable[[Tensor], Tensor]
    target_value: float | Sequence
    of: str = "wave"
    name: str = "function"

    def __post_init__(self) -> None:
        self.metric = f"{self.name}_mse"

    def make_target(self) -> Tensor:
        if self.of not in INPUTS:
            raise ControlError(f"of={self.of} is unknown: choose {' or '.join(INPUTS)}")
        self._bound = _with_grid(self.function, self.clip)
        value = self._probe()
        try:
            wanted = torch.as_tensor(_plain(self.target_value), dtype=value.dtype)
            return wanted.expand(value.shape[1:]).expand(len(self.clips), *value.shape[1:])
        except (ValueError, TypeError, RuntimeError) as error:
            shape = list(value.shape[1:])
            raise ControlError(f"the target of '{self.name}' does not fit its value of shape {shape}") from error

    def _probe(self) -> Tensor:
        """The function's value on an empty clip: its shape is the target's."""
        shape = (1, self.clip.samples) if self.of == "wave" else (1, *self.model.shape_of(self.clip.frames))
        value = self._bound(torch.zeros(shape, dtype=self.model.latent_dtype, device=self.model.device))
        if not isinstance(value, Tensor) or value.shape[:1] != (1,):
            raise ControlError(f"the function '{self.name}' must return a tensor with the batch first")
        return value

    def measure(self, sound: Sound) -> Tensor:
        return self._bound(sound.wave_BN if self.of == "wave" else sound.x_0)

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """Target and value in the order of their elements."""
        target, achieved = self._achieved(position, x_0, wave_BN)
        marker = "o" if target.size == 1 else ""
        ax.plot(target.ravel(), color="black", linestyle="--", marker=marker, label="target")
        ax.plot(achieved.ravel(), marker=marker, label="achieved")
        ax.set(xlabel="element", ylabel=self.name)
        ax.legend(loc="best", fontsize="small")


def _with_grid(function: Callable[..., Tensor], clip: ClipSpec) -> Callable[[Tensor], Tensor]:
    """The function, told the model's rate, hop and window where it asks for them."""
    grid = {"sample_rate": clip.sample_rate, "hop": clip.hop, "n_fft": clip.window()}
    given = getattr(function, "keywords", {})
    try:
        asked = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function of a C extension tells nothing
        asked = {}  # type: ignore[assignment]
    return partial(function, **{name: value for name, value in grid.items() if name in asked and name not in given})


def _plain(value: float | Sequence) -> float | list:
    """Nested lists out of whatever sequence a config gave."""
    return value if isinstance(value, int | float) else [_plain(item) for item in value]
