"""The prompts of AudioLDM 2: CLAP and T5, joined by a projection, from which GPT-2 imagines eight more states.

    CLAP(prompt) [1, 1, 512]  -> linear -> between two learned tokens  ┐
                                                                        ├ one sequence -> GPT-2 -> states [1, 8, 768]
    T5(prompt)   [1, L, 1024] -> linear -> between two learned tokens  ┘

Liu et al. 2024, "AudioLDM 2": GPT-2 translates text to the "language of audio". The U-Net attends to GPT-2's states
and, in other layers, to T5's. Legend: B clips, S generated states, L tokens of T5, D their width.

Why the generation is written out here: diffusers' `generate_language_model` (0.42.1) calls methods of generation of the
language model. The published checkpoints hold a GPT2Model, which has none since transformers 4.50, so that the pipeline
ends in "'GPT2Model' object has no attribute '_update_model_kwargs_for_generation'" (diffusers issue 12630). The loop
here needs no more than `inputs_embeds`, `past_key_values` and `last_hidden_state`; the tests hold it to the pipeline's
own states, which a GPT2LMHeadModel still gives.

Every prompt is encoded alone and unpadded. In a batch, the pipeline pads T5's tokens before GPT-2 reads them; the mask
hides the padding, but the last token and all states after it move to later positions, whose embeddings differ: there a
prompt's states depend on the longest one of the batch, and those of "" on the prompt that it is the null of. Here a
prompt has the states that the pipeline gives it when it is asked for nothing else, and "" too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ditto.models.pretrained.checkpoint import load_part, load_tokenizer, read_config
from ditto.models.pretrained.clap_text import ClapText, load_clap_text
from ditto.types import Condition

SPECIAL = 5  # columns that the projection adds to T5's: CLAP's vector, and a start and an end for each of the two


class AudioLDM2Text(nn.Module):
    """prompts -> generated_BSD, tokens_BLD and mask_BL (1 where there is a token). Frozen; a prompt is encoded once.

    t5: transformers' T5EncoderModel; projection: diffusers' AudioLDM2ProjectionModel; gpt2: GPT2Model; states: how many
    GPT-2 generates. All float32. A prompt longer than the tokenizer's own limit (128 tokens of T5) is cut.
    """

    def __init__(
        self, clap: ClapText, t5: nn.Module, t5_tokenizer: Any, projection: nn.Module, gpt2: nn.Module, states: int = 8
    ) -> None:
        super().__init__()
        self.clap, self.t5_tokenizer, self.states = clap, t5_tokenizer, states
        self.t5: Any = t5
        self.projection: Any = projection
        self.gpt2: Any = gpt2
        config: Any = gpt2.config
        self.longest = min(t5_tokenizer.model_max_length, config.n_positions - SPECIAL - states)
        self._known: dict[str, Condition] = {}
        self.eval().requires_grad_(False)

    def forward(self, prompts: list[str]) -> Condition:
        """The prompts of a batch; shorter ones are padded with zeros, which the mask hides."""
        first, *others = (self._remembered(prompt) for prompt in prompts)
        for other in others:
            first = first.cat(other)
        return first.to(self.t5.device)

    def _remembered(self, prompt: str) -> Condition:
        if prompt not in self._known:
            self._known[prompt] = self._encode(prompt)
        return self._known[prompt]

    @torch.no_grad()
    def _encode(self, prompt: str) -> Condition:
        tokens = self.t5_tokenizer([prompt], truncation=True, max_length=self.longest, return_tensors="pt")
        tokens = tokens.to(self.t5.device)
        tokens_1LD = self.t5(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        clap_11D = self.clap.embeddings([prompt])[:, None]
        sequence = self.projection(hidden_states=clap_11D, hidden_states_1=tokens_1LD).hidden_states
        states_1SD = generate_states(self.gpt2, sequence, self.states)
        return Condition({"generated_BSD": states_1SD, "tokens_BLD": tokens_1LD, "mask_BL": tokens.attention_mask})


def generate_states(gpt2: nn.Module, sequence_BLD: Tensor, states: int) -> Tensor:
    """GPT-2's last hidden state, appended to its input again and again: [B, L, D] -> [B, states, D].

    The sequence must have no padding: positions are counted from its first column.
    """
    generated: list[Tensor] = []
    columns, past = sequence_BLD, None
    for _ in range(states):
        output = gpt2(inputs_embeds=columns, past_key_values=past, use_cache=True)
        columns, past = output.last_hidden_state[:, -1:], output.past_key_values
        generated.append(columns)
    return torch.cat(generated, dim=1)


def load_audioldm2_text(folder: Path) -> AudioLDM2Text:
    """From a checkpoint's own parts; CLAP's audio tower and a language model's head are left out."""
    from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel
    from transformers import GPT2Model, T5EncoderModel

    t5: Any = load_part(T5EncoderModel, folder, "text_encoder_2")
    return AudioLDM2Text(
        load_clap_text(folder),
        t5,
        load_tokenizer(folder, "tokenizer_2", t5.config.vocab_size),
        load_part(AudioLDM2ProjectionModel, folder, "projection_model"),
        load_part(GPT2Model, folder, "language_model", unused=("lm_head",)),
        states=read_config(folder, "language_model").get("max_new_tokens") or 8,
    )
