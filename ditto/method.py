"""A method: how a prompt and a control become a clip. A new one is one file and one yaml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ditto.models.base import MusicModel
from ditto.sampling import Hook, Sampler
from ditto.types import Condition, Generation, History

if TYPE_CHECKING:
    from ditto.controls.base import Control


class Method(Protocol):
    """What the runner calls; `control` is bound to the clips, x_T is [B, C, F, T], seeds one per clip."""

    def __call__(
        self,
        model: MusicModel,
        sampler: Sampler,
        control: Control,
        prompts: list[str],
        x_T: Tensor,
        *,
        seeds: Sequence[int],
        progress: bool = True,
    ) -> Generation: ...


@torch.no_grad()
def generate(
    model: MusicModel,
    sampler: Sampler,
    x_T: Tensor,
    condition: Condition,
    *,
    seeds: Sequence[int],
    null: Condition | None = None,
    hook: Hook | None = None,
    history: History | None = None,
) -> Generation:
    """Sample x_0 from x_T and make it heard, without gradients."""
    x_T = x_T.detach()
    x_0 = sampler(model, x_T, condition, hook=hook, seeds=seeds, null=null)
    return Generation(x_T, x_0, model.wave(x_0), history or History(stopped=[None] * len(x_T)))
