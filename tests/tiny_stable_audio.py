"""The real StableAudioPipeline with tiny random parts: seeded, offline, its tokenizer made of a few words."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch

LATENTS, HOP, RATE, TOKENS = 12, 256, 16000, 6
PARTS = {
    "transformer": {
        "sample_size": LATENTS,
        "in_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 4,
        "num_key_value_attention_heads": 2,
        "out_channels": 4,
        "cross_attention_dim": 8,
        "time_proj_dim": 8,
        "global_states_input_dim": 16,
        "cross_attention_input_dim": 8,
    },
    "vae": {
        "encoder_hidden_size": 8,
        "downsampling_ratios": [2, 8, 16],
        "channel_multiples": [1, 2, 2],
        "decoder_channels": 8,
        "decoder_input_channels": 4,
        "audio_channels": 2,
        "sampling_rate": RATE,
    },
    "projection": {"text_encoder_dim": 12, "conditioning_dim": 8, "min_value": 0, "max_value": 1},
    "scheduler": {"sigma_min": 0.3, "sigma_max": 500.0, "sigma_data": 1.0, "prediction_type": "v_prediction"},
}
SIZE = {**PARTS, "network": PARTS["transformer"], "condition": {"tokens_BLD": [TOKENS, 8]}}  # as in sizes/*.json


def pipeline(seed: int = 0) -> Any:
    """Deterministic DPM-Solver++(2M) over the published noise levels; the time is the angle, as published."""
    from diffusers import EDMDPMSolverMultistepScheduler, StableAudioPipeline
    from diffusers.models import AutoencoderOobleck, StableAudioDiTModel
    from diffusers.pipelines.stable_audio import StableAudioProjectionModel
    from transformers import T5Config, T5EncoderModel

    text = T5Config(vocab_size=len(_tokenizer()), d_model=12, d_kv=4, d_ff=16, num_layers=2, num_heads=2)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*weight_norm", FutureWarning)
        torch.manual_seed(seed)
        parts = {
            "transformer": StableAudioDiTModel(**PARTS["transformer"]),
            "vae": AutoencoderOobleck(**PARTS["vae"]),
            "projection_model": StableAudioProjectionModel(**PARTS["projection"]),
            "text_encoder": T5EncoderModel(text),
        }
        _spread(parts["vae"])
    scheduler = EDMDPMSolverMultistepScheduler(sigma_schedule="exponential", **PARTS["scheduler"])
    scheduler.precondition_noise = angle  # otherwise log σ / 4, which this network was not trained with
    made = StableAudioPipeline(tokenizer=_tokenizer(), scheduler=scheduler, **parts)
    made.set_progress_bar_config(disable=True)
    return made


def angle(sigma: torch.Tensor) -> torch.Tensor:
    """The time of CosineDPMSolverMultistepScheduler, which cannot be imported without torchsde."""
    return sigma.atan() / math.pi * 2


def save(folder: Path, seed: int = 0) -> str:
    """The pipeline as a checkpoint in the layout of diffusers."""
    pipeline(seed).save_pretrained(folder)
    return str(folder)


def _spread(vae: torch.nn.Module) -> None:
    """Weights by which the sound depends on the latents, and factors of the Snake other than zero."""
    with torch.no_grad():
        for name, weight in vae.named_parameters():
            if name.endswith(("alpha", "beta")):
                torch.nn.init.normal_(weight, std=0.3)
            elif name.endswith("bias"):
                weight.zero_()
            elif name.endswith("weight_g"):
                weight.mul_(0.06 if name == "decoder.conv2.weight_g" else 1.5)


def _tokenizer() -> Any:
    from transformers import T5Tokenizer

    words = [f"▁{word}" for word in ("a", "calm", "jazz", "song", "fast", "polka", "rock")]
    letters = "abcdefghijklmnopqrstuvwxyz"
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    scores += [(word, -1.0) for word in words] + [(letter, -4.0) for letter in letters]
    return T5Tokenizer(vocab=scores, extra_ids=0, model_max_length=TOKENS)
