"""What MusicLDM, AudioLDM and AudioLDM 2 share: diffusion on the latents of a VAE over log-mels, then a HiFi-GAN.

    wave -> log-mel -> AutoencoderKL -> x_0        x_0 -> AutoencoderKL -> log-mel -> SpeechT5HifiGan -> wave

Liu et al. 2023, "AudioLDM", Sec. 3; Chen et al. 2024, "MusicLDM"; Liu et al. 2024, "AudioLDM 2". Every call is
differentiable. Legend: B clips, C channels, F frequencies and T columns of x_0, M mel bins, A analysis frames, N
samples; A = 4 T and N = 160 A. The checkpoints have time before frequency, [B, C, T, F] and [B, 1, A, M]; here it is
[B, C, F, T] and [B, M, A] as everywhere in this project, and the adapter transposes. x_0 is the VAE's latent times its
scaling factor.

Log-mel: magnitudes of a 1024-sample Hann window every 160 samples at 16 kHz, the wave mirrored at its ends, 64 Slaney
bands from 0 to 8000 Hz, natural logarithm clamped at 1e-5. The training sets' waves were scaled to a peak of 0.5;
`encode_audio` scales nothing.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ditto.audio.mel import LogMel
from ditto.models.base import MusicModel
from ditto.models.embedded import choose_dtype
from ditto.models.prediction import epsilon_of
from ditto.models.recompute import recompute_in_backward
from ditto.schedules import schedule_from
from ditto.types import ClipSpec, Condition, UserError

WINDOW = 1024  # samples of the log-mel's window


class SpectrogramLatents(MusicModel):
    """A subclass says in `predict` how its network takes the condition.

    network: diffusers' UNet2DConditionModel or a class with the same blocks; vae: AutoencoderKL; vocoder:
    SpeechT5HifiGan; text: an nn.Module, `text(prompts) -> Condition`, kept in float32; scheduler: its configuration, as
    diffusers writes it, which says the noise levels and what the network predicts.

    `seconds` is the clip's length, rounded to whole columns of latents; None is the length that the checkpoint was
    trained on. `precision` is the network's and `decoder_precision` that of VAE and vocoder: auto, float32, bf16 or
    float64 (tests). `recompute` keeps less in the backward pass for one more forward pass (ditto/models/recompute.py).
    """

    def __init__(
        self,
        network: nn.Module,
        vae: nn.Module,
        vocoder: nn.Module,
        text: nn.Module,
        scheduler: Mapping[str, Any],
        *,
        name: str,
        weights_hash: str,
        seconds: float | None = None,
        device: str = "cpu",
        precision: str = "float32",
        decoder_precision: str = "float32",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        target = torch.device(device)
        self.name, self.weights_hash = name, weights_hash
        self.schedule = schedule_from(scheduler)
        self.prediction_type = scheduler.get("prediction_type", "epsilon")
        self.dtype = choose_dtype(precision, target)
        self.decoder_dtype = choose_dtype(decoder_precision, target)
        self.network = _placed(network, target, self.dtype)
        self.vae, self.vocoder = (_placed(part, target, self.decoder_dtype) for part in (vae, vocoder))
        self.text = text.to(target)
        self.clip = self._clip(seconds)
        self.frame_multiple = self.clip.stride
        rows = self.clip.mel_bins // self.clip.stride
        self.shape = (self.vae.config.latent_channels, rows, self.clip.latent_frames)
        rate, hop, bins = self.clip.sample_rate, self.clip.hop, self.clip.mel_bins
        self.mel = LogMel(rate, WINDOW, hop, bins, f_min=0.0, pad_mode="reflect").to(target)
        if recompute:
            recompute_in_backward(self._blocks())
        self.freeze()

    @abstractmethod
    def predict(self, z_BCTF: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """The network's own output [B, C, T, F] for its own layout, in its own dtype."""

    def encode(self, prompts: list[str]) -> Condition:
        return self.text(prompts).to(self.device)

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        z_BCTF = x_t.to(self.dtype).transpose(2, 3)
        output = self.predict(z_BCTF, t, condition).transpose(2, 3).to(x_t.dtype)
        signal, noise = self.schedule.signal_and_noise(t, x_t)
        return epsilon_of(self.prediction_type, output, x_t, signal, noise)

    def decode(self, x_0: Tensor) -> Tensor:
        z_BCTF = (x_0 / self.vae.config.scaling_factor).to(self.decoder_dtype).transpose(2, 3)
        mel_B1AM = self.vae.decode(z_BCTF, return_dict=False)[0]
        return mel_B1AM[:, 0].transpose(1, 2).to(x_0.dtype)

    def vocode(self, mel_BMA: Tensor) -> Tensor:
        """The generator's transposed convolutions make a few samples more than A * hop; they are cut off at the end."""
        wave_BN = self.vocoder(mel_BMA.transpose(1, 2).to(self.decoder_dtype))
        return wave_BN[:, : mel_BMA.shape[-1] * self.clip.hop].to(mel_BMA.dtype)

    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        return self.encode_mel(self.mel(wave_BN))

    def encode_mel(self, mel_BMA: Tensor) -> Tensor:
        """The VAE's most likely latent: no noise is drawn."""
        self.check_frames(mel_BMA.shape[-1])
        mel_B1AM = mel_BMA.to(self.decoder_dtype).transpose(1, 2)[:, None]
        z_BCTF = self.vae.encode(mel_B1AM, return_dict=False)[0].mode()
        return (z_BCTF * self.vae.config.scaling_factor).transpose(2, 3).to(mel_BMA.dtype)

    def _clip(self, seconds: float | None) -> ClipSpec:
        """hop from the vocoder, stride from the VAE, the native length from the network's sample_size."""
        voice, stride = self.vocoder.config, 2 ** (len(self.vae.config.block_out_channels) - 1)
        hop, rate = math.prod(voice.upsample_rates), voice.sampling_rate
        columns = self.network.config.sample_size if seconds is None else round(seconds * rate / hop / stride)
        if columns < 1:
            raise UserError(f"seconds={seconds}: a clip of {self.name} has at least {hop * stride / rate:g} s")
        return ClipSpec(rate, hop, frames=columns * stride, mel_bins=voice.model_in_dim, stride=stride)

    def _blocks(self) -> Iterator[nn.Module]:
        """What `recompute` runs again: the large blocks of the U-Net, of the VAE's decoder and of the vocoder."""
        for part in (self.network, self.vae.decoder):
            yield from getattr(part, "down_blocks", [])
            yield part.mid_block
            yield from part.up_blocks
        yield from self.vocoder.resblocks


def _placed(part: nn.Module, device: torch.device, dtype: torch.dtype) -> Any:
    """By nn.Module.to: that of diffusers' classes warns of a mixture of precisions that none of these asks for."""
    return nn.Module.to(part, device, dtype)
