"""AudioLDM 2 (Liu et al. 2024): latent diffusion on log-mels whose U-Net attends to two texts, as cvssp publishes it.

The layers of self-attention, of attention to GPT-2's eight generated states and of attention to T5's tokens alternate;
the prompts are made in audioldm2_text.py, everything around the U-Net in spectrogram.py. For checkpoints of music and
sound: those that speak (a VITS encoder and a transcription in the place of T5) are refused.

With `sampler=ddim sampler.spacing=leading sampler.dynamic_threshold=null` and guidance over the whole chain, the chain
is that of diffusers' AudioLDM2Pipeline with its DDIMScheduler (tests/test_pretrained_audioldm2.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ditto.models.pretrained.audioldm2_text import load_audioldm2_text
from ditto.models.pretrained.checkpoint import fetch, load_part, read_config, read_index, weights_hash
from ditto.models.pretrained.random_parts import Size, random_hifigan, read_size, seeded, size_hash
from ditto.models.pretrained.random_prompts import RandomPrompts
from ditto.models.pretrained.source import Source
from ditto.models.pretrained.spectrogram import SpectrogramLatents
from ditto.types import Condition, UserError

SOUND = ("unet", "vae", "vocoder", "scheduler")
TEXT = ("text_encoder", "text_encoder_2", "projection_model", "language_model", "tokenizer", "tokenizer_2")
SOURCE = Source("AudioLDM 2 Music", "cvssp/audioldm2-music", gib=4.2, licence="CC BY-NC-SA 4.0")


class AudioLDM2(SpectrogramLatents):
    """network: diffusers' AudioLDM2UNet2DConditionModel; text: AudioLDM2Text or what gives the same tensors."""

    def predict(self, z_BCTF: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        c = condition.tensors
        return self.network(
            z_BCTF,
            t_B,
            encoder_hidden_states=c["generated_BSD"].to(z_BCTF),
            encoder_hidden_states_1=c["tokens_BLD"].to(z_BCTF),
            encoder_attention_mask_1=c["mask_BL"],
            return_dict=False,
        )[0]


def load(
    checkpoint: str = SOURCE.hub,
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    seconds: float | None = None,
    recompute: bool = False,
    revision: str | None = None,
    name: str = "audioldm2_music",
) -> AudioLDM2:
    """The model of a hub id or of a folder in the layout of diffusers; options as in SpectrogramLatents."""
    from diffusers.models import AutoencoderKL
    from diffusers.pipelines.audioldm2 import AudioLDM2UNet2DConditionModel
    from transformers import SpeechT5HifiGan

    folder = fetch(checkpoint, SOURCE, (*SOUND, *TEXT), revision)
    check_silent(folder)
    return AudioLDM2(
        load_part(AudioLDM2UNet2DConditionModel, folder, "unet"),
        load_part(AutoencoderKL, folder, "vae"),
        load_part(SpeechT5HifiGan, folder, "vocoder"),
        load_audioldm2_text(folder),
        read_config(folder, "scheduler"),
        name=name,
        weights_hash=weights_hash(folder, (*SOUND, *TEXT)),
        seconds=seconds,
        device=device,
        precision=precision,
        decoder_precision=decoder_precision,
        recompute=recompute,
    )


def check_silent(folder: Path) -> None:
    """UserError for a checkpoint that speaks."""
    encoder = read_index(folder).get("text_encoder_2", ("", ""))[1]
    if encoder != "T5EncoderModel":
        raise UserError(
            f"{folder} speaks a transcription (its text_encoder_2 is {encoder}), which no task here gives it: "
            f"use a checkpoint for music or sound, such as {SOURCE.hub}"
        )


def random_weights(
    config: str | Size = "audioldm2_music.json",
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    seconds: float | None = None,
    recompute: bool = False,
    name: str = "audioldm2_music_random",
) -> AudioLDM2:
    """The same networks with seeded random weights: for measuring speed and memory, not for listening."""
    size = read_size(config)
    network, vae, vocoder = seeded(lambda: _parts(size))
    return AudioLDM2(
        network,
        vae,
        vocoder,
        RandomPrompts(size["condition"]),
        size["scheduler"],
        name=name,
        weights_hash=size_hash(size),
        seconds=seconds,
        device=device,
        precision=precision,
        decoder_precision=decoder_precision,
        recompute=recompute,
    )


def _parts(size: Size) -> tuple[Any, Any, Any]:
    """The networks of a size."""
    from diffusers.models import AutoencoderKL
    from diffusers.pipelines.audioldm2 import AudioLDM2UNet2DConditionModel

    network = AudioLDM2UNet2DConditionModel(**size["network"])
    return network, AutoencoderKL(**size["vae"]), random_hifigan(size["vocoder"])
