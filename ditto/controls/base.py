"""What a control is: a differentiable feature f of the generated clip, its target y, a loss L per clip and a metric.

A control is configured first, then bound to a model and a list of clips (`bind` returns a copy with the targets, one
per clip). A new one is one file: `make_target`, `measure`, `distance` where mean squared error is not meant, and
`rating` where the metric is not that distance.

Times are given in seconds and bound to the model's own two grids (`ditto.types.ClipSpec`): analysis frames for what is
heard, columns of x_0 for what is painted. The same where the model works on the spectrogram itself.

Legend: B clips, C channels, F frequencies of x_0, T frames, N samples.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ditto.types import ClipRequest, ClipSpec, Generation, UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ditto.models.base import MusicModel


class ControlError(UserError):
    """A control that cannot be bound as it is configured; the message says what is possible."""


class Sound:
    """A batch of x_0 and what it sounds like, computed when asked for and only once."""

    def __init__(self, model: MusicModel, x_0: Tensor, wave_BN: Tensor | None = None) -> None:
        self.model, self.x_0 = model, x_0
        if wave_BN is not None:
            self.__dict__["wave_BN"] = wave_BN

    @cached_property
    def mel_BFT(self) -> Tensor:
        return self.model.decode(self.x_0)

    @cached_property
    def wave_BN(self) -> Tensor:
        return self.model.wave(self.x_0)


class Control(ABC):
    """f, y, L and the metric. Everything is batch-first, and a clip's values never depend on its batch mates."""

    metric: str  # the entry of `metrics` that judges this control
    higher_is_better: bool = False
    model: MusicModel
    clip: ClipSpec
    clips: list[ClipRequest]
    target: Tensor  # [B, ...]
    round: int = 0  # how many times `next_round` was followed

    def bind(self, model: MusicModel, clips: list[ClipRequest], frames: int | None = None) -> Self:
        """A copy with the targets of these clips; `frames` where they are longer than the model's own clips."""
        bound = copy.copy(self)
        bound.model, bound.clips = model, list(clips)
        bound.clip = replace(model.clip, frames=frames or model.clip.frames)
        with torch.no_grad():
            bound.target = bound.make_target().to(model.device)
        return bound

    def select(self, positions: list[int]) -> Self:
        """The same bound control for some of its clips, in any order."""
        return self.bind(self.model, [self.clips[i] for i in positions], self.clip.frames)

    @abstractmethod
    def make_target(self) -> Tensor:
        """y [B, ...] for `self.clips`; ControlError where an option does not fit `self.clip`."""

    @abstractmethod
    def measure(self, sound: Sound) -> Tensor:
        """f of a batch, [B, ...] as the target."""

    def features(self, x_0: Tensor) -> Tensor:
        """f(x_0): [B, C, F, T] -> [B, ...]."""
        return self.measure(Sound(self.model, x_0))

    def distance(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """L(ŷ, y) per clip, [B, ...] x [B, ...] -> [B]: the mean squared error unless overridden."""
        return mean_squared_error(y_hat, y)

    def rating(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """The metric that judges this control, [B, ...] x [B, ...] -> [B]: the distance unless overridden."""
        return self.distance(y_hat, y)

    def judge(self, x_0: Tensor) -> tuple[Tensor, Tensor]:
        """L(f(x_0), y) per clip and, without gradient, the metric of the same f(x_0): [B, C, F, T] -> [B], [B]."""
        y_hat = self.features(x_0)
        y = self.target.to(y_hat)
        return self.distance(y_hat, y), self.rating(y_hat.detach(), y)

    def loss(self, x_0: Tensor) -> Tensor:
        """L(f(x_0), y) per clip, [B, C, F, T] -> [B]."""
        return self.judge(x_0)[0]

    def score(self, sound: Sound) -> dict[str, Tensor]:
        """The metrics, [B] each: the rating by default."""
        y_hat = self.measure(sound)
        return {self.metric: self.rating(y_hat, self.target.to(y_hat))}

    @torch.no_grad()
    def metrics(self, x_0: Tensor, wave_BN: Tensor) -> dict[str, Tensor]:
        """What is reported, [B] each; taken from the given wave where the control is audible."""
        return self.score(Sound(self.model, x_0.detach(), wave_BN.detach()))

    def finish(self, x_0: Tensor, wave_BN: Tensor) -> Tensor:
        """The sound to write, [B, N] -> [B, N']: edits stitch the new clip to the reference."""
        return wave_BN

    def next_round(self, x_0: Tensor, wave_BN: Tensor) -> Control | None:
        """The control of the clip that follows this one (outpainting repeats itself); None when the piece is done."""
        return None

    def parts(self) -> list[Control]:
        """The controls to plot, each on its own axes."""
        return [self]

    @abstractmethod
    def plot(self, ax: Axes, position: int, x_0: Tensor, wave_BN: Tensor) -> None:
        """Draw target and achieved feature of one clip of the batch."""

    def _achieved(self, position: int, x_0: Tensor, wave_BN: Tensor) -> tuple[Any, Any]:
        """(target, feature) of one clip as arrays, for plots."""
        with torch.no_grad():
            y_hat = self.measure(Sound(self.model, x_0, wave_BN))[position]
        return self.target[position].float().cpu().numpy(), y_hat.float().cpu().numpy()

    def times(self) -> Any:
        """The centre of each analysis frame in seconds, [A]."""
        return torch.arange(self.clip.frames).numpy() / self.clip.frame_rate

    def latent_times(self) -> Any:
        """The centre of each column of x_0 in seconds, [T]."""
        return torch.arange(self.clip.latent_frames).numpy() * self.clip.latent_hop / self.clip.sample_rate


def mean_squared_error(y_hat: Tensor, y: Tensor) -> Tensor:
    """[B, ...] x [B, ...] -> [B]."""
    return (y_hat - y).square().flatten(1).mean(1)


def rounds(control: Control, generate: Callable[[Control, int], Generation]) -> Iterator[tuple[Control, Generation]]:
    """Generate clip after clip until the control is satisfied; the last pair's `finish` is the whole piece.

    `generate(control, round)` makes one batch; each round wants noise of its own.
    """
    following: Control | None = control
    while following is not None:
        generation = generate(following, following.round)
        yield following, generation
        following = following.next_round(generation.x_0, generation.wave_BN)
