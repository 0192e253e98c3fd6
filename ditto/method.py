"""A method: how a prompt and a control become a clip. A new one is one file and one yaml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ditto.memory import count_calls
from ditto.models.base import MusicModel
from ditto.sampling import Hook, Sampler
from ditto.types import Condition, Generation, History

if TYPE_CHECKING:
    from ditto.controls.base import Control
    from ditto.kept import Kept

Observer = Callable[[dict[str, Any]], None]


def unobserved(row: dict[str, Any]) -> None:
    """Nobody looks on."""


@dataclass(frozen=True, eq=False)
class Request:
    """What a method is asked for: B clips, made together. `dataclasses.replace` changes a part of it.

    observe is told every row of the history (`ditto.types.History`) as soon as it is written; what it raises ends the
    method. kept is where a method that optimises leaves the state of an unfinished batch, and looks for it first.
    """

    model: MusicModel
    sampler: Sampler
    control: Control  # bound to the clips
    prompts: list[str]
    x_T: Tensor  # [B, C, F, T]; a method does not change it
    seeds: Sequence[int]  # one per clip
    progress: bool = True  # show a bar
    observe: Observer = unobserved
    kept: Kept | None = None


class Method(Protocol):
    """What the runner calls."""

    def __call__(self, request: Request) -> Generation: ...


@torch.no_grad()
def generate(
    request: Request,
    *,
    condition: Condition | None = None,
    null: Condition | None = None,
    hook: Hook | None = None,
    history: History | None = None,
) -> Generation:
    """Sample x_0 from the request's x_T and make it heard, without gradients; its model calls are added to `history`.

    condition and null: the encoded prompts and the empty one, where they are known already.
    """
    model, x_T = request.model, request.x_T.detach()
    history = history or History(stopped=[None] * len(x_T))
    condition = condition or model.encode(request.prompts)
    with count_calls(model) as calls:
        x_0 = request.sampler(model, x_T, condition, hook=hook, seeds=request.seeds, null=null)
    history.model_calls += calls.count
    return Generation(x_T, x_0, model.wave(x_0), history)
