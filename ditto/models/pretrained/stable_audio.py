"""Stable Audio Open: a diffusion transformer on the latents of a waveform autoencoder, stereo at 44.1 kHz.

    wave -> Oobleck encoder -> x_0 [B, 64, 1, T]        x_0 -> Oobleck decoder -> two channels -> their mean

Evans et al. 2024, "Stable Audio Open" (arXiv 2407.14358). The checkpoint's sampler works with x_0 + σ ε; here it is
x_t = (x_0 + σ ε) / √(1 + σ²), which is also what the transformer is given. It predicts v (Salimans & Ho 2022) and takes
the time as the angle t = (2/π) atan σ. Its own sampler is a stochastic one (CosineDPMSolverMultistepScheduler, needs
torchsde); the deterministic DPM-Solver++(2M) over the same noise levels is sampler=dpmpp with sampler.spacing=linspace.

Conditions: tokens of the prompt, and the seconds where the clip begins (0) and ends, both as two more tokens and as the
global state that is put before the sequence. Without a prompt all tokens are zero and the global state stays.

Features, controls and judges are mono: `wave` is the mean of both channels, `channels` has them apart, and
`encode_audio` gives the same wave to both. Legend: B clips, C channels of a latent, T its columns (hop 2048), N
samples, L tokens, D their width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ditto.models.base import MusicModel
from ditto.models.embedded import choose_dtype
from ditto.models.prediction import epsilon_of
from ditto.models.pretrained.checkpoint import fetch, load_part, load_tokenizer, read_config, weights_hash
from ditto.models.pretrained.random_parts import Size, read_size, seeded, size_hash
from ditto.models.pretrained.random_prompts import RandomPrompts
from ditto.models.pretrained.source import Source
from ditto.models.pretrained.stable_audio_network import Rotary, fold_weight_norm, positions, prepare
from ditto.models.pretrained.stable_audio_text import StableAudioText
from ditto.models.recompute import recompute_in_backward
from ditto.schedules import SigmaSchedule
from ditto.types import ClipSpec, Condition, UserError

SOURCE = Source(
    title="Stable Audio Open 1.0",
    hub="stabilityai/stable-audio-open-1.0",
    gib=4.9,  # counted: 1.323e9 parameters in float32
    licence="Stability AI Community License (https://stability.ai/license)",
    gated=True,
)
PARTS = ("transformer", "vae", "projection_model", "text_encoder", "tokenizer", "scheduler")
STRIDE = 2  # analysis frames to a column of x_0: 23 ms of sound at 44.1 kHz
MEL_BINS = 128  # of pictures; the model itself has no mel


class StableAudio(MusicModel):
    """The published model was trained on 1024 columns (47.55 s) only; a shorter x_T works, further from its training.

    network: StableAudioDiTModel; vae: AutoencoderOobleck, whose weight normalisation is folded into its weights;
    projection: StableAudioProjectionModel, kept in float32; text: `text(prompts) -> Condition` with tokens_BLD.
    `seconds` is the clip's length, rounded to whole columns (None: that of the training), `seconds_end` what the
    network is told of the sound's end (None: the length of x_T). `precision` is the network's, `decoder_precision` the
    autoencoder's: auto, float32, bf16 or float64 (tests). `recompute` keeps less in the backward pass for one more
    forward pass (ditto/models/recompute.py).
    """

    def __init__(
        self,
        network: nn.Module,
        vae: nn.Module,
        projection: Any,
        text: nn.Module,
        schedule: SigmaSchedule,
        *,
        name: str,
        weights_hash: str,
        seconds: float | None = None,
        seconds_end: float | None = None,
        device: str = "cpu",
        precision: str = "float32",
        decoder_precision: str = "float32",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        target = torch.device(device)
        self.name, self.weights_hash, self.schedule, self.seconds_end = name, weights_hash, schedule, seconds_end
        self.dtype, self.decoder_dtype = choose_dtype(precision, target), choose_dtype(decoder_precision, target)
        # By nn.Module.to: that of diffusers' classes warns of a mixture of precisions that none of these asks for.
        self.network: Any = prepare(nn.Module.to(network, target), self.dtype)
        self.vae: Any = nn.Module.to(fold_weight_norm(vae), target, self.decoder_dtype)
        self.projection: Any = projection.to(target)
        self.text = text.to(target)
        self.clip = self._clip(seconds)
        self.shape = (self.network.config.in_channels, 1, self.clip.latent_frames)
        self.frame_multiple = self.clip.stride
        if recompute:
            recompute_in_backward(self._blocks())
        self.freeze()

    def encode(self, prompts: list[str]) -> Condition:
        """tokens_BLD, and mask_B: whether a clip has a prompt; if not, its tokens and those of its seconds are zero."""
        tokens_BLD = self.text(prompts).to(self.device).tensors["tokens_BLD"]
        mask_B = torch.tensor([prompt != "" for prompt in prompts], device=self.device)
        return Condition({"tokens_BLD": tokens_BLD * mask_B[:, None, None], "mask_B": mask_B})

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        tokens_BLD, seconds_BGD = self._conditioning(condition, x_t.shape[-1])
        v_BCT = self.network(
            x_t.squeeze(2).to(self.dtype),
            t,
            encoder_hidden_states=tokens_BLD,
            global_hidden_states=seconds_BGD,
            rotary_embedding=self._rotary(x_t.shape[-1]),
            return_dict=False,
        )[0]
        signal, noise = self.schedule.signal_and_noise(t, x_t)
        return epsilon_of("v_prediction", v_BCT.unsqueeze(2).to(x_t.dtype), x_t, signal, noise)

    def channels(self, x_0: Tensor) -> Tensor:
        """[B, C, 1, T] -> both channels [B, 2, N]; nothing bounds them to [-1, 1]."""
        return self.vae.decoder(x_0.squeeze(2).to(self.decoder_dtype)).to(x_0.dtype)

    def wave(self, x_0: Tensor) -> Tensor:
        """[B, C, 1, T] -> [B, N]: the mean of both channels."""
        return self.channels(x_0).mean(1)

    def encode_audio(self, wave_BN: Tensor) -> Tensor:
        """The most likely latent: no noise is drawn. Both channels are the mono wave; N a multiple of 2048."""
        if wave_BN.shape[-1] % self.clip.latent_hop:
            raise UserError(
                f"a wave of {wave_BN.shape[-1]} samples does not fit model={self.name}: "
                f"use a multiple of {self.clip.latent_hop}"
            )
        stereo = wave_BN[:, None].expand(-1, self.vae.config.audio_channels, -1)
        z_BCT = self.vae.encode(stereo.to(self.decoder_dtype), return_dict=False)[0].mode()
        return z_BCT.unsqueeze(2).to(wave_BN.dtype)

    def _conditioning(self, condition: Condition, columns: int) -> tuple[Tensor, Tensor]:
        """All tokens [B, L + 2, D] and the global state [B, 1, 2 D] of a clip of so many columns."""
        tokens_BLD, mask_B = condition.tensors["tokens_BLD"], condition.tensors["mask_B"]
        length = columns * self.clip.latent_hop / self.clip.sample_rate
        end = length if self.seconds_end is None else self.seconds_end
        start_end = (torch.tensor([value], device=tokens_BLD.device) for value in (0.0, end))
        embedded = self.projection(None, *start_end)
        pair = embedded.seconds_start_hidden_states, embedded.seconds_end_hidden_states
        seconds_B2D = torch.cat(pair, dim=1) * mask_B[:, None, None]
        seconds_BGD = torch.cat(pair, dim=2).expand(len(mask_B), -1, -1)
        return torch.cat([tokens_BLD, seconds_B2D], dim=1).to(self.dtype), seconds_BGD.to(self.dtype)

    def _rotary(self, columns: int) -> Rotary:
        """Angles of the global state and the columns; cheap enough to be made in every call."""
        return positions(columns + 1, self.network.config.attention_head_dim // 2, self.device)

    def _clip(self, seconds: float | None) -> ClipSpec:
        rate, hop = self.vae.config.sampling_rate, self.vae.hop_length
        columns = self.network.config.sample_size if seconds is None else round(seconds * rate / hop)
        if columns < 1:
            raise UserError(f"seconds={seconds}: a clip of {self.name} has at least {hop / rate:g} s")
        return ClipSpec(rate, hop // STRIDE, frames=columns * STRIDE, mel_bins=MEL_BINS, stride=STRIDE)

    def _blocks(self) -> Iterator[nn.Module]:
        """What `recompute` runs again. For 47.55 s in float32 the decoder keeps 27 GiB; so 8, at the peak of a step 17.

        Pieces of its blocks: the inside of a whole one is as large as all the rest (counted, results/models.csv).
        """
        yield from self.network.transformer_blocks
        for block in self.vae.decoder.block:
            yield from (block.snake1, block.res_unit1, block.res_unit2, block.res_unit3)
        yield self.vae.decoder.snake1


def schedule_of(config: Mapping[str, Any]) -> SigmaSchedule:
    """The noise levels of a checkpoint's scheduler; UserError where it is not the model's kind of diffusion."""
    wanted = {"sigma_data": 1.0, "prediction_type": "v_prediction"}
    for key, value in wanted.items():
        if config.get(key) != value:
            raise UserError(f"the scheduler has {key}={config.get(key)}: Stable Audio Open's has {value}")
    return SigmaSchedule(float(config["sigma_min"]), float(config["sigma_max"]))


def load(
    checkpoint: str = SOURCE.hub,
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    seconds: float | None = None,
    seconds_end: float | None = None,
    recompute: bool = False,
    revision: str | None = None,
    name: str = "stable_audio_open",
) -> StableAudio:
    """The model of a hub id or of a folder in the layout of diffusers; options as in StableAudio."""
    from diffusers.models import AutoencoderOobleck, StableAudioDiTModel
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel

    folder = fetch(checkpoint, SOURCE, PARTS, revision)
    projection = load_part(StableAudioProjectionModel, folder, "projection_model")
    with _no_notice():
        vae = load_part(AutoencoderOobleck, folder, "vae")
    return StableAudio(
        load_part(StableAudioDiTModel, folder, "transformer"),
        vae,
        projection,
        load_text(folder, projection),
        schedule_of(read_config(folder, "scheduler")),
        name=name,
        weights_hash=weights_hash(folder, PARTS),
        seconds=seconds,
        seconds_end=seconds_end,
        device=device,
        precision=precision,
        decoder_precision=decoder_precision,
        recompute=recompute,
    )


def load_text(folder: Path, projection: Any) -> StableAudioText:
    """T5 of the checkpoint in `folder`, with the projection's part for text."""
    from transformers import T5EncoderModel

    encoder: Any = load_part(T5EncoderModel, folder, "text_encoder", unused=("decoder.", "lm_head"))
    tokenizer = load_tokenizer(folder, "tokenizer", encoder.config.vocab_size)
    return StableAudioText(tokenizer, encoder, projection.text_projection)


def random_weights(
    config: str | Size = "stable_audio_open.json",
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    seconds: float | None = None,
    seconds_end: float | None = None,
    recompute: bool = False,
    name: str = "stable_audio_open_random",
) -> StableAudio:
    """The same networks with seeded random weights: for measuring speed and memory, not for listening."""
    from diffusers.models import AutoencoderOobleck, StableAudioDiTModel
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel

    size = read_size(config)
    with _no_notice():
        network, vae, projection = seeded(
            lambda: (
                StableAudioDiTModel(**size["network"]),
                AutoencoderOobleck(**size["vae"]),
                StableAudioProjectionModel(**size["projection"]),
            )
        )
    return StableAudio(
        network,
        vae,
        projection,
        RandomPrompts(size["condition"]),
        schedule_of(size["scheduler"]),
        name=name,
        weights_hash=size_hash(size),
        seconds=seconds,
        seconds_end=seconds_end,
        device=device,
        precision=precision,
        decoder_precision=decoder_precision,
        recompute=recompute,
    )


@contextmanager
def _no_notice() -> Iterator[None]:
    """diffusers uses a form of weight normalisation that PyTorch calls old; here it is removed anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*weight_norm", FutureWarning)
        yield
