"""AudioLDM 2 as diffusers has it, tiny: the pipeline's own classes, seeded random weights, no network.

CLAP, VAE, vocoder and scheduler are those of tests/tiny_pipelines.py. One clip is 0.64 s: x_T [1, 4, 4, 16].
"""

from __future__ import annotations

import string
from typing import Any

from torch import nn

from tests import tiny_pipelines as tiny

T5_WIDTH, GPT2_WIDTH, STATES = 20, 12, 8
# As in the published ones, each block attends to itself, to GPT-2's states and to T5's tokens.
NETWORK: dict[str, Any] = {
    "sample_size": tiny.COLUMNS,
    "in_channels": tiny.LATENTS,
    "out_channels": tiny.LATENTS,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 2,
    "cross_attention_dim": [[None, GPT2_WIDTH, T5_WIDTH]] * 2,
}


def audioldm2(language_model: type[nn.Module] | None = None) -> Any:
    """The pipeline. Published checkpoints have GPT2Model, with which it cannot encode prompts: here GPT2LMHeadModel."""
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel
    from transformers import ClapFeatureExtractor

    clap_tokenizer, t5_tokenizer = tiny.roberta_tokenizer(), tokenizer_of_t5()
    clap = tiny.clap(len(clap_tokenizer))
    parts = {"text_encoder": clap, "text_encoder_2": t5(len(t5_tokenizer)), "language_model": gpt2(language_model)}
    parts["projection_model"] = tiny.seeded(lambda: AudioLDM2ProjectionModel(tiny.TEXT, T5_WIDTH, GPT2_WIDTH).eval())
    parts |= {"unet": unet(), "vae": tiny.vae(), "vocoder": tiny.hifigan(), "scheduler": tiny.ddim()}
    others = {"tokenizer": clap_tokenizer, "tokenizer_2": t5_tokenizer, "feature_extractor": ClapFeatureExtractor()}
    return tiny.quiet(lambda: AudioLDM2Pipeline(**parts, **others))


def unet() -> Any:
    from diffusers import AudioLDM2UNet2DConditionModel

    return tiny.seeded(lambda: AudioLDM2UNet2DConditionModel(**NETWORK).eval())


def tokenizer_of_t5() -> Any:
    """Letters as tokens."""
    from transformers import T5Tokenizer

    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -3.0) for c in string.ascii_lowercase)]
    return T5Tokenizer(vocab=words, extra_ids=0, model_max_length=20)


def t5(vocabulary: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=vocabulary, d_model=T5_WIDTH, d_ff=24, d_kv=8, num_heads=2, num_layers=2)
    return tiny.seeded(lambda: T5EncoderModel(config).eval())


def gpt2(language_model: type[nn.Module] | None = None) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": GPT2_WIDTH, "n_head": 2, "n_layer": 2, "vocab_size": 30, "n_positions": 60}
    config = GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    config.max_new_tokens = STATES
    return tiny.seeded(lambda: tiny.spread((language_model or GPT2LMHeadModel)(config).eval()))


def size(pipeline: Any) -> dict[str, Any]:
    """The pipeline's sizes in the form of ditto/models/pretrained/sizes."""
    return {
        "network": NETWORK,
        "vae": _public(pipeline.vae.config),
        "vocoder": pipeline.vocoder.config.to_diff_dict(),
        "scheduler": _public(pipeline.scheduler.config),
        "condition": {"generated_BSD": [STATES, GPT2_WIDTH], "tokens_BLD": [6, T5_WIDTH], "mask_BL": [6]},
    }


def _public(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}
