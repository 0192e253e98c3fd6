"""Text-only generation: the prompt, without the control. What every other method is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ditto.controls.base import Control
from ditto.memory import count_calls
from ditto.method import generate
from ditto.models.base import MusicModel
from ditto.sampling import Sampler
from ditto.types import Generation


@dataclass(frozen=True)
class TextOnly:
    """Sample from the given x_T."""

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
    ) -> Generation:
        with count_calls(model) as calls:
            generation = generate(model, sampler, x_T, model.encode(prompts), seeds=seeds)
        generation.history.model_calls = calls.count
        return generation
