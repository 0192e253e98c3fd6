"""Text-only generation: the prompt, without the control. What every other method is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from ditto.method import Request, generate
from ditto.types import Generation


@dataclass(frozen=True)
class TextOnly:
    """Sample from the given x_T."""

    def __call__(self, request: Request) -> Generation:
        return generate(request)
