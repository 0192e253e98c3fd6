"""The small interface between a text-to-music diffusion model and everything that uses one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ditto.models.frozen import forget_inputs
from ditto.schedules import NoiseSchedule
from ditto.types import ClipSpec, Condition, UserError


class MusicModel(ABC, nn.Module):
    """A frozen model. Everything is differentiable with respect to its tensor inputs; parameters never get gradients.

    Latents, mels and waves are float32 whatever the dtype of the network (float64 if the network is float64, which
    only tests use). The number of frames is read from the input, so a longer x_T makes a longer clip. Nothing here
    may switch autograd on or off: whether to record is the caller's decision.

    A model with a spectrogram inside writes `decode` and `vocode`; one whose decoder makes sound at once writes `wave`.
    Legend: B clips, (C, F) channels and frequencies of a latent column, T columns of x_0, M mel bins, A analysis frames
    (A = T * clip.stride), N samples (N = A * clip.hop).
    """

    name: str
    weights_hash: str  # which weights these are: goes into the identity of a run
    clip: ClipSpec
    shape: tuple[int, int, int]  # (C, F, T) of x_T and x_0 for one clip of the model's own length
    frame_multiple: int = 1  # a clip's analysis frames are a multiple of this
    schedule: NoiseSchedule
    dtype: torch.dtype  # of the network
    x0_bound: float = float("inf")  # clean data lie in [-x0_bound, x0_bound]; used by dynamic thresholding only

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def latent_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @abstractmethod
    def encode(self, prompts: list[str]) -> Condition:
        """Prompts to a condition on the model's device; "" is the null condition of classifier-free guidance."""

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """ε̂(x_t, t, c): [B, C, F, T], t [B] -> [B, C, F, T], in the dtype of x_t; t as `schedule` counts it."""

    def decode(self, x_0: Tensor) -> Tensor:
        """[B, C, F, T] -> natural logarithm of the mel amplitude [B, M, A]."""
        raise UserError(f"model={self.name} decodes to sound at once: it has no mel, use the wave")

    def vocode(self, mel_BMA: Tensor) -> Tensor:
        """[B, M, A] -> wave [B, N] in [-1, 1]."""
        raise UserError(f"model={self.name} has no vocoder: it makes no sound from a mel")

    @abstractmethod
    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        """The way back: wave [B, N] -> x_0 [B, C, F, T]."""

    def encode_mel(self, mel_BMA: Tensor) -> Tensor:
        """The inverse of `decode`: [B, M, A] -> x_0 [B, C, F, T]. Only training needs it."""
        raise UserError(f"model={self.name} has no way from log-mels to x_0: give it `encode_mel`")

    def readout_blocks(self) -> list[nn.Module]:
        """The decoder blocks of the network whose outputs [B, D, F', T'] a readout head may read, coarse to fine."""
        raise UserError(f"model={self.name} names no blocks to read from: give it `readout_blocks`")

    def wave(self, x_0: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, N]."""
        return self.vocode(self.decode(x_0))

    def shape_of(self, frames: int) -> tuple[int, int, int]:
        """(C, F, T) of a clip of so many analysis frames."""
        channels, rows, _ = self.shape
        return channels, rows, frames // self.clip.stride

    def frames(self, seconds: float) -> int:
        """The analysis frames of a clip near to this duration that the model can make."""
        return max(round(seconds * self.clip.frame_rate / self.frame_multiple), 1) * self.frame_multiple

    def check_frames(self, frames: int) -> None:
        """UserError unless the model can make a clip of so many analysis frames."""
        if frames < 1 or frames % self.frame_multiple:
            near = self.frames(frames / self.clip.frame_rate)
            raise UserError(
                f"a clip of {frames} frames does not fit model={self.name}, which makes multiples of "
                f"{self.frame_multiple}: set frames={near}, or seconds={near / self.clip.frame_rate:.2f}"
            )

    def freeze(self) -> None:
        """Evaluation mode, no gradients for parameters, nothing kept for them. To end every constructor with."""
        self.eval().requires_grad_(False)
        forget_inputs(self)


def hash_weights(module: nn.Module) -> str:
    """16 hex digits that change when any weight changes."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
