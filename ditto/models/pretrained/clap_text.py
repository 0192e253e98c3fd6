"""The text half of CLAP (Wu et al. 2023, "Large-scale contrastive language-audio pretraining"), which MusicLDM and
AudioLDM are conditioned on: RoBERTa, its pooled first token, a projection of two layers, L2 normalisation.

diffusers' MusicLDMPipeline takes this vector from `ClapModel.get_text_features`. Since transformers 5 that returns an
object and no tensor, so the pipeline stops with an AttributeError; and it keeps CLAP's audio tower, which a text needs
not. Here the text half alone is loaded (ClapTextModelWithProjection reads it out of a whole ClapModel's weights; a
checkpoint of AudioLDM holds no more than it) and the vector is normalised here, as `get_text_features` does inside and
AudioLDMPipeline after its text encoder. Legend: B prompts, D = 512.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ditto.models.pretrained.checkpoint import load_part, load_tokenizer
from ditto.types import Condition

NOT_TEXT = ("audio_model.", "audio_projection.", "logit_scale")  # of a whole ClapModel's weights


class ClapText(nn.Module):
    """prompts -> Condition{"text_BD": unit vectors float32 [B, D]}. Frozen; each prompt is encoded once and remembered.

    clap: transformers' ClapTextModelWithProjection; tokenizer: RoBERTa's. A prompt is encoded by itself and without
    padding, so that no vector depends on the other prompts; the padded call of the pipelines gives the same to rounding
    errors. A prompt longer than the text model's positions (512 tokens) is cut, as in the pipelines.
    """

    def __init__(self, clap: nn.Module, tokenizer: Any) -> None:
        super().__init__()
        self.clap = cast(Any, clap).float().eval().requires_grad_(False)
        self.tokenizer = tokenizer
        positions = self.clap.config.max_position_embeddings - self.clap.config.pad_token_id - 1
        self.longest = min(tokenizer.model_max_length, positions)
        self._known: dict[str, Tensor] = {}

    def forward(self, prompts: list[str]) -> Condition:
        return Condition({"text_BD": self.embeddings(prompts)})

    def embeddings(self, prompts: list[str]) -> Tensor:
        """[B, D], on the text model's device."""
        for prompt in prompts:
            if prompt not in self._known:
                self._known[prompt] = self._embedding(prompt)
        return torch.stack([self._known[prompt] for prompt in prompts]).to(self.clap.device)

    @torch.no_grad()
    def _embedding(self, prompt: str) -> Tensor:
        tokens = self.tokenizer(prompt, truncation=True, max_length=self.longest, return_tensors="pt")
        tokens = tokens.to(self.clap.device)
        output = self.clap(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
        return nn.functional.normalize(output.text_embeds[0], dim=-1)


def load_clap_text(folder: Path, encoder: str = "text_encoder", tokenizer: str = "tokenizer") -> ClapText:
    """From the named parts of a checkpoint: a ClapModel or a ClapTextModelWithProjection."""
    from transformers import ClapTextModelWithProjection

    clap = cast(Any, load_part(ClapTextModelWithProjection, folder, encoder, unused=NOT_TEXT))
    return ClapText(clap, load_tokenizer(folder, tokenizer, clap.config.vocab_size))
