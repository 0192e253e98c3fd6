"""Music ControlNet: the prompt, with a control branch trained on this model (Wu et al. 2023, arXiv 2311.07069).

ε̂(x_t, t, c) is computed with the branch's residuals (baselines/controlnet_branch.py), and sampled as any model; CFG
guides by the text alone, as both of its halves get the controls. No gradient and no optimisation: a call of the network
costs one pass of the base and one of the branch. Its controls are those it was trained for, intensity and melody, alone
or together, in all frames or in some.

Options: weights = null are the packaged ones. They fit one model, the embedded one; others need a training of their
own (`python -m ditto.training.train stage=controlnet`, then `python -m baselines.controlnet_weights`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from baselines.controlnet_branch import ControlBranch, Controls, FrameControl
from baselines.controlnet_controls import of_task
from baselines.controlnet_weights import PACKAGED, load_branch
from ditto.method import Request, generate
from ditto.models.base import MusicModel
from ditto.models.embedded import Embedded
from ditto.types import Condition, Generation


class Controlled(MusicModel):
    """`base` with a branch and the controls of B clips: a model that any sampler or method takes instead.

    `denoise` takes B clips in their order, or several times B one after the other (as CFG's batched call does).
    """

    def __init__(self, base: Embedded, branch: ControlBranch, controls: Controls, scale: float = 1.0) -> None:
        super().__init__()
        self.base, self.branch, self.controls, self.scale = base, branch, controls, scale
        self.name, self.weights_hash, self.clip, self.shape = base.name, base.weights_hash, base.clip, base.shape
        self.schedule, self.dtype, self.x0_bound = base.schedule, base.dtype, base.x0_bound

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        # The branch's precision is its own: while it is being trained it is not that of the base.
        dtype = self.branch.mid_out.weight.dtype
        tokens, mask, pooled = self.base.text_inputs(condition)
        patches = self.base.network.patches(x_t.to(dtype))
        controls = {name: _fitted(control, len(x_t)) for name, control in self.controls.items()}
        residuals = self.branch(patches, t, tokens.to(dtype), mask, pooled.to(dtype), controls)
        return self.base.denoise(x_t, t, condition, residuals.scaled(self.scale).to(self.base.dtype))

    def encode(self, prompts: list[str]) -> Condition:
        return self.base.encode(prompts)

    def decode(self, x_0: Tensor) -> Tensor:
        return self.base.decode(x_0)

    def vocode(self, mel_BFT: Tensor) -> Tensor:
        return self.base.vocode(mel_BFT)

    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        return self.base.encode_audio(wave_BN)

    def encode_mel(self, mel_BFT: Tensor) -> Tensor:
        return self.base.encode_mel(mel_BFT)

    def readout_blocks(self) -> list[nn.Module]:
        return self.base.readout_blocks()


def _fitted(control: FrameControl, batch: int) -> FrameControl:
    clips = len(control.given_BT)
    if batch % clips:
        raise ValueError(f"controls of {clips} clips do not fit a batch of {batch}")
    return control.repeat(batch // clips)


@dataclass(frozen=True)
class ControlNet:
    """Sample from the given x_T with the control branch. weights: a folder, or null for those shipped; scale: of what
    the branch adds, 1 as it was trained, 0 for the prompt alone."""

    packaged: ClassVar[Path] = PACKAGED
    weights: str | None = None
    scale: float = 1.0

    def __call__(self, request: Request) -> Generation:
        controls = of_task(request.control)
        base, branch = load_branch(request.model, self.weights)
        return generate(replace(request, model=Controlled(base, branch, controls, self.scale)))
