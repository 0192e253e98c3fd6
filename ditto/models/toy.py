"""A model that runs in milliseconds, for tests and for trying things out. It has random weights and makes no music.

Denoiser: for data of unit variance the best linear estimate is ε̂ = √(1−ᾱ_t) x_t; a small convolutional network with
time and text input is added to it, times √ᾱ_t so that x̂_0 stays bounded. Decoder: affine. Vocoder: one sinusoid per
mel bin, its amplitude the mel amplitude; all smooth, so float64 finite differences hold through the whole chain. With
`stride` above 1, x_0 has one column every so many frames, as behind an autoencoder: the decoder interpolates.
"""

from __future__ import annotations

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ditto.models.base import MusicModel, hash_weights
from ditto.schedules import diffusers_schedule
from ditto.types import ClipSpec, Condition, UserError

TEXT = 16  # size of a prompt's vector
DTYPES = {"auto": torch.float32, "float32": torch.float32, "bf16": torch.bfloat16, "float64": torch.float64}
LOG_MEL_MEAN, LOG_MEL_SCALE = -4.0, 0.7


class Toy(MusicModel):
    """16 bins x `frames` frames at 22.05 kHz, hop 256; bin f is a partial at MIDI note 45 + 5 f (all pitch classes)."""

    name = "toy"

    def __init__(
        self,
        frames: int = 32,
        width: int = 8,
        dtype: str = "float32",
        device: str = "cpu",
        seed: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise UserError(f"unknown precision {dtype!r}: choose {', '.join(DTYPES)}")
        self.dtype = DTYPES[dtype]
        self.clip = ClipSpec(sample_rate=22050, hop=256, frames=frames, mel_bins=16, stride=stride)
        self.shape = (1, self.clip.mel_bins, self.clip.latent_frames)
        self.frame_multiple = stride
        self.schedule = diffusers_schedule()
        self.x0_bound = 3.0
        random = torch.Generator().manual_seed(seed)
        self.first = _weight(random, width, 1, 3, 3)
        self.embedding = _weight(random, width, TEXT + 2)
        self.middle = _weight(random, width, width, 3, 3)
        self.last = _weight(random, 1, width, 3, 3)
        self.hidden = nn.Identity()
        midi_F = 45.0 + 5.0 * torch.arange(self.clip.mel_bins, dtype=torch.float64)
        self.register_buffer("hz_F", 440 * 2 ** ((midi_F - 69) / 12), persistent=False)
        self.hz_F: Tensor
        self.to(self.dtype)
        self.hz_F = self.hz_F.double()
        self.weights_hash = hash_weights(self)
        self.to(device)
        self.freeze()

    def encode(self, prompts: list[str]) -> Condition:
        digests = [hashlib.blake2b(prompt.encode(), digest_size=TEXT).digest() for prompt in prompts]
        text_BD = torch.tensor([[byte / 127.5 - 1 for byte in digest] for digest in digests], dtype=self.dtype)
        return Condition({"text": text_BD.to(self.device)})

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        signal, noise = self.schedule.signal_and_noise(t, x_t)
        text_BD = condition.tensors["text"]
        time_B2 = torch.stack([signal.flatten(), noise.flatten()], dim=1).to(self.dtype)
        h = F.conv2d(x_t.to(self.dtype), self.first, padding=1)
        h = F.silu(h + F.linear(torch.cat([text_BD, time_B2], dim=1), self.embedding)[:, :, None, None])
        h = self.hidden(F.silu(h + F.conv2d(h, self.middle, padding=1)))
        return noise * x_t + signal * F.conv2d(h, self.last, padding=1).to(x_t.dtype)

    def readout_blocks(self) -> list[nn.Module]:
        return [self.hidden]

    def decode(self, x_0: Tensor) -> Tensor:
        mel_BMA = LOG_MEL_MEAN + LOG_MEL_SCALE * x_0[:, 0]
        if self.clip.stride == 1:
            return mel_BMA
        return F.interpolate(mel_BMA, scale_factor=self.clip.stride, mode="linear", align_corners=False)

    def vocode(self, mel_BMA: Tensor) -> Tensor:
        samples = mel_BMA.shape[-1] * self.clip.hop
        amplitude_BMN = F.interpolate(mel_BMA.exp(), size=samples, mode="linear", align_corners=False)
        return torch.tanh((amplitude_BMN * self._phase(samples, mel_BMA).sin()).sum(1))

    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        """Each partial brought down to 0 Hz, smoothed over 8 frames: the inverse of `wave` where x_0 changes slowly."""
        hop, window = self.clip.hop, 8 * self.clip.hop
        phase_FN = self._phase(wave_BN.shape[-1], wave_BN)
        hann = torch.hann_window(window, dtype=wave_BN.dtype, device=wave_BN.device).view(1, 1, -1)
        parts = [wave_BN[:, None] * phase_FN.sin(), wave_BN[:, None] * phase_FN.cos()]
        pad = (window - hop) // 2
        smooth = [
            F.conv1d(F.pad(part.flatten(0, 1)[:, None], (pad, pad)), 2 * hann / hann.sum(), stride=hop)
            for part in parts
        ]
        amplitude = torch.stack(smooth).square().sum(0).sqrt().view(*parts[0].shape[:2], -1)
        return self.encode_mel(amplitude.clamp_min(1e-5).log())

    def encode_mel(self, mel_BMA: Tensor) -> Tensor:
        mel_BMT = mel_BMA if self.clip.stride == 1 else F.avg_pool1d(mel_BMA, self.clip.stride)
        return ((mel_BMT - LOG_MEL_MEAN) / LOG_MEL_SCALE)[:, None]

    def _phase(self, samples: int, like: Tensor) -> Tensor:
        """Phase of every partial [F, N]; the partials start apart, so that they do not add up to a click."""
        seconds_N = torch.arange(samples, dtype=torch.float64, device=like.device) / self.clip.sample_rate
        start_F = torch.arange(self.clip.mel_bins, dtype=torch.float64, device=like.device)
        return (2 * math.pi * self.hz_F[:, None] * seconds_N + start_F[:, None]).to(like.dtype)


def _weight(random: torch.Generator, *shape: int) -> nn.Parameter:
    """Normal weights of unit gain, drawn without touching the global random state."""
    fan_in = math.prod(shape[1:])
    return nn.Parameter(torch.randn(*shape, generator=random) / math.sqrt(fan_in))
