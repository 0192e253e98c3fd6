"""MusicLDM (Chen et al. 2024, `ucsd-reach/musicldm`) and AudioLDM (Liu et al. 2023, `cvssp/audioldm-*`) as MusicModels.

One family: the U-Net takes the CLAP vector of the prompt as class label, concatenated to the embedding of time and
added in every residual block (the papers' FiLM), and no sequence to attend to: encoder_hidden_states is None, which
makes its cross-attentions a second self-attention. All else is in spectrogram.py. A clip is 10.24 s at 16 kHz: 1024
frames of 10 ms, x_0 [8, 16, 256].

With `sampler=ddim sampler.spacing=leading sampler.dynamic_threshold=null` and guidance over the whole chain, the chain
is that of diffusers' MusicLDMPipeline with its DDIMScheduler (tests/test_pretrained_musicldm.py).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ditto.models.pretrained.checkpoint import fetch, load_part, read_config, weights_hash
from ditto.models.pretrained.clap_text import load_clap_text
from ditto.models.pretrained.random_parts import Size, random_hifigan, read_size, seeded, size_hash
from ditto.models.pretrained.random_prompts import RandomPrompts
from ditto.models.pretrained.source import Source
from ditto.models.pretrained.spectrogram import SpectrogramLatents
from ditto.types import Condition

SOURCE = Source(title="MusicLDM", hub="ucsd-reach/musicldm", gib=1.8, licence="CC BY-NC-SA 4.0")
PARTS = ("unet", "vae", "vocoder", "text_encoder", "tokenizer", "scheduler")


class MusicLDM(SpectrogramLatents):
    """network: diffusers' UNet2DConditionModel with class labels; a condition is {"text_BD": unit vectors [B, D]}."""

    def predict(self, z_BCTF: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        labels_BD = condition.tensors["text_BD"].to(self.dtype)
        return self.network(z_BCTF, t_B, encoder_hidden_states=None, class_labels=labels_BD, return_dict=False)[0]


def load(
    checkpoint: str = SOURCE.hub,
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    recompute: bool = False,
    revision: str | None = None,
    seconds: float | None = None,
    name: str = "musicldm",
) -> MusicLDM:
    """The model of a folder or hub id in diffusers' layout, MusicLDMPipeline or AudioLDMPipeline.

    The options are those of `SpectrogramLatents`. Raises UserError that says what to download where it is missing.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import SpeechT5HifiGan

    folder = fetch(checkpoint, SOURCE, PARTS, revision)
    return MusicLDM(
        load_part(UNet2DConditionModel, folder, "unet"),
        load_part(AutoencoderKL, folder, "vae"),
        load_part(SpeechT5HifiGan, folder, "vocoder"),
        load_clap_text(folder),
        read_config(folder, "scheduler"),
        name=name,
        weights_hash=weights_hash(folder, PARTS),
        seconds=seconds,
        device=device,
        precision=precision,
        decoder_precision=decoder_precision,
        recompute=recompute,
    )


def random_weights(
    config: str | Size = "musicldm.json",
    device: str = "cpu",
    precision: str = "auto",
    decoder_precision: str = "float32",
    recompute: bool = False,
    seconds: float | None = None,
    name: str = "musicldm_random",
) -> MusicLDM:
    """A model of the published size (sizes/musicldm.json, or a mapping of that form) with seeded random weights."""
    size = read_size(config)
    network, vae, vocoder = seeded(lambda: _parts(size))
    return MusicLDM(
        network,
        vae,
        vocoder,
        RandomPrompts(size["condition"], unit=True),
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
    from diffusers import AutoencoderKL, UNet2DConditionModel

    network = UNet2DConditionModel(**size["network"])
    return network, AutoencoderKL(**size["vae"]), random_hifigan(size["vocoder"])
