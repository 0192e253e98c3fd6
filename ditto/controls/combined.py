"""Several controls at once: L = Σ λ_i L_i (DITTO, appendix H).

The paper's λ for intensity: 1/40 with structure or with outpainting (2 s overlap, intensity only outside it), 1/4
with melody; the other control has λ = 1. Metrics are those of all parts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from ditto.controls.base import Control, ControlError, Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(eq=False)
class Combined(Control):
    """controls: by name; weights: λ of each name, 1 where missing. The first control names the metric that judges.

    f and y are the parts' features and targets, flattened one after the other: [B, D].
    """

    controls: Mapping[str, Control]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.controls:
            raise ControlError("a combined control needs at least one control")
        first = next(iter(self.controls.values()))
        self.metric, self.higher_is_better = first.metric, first.higher_is_better

    def make_target(self) -> Tensor:
        unknown = set(self.weights) - set(self.controls)
        if unknown:
            raise ControlError(f"weights for {sorted(unknown)}, but the controls are {list(self.controls)}")
        return self._set_parts({n: c.bind(self.model, self.clips, self.clip.frames) for n, c in self.controls.items()})

    def _set_parts(self, controls: Mapping[str, Control]) -> Tensor:
        """Take bound controls; returns the joint target."""
        self.controls = controls
        return torch.cat([control.target.flatten(1) for control in controls.values()], 1)

    def parts(self) -> list[Control]:
        return [part for control in self.controls.values() for part in control.parts()]

    def measure(self, sound: Sound) -> Tensor:
        return torch.cat([control.measure(sound).flatten(1) for control in self.controls.values()], 1)

    def distance(self, y_hat: Tensor, y: Tensor) -> Tensor:
        shapes = [control.target.shape[1:] for control in self.controls.values()]
        sizes = [shape.numel() for shape in shapes]
        terms = zip(self.controls.items(), shapes, y_hat.split(sizes, 1), y.split(sizes, 1), strict=True)
        losses = [
            self.weights.get(name, 1.0) * control.distance(a.unflatten(1, shape), b.unflatten(1, shape))
            for (name, control), shape, a, b in terms
        ]
        return torch.stack(losses).sum(0)

    def rating(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """That of the first control."""
        first = next(iter(self.controls.values()))
        shape = first.target.shape[1:]
        return first.rating(*(values[:, : shape.numel()].unflatten(1, shape) for values in (y_hat, y)))

    def score(self, sound: Sound) -> dict[str, Tensor]:
        return {name: value for control in self.controls.values() for name, value in control.score(sound).items()}

    def finish(self, x_0: Tensor, wave_BN: Tensor) -> Tensor:
        """By the part that edits, where there is one."""
        for control in self.controls.values():
            wave_BN = control.finish(x_0, wave_BN)
        return wave_BN

    def next_round(self, x_0: Tensor, wave_BN: Tensor) -> Self | None:
        following = {name: control.next_round(x_0, wave_BN) for name, control in self.controls.items()}
        if not any(following.values()):
            return None
        again = copy.copy(self)
        again.round = self.round + 1
        again.target = again._set_parts({name: following[name] or part for name, part in self.controls.items()})
        return again

    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """The first part; `parts` gives all of them."""
        next(iter(self.controls.values())).plot(ax, position, x_0, wave_BN)
