"""Prompts of Stable Audio Open: T5's last hidden states, projected, and zero where a prompt has no token.

As diffusers' StableAudioPipeline.encode_prompt has it, but each prompt by itself, so that an encoding does not depend
on what else is in the batch, and each only once. The attention of the network sees the zeros too: there is no mask.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ditto.types import Condition, UserError

LONGEST = 4096  # tokens; a tokenizer whose file states no length has 1e30


class StableAudioText(nn.Module):
    """tokenizer: T5's; encoder: transformers' T5EncoderModel; projection: [..., text width] -> [..., width D]."""

    def __init__(self, tokenizer: Any, encoder: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.tokenizer, self.encoder, self.projection = tokenizer, encoder, projection
        self.length = int(min(tokenizer.model_max_length, LONGEST + 1))
        if self.length > LONGEST:
            raise UserError(
                "the tokenizer states no model_max_length: 128 in tokenizer_config.json of Stable Audio Open"
            )
        self.known: dict[str, Tensor] = {}

    def forward(self, prompts: list[str]) -> Condition:
        """B prompts -> tokens_BLD, float32 [B, L, D], L the tokenizer's model_max_length; what is longer is cut off."""
        for prompt in prompts:
            if prompt not in self.known:
                self.known[prompt] = self._encode(prompt)
        return Condition({"tokens_BLD": torch.stack([self.known[prompt] for prompt in prompts])})

    def _encode(self, prompt: str) -> Tensor:
        """[L, D]."""
        device = next(self.encoder.parameters()).device
        # It is remembered, so it must serve autograd whoever asked first.
        with torch.inference_mode(False), torch.no_grad():
            ids, mask = (value.to(device) for value in self._tokens(prompt))
            projected = self.projection(self.encoder(ids, attention_mask=mask)[0])
            return (projected * mask[..., None].to(projected.dtype))[0]

    def _tokens(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Ids and mask, int64 [1, L]."""
        if len(self.tokenizer(prompt).input_ids) > self.length:
            warnings.warn(f"only the first {self.length} tokens of this prompt are read: {prompt[:60]} …", stacklevel=2)
        options = {"padding": "max_length", "max_length": self.length, "truncation": True, "return_tensors": "pt"}
        tokens = self.tokenizer(prompt, **options)
        return tokens.input_ids, tokens.attention_mask
