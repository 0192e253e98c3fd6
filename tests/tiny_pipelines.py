"""The real diffusers pipelines of the AudioLDM family with tiny random networks, made offline and seeded.

The grids are those of the published checkpoints (16 kHz, hop 160, four frames a latent column), so that the samples
that a HiFi-GAN makes too many, the offset of the timesteps and ᾱ of the last step are all in play.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

Made = TypeVar("Made")
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # RoBERTa's, at its own places
MEL_BINS, LATENTS, COLUMNS, TEXT = 16, 4, 16, 12  # columns of a native clip: 64 frames, 0.64 s


def seeded(build: Callable[[], Made], seed: int = 0) -> Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def roberta_tokenizer() -> Any:
    """Bytes as tokens; no merges."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizer

    words = [*SPECIAL, *sorted(ByteLevel.alphabet())]
    return RobertaTokenizer({word: i for i, word in enumerate(words)}, [], model_max_length=40)


def _text_config(vocabulary: int) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2}
    return sizes | {"vocab_size": vocabulary, "max_position_embeddings": 48, "projection_dim": TEXT}


def clap(vocabulary: int) -> Any:
    """A whole ClapModel, audio tower included, as MusicLDM and AudioLDM 2 carry it."""
    from transformers import ClapConfig, ClapModel

    audio = {"spec_size": 64, "window_size": 4, "num_mel_bins": 64, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"hidden_size": 16, "patch_embeds_hidden_size": 8, "num_hidden_layers": 2, "patch_size": 4}
    config = ClapConfig(text_config=_text_config(vocabulary), audio_config=audio, projection_dim=TEXT)
    return seeded(lambda: spread(ClapModel(config).eval()))


def clap_text(vocabulary: int) -> Any:
    """The text half alone, as AudioLDM carries it."""
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    config = ClapTextConfig(**_text_config(vocabulary))
    return seeded(lambda: spread(ClapTextModelWithProjection(config).eval()))


def spread(module: nn.Module) -> Any:
    """Larger weights than transformers draws, by which two prompts have all but the same vector."""
    for name, weight in module.named_parameters():
        if weight.dim() > 1 and not name.startswith("audio"):
            nn.init.normal_(weight, std=0.8)
    return module


def vae() -> Any:
    from diffusers import AutoencoderKL

    return seeded(
        lambda: AutoencoderKL(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            in_channels=1,
            out_channels=1,
            latent_channels=LATENTS,
            norm_num_groups=4,
            scaling_factor=0.7,
        ).eval()
    )


def hifigan() -> Any:
    """With `normalize_before` and statistics of its own; its weights are large enough for an audible wave."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = SpeechT5HifiGanConfig(
        model_in_dim=MEL_BINS,
        sampling_rate=16000,
        upsample_initial_channel=32,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=[3, 5],
        resblock_dilation_sizes=[[1, 3], [1, 3]],
        normalize_before=True,
    )

    @torch.no_grad()
    def build() -> Any:
        vocoder = SpeechT5HifiGan(config).eval()
        for module in vocoder.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                nn.init.kaiming_normal_(module.weight)
        vocoder.conv_post.weight.mul_(0.2)
        vocoder.mean.fill_(-0.1)
        vocoder.scale.fill_(0.2)
        return vocoder

    return seeded(build)


def ddim() -> Any:
    """The scheduler of the published checkpoints."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def film_unet(width: int = 8) -> Any:
    """UNet2DConditionModel as MusicLDM and AudioLDM have it: class labels, concatenated, and nothing to attend to."""
    from diffusers import UNet2DConditionModel

    return seeded(
        lambda: UNet2DConditionModel(
            sample_size=COLUMNS,
            in_channels=LATENTS,
            out_channels=LATENTS,
            block_out_channels=(width, 2 * width),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=(width, 2 * width),
            attention_head_dim=2,
            norm_num_groups=4,
            class_embed_type="simple_projection",
            projection_class_embeddings_input_dim=TEXT,
            class_embeddings_concat=True,
        ).eval()
    )


def quiet(build: Callable[[], Made]) -> Made:
    """Without the notice that a pipeline is deprecated, and without its progress bar."""
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline: Any = build()
    finally:
        logger.setLevel(level)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def musicldm() -> Any:
    from diffusers import MusicLDMPipeline
    from transformers import ClapFeatureExtractor

    tokenizer = roberta_tokenizer()
    parts = {"tokenizer": tokenizer, "text_encoder": clap(len(tokenizer)), "feature_extractor": ClapFeatureExtractor()}
    parts |= {"unet": film_unet(), "vae": vae(), "vocoder": hifigan(), "scheduler": ddim()}
    return quiet(lambda: MusicLDMPipeline(**parts))


def audioldm() -> Any:
    from diffusers import AudioLDMPipeline

    tokenizer = roberta_tokenizer()
    parts = {"tokenizer": tokenizer, "text_encoder": clap_text(len(tokenizer))}
    parts |= {"unet": film_unet(), "vae": vae(), "vocoder": hifigan(), "scheduler": ddim()}
    return quiet(lambda: AudioLDMPipeline(**parts))
