"""The CLAP score through transformers: any `ClapModel` of the hub or of a local folder.

Paper: Wu et al., "Large-scale contrastive language-audio pretraining", ICASSP 2023. `laion/larger_clap_music` is the
transformers port of the checkpoint that DITTO's tables use (Apache-2.0, 776 MB); the port's mel filters are those of
its own extractor, so its scores are near those of `eval.text.laion` and not equal to them.

Conventions: windows and rounding as in `eval.text.windows`; each window and each prompt is encoded alone, so a score
does not depend on its batch. In a fusion model a clip of one window counts as short (its extractor would mark one clip
of the batch as long, at random).

Legend: n prompts, N samples, W windows, D values of an embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ditto.types import UserError
from eval.text.pairs import PairJudge
from eval.text.process import fenced
from eval.text.vocabulary import check_tokenizer
from eval.text.windows import RESAMPLER, RULE, cut, mean_direction, resampled, rounded


class ClapJudge(PairJudge):
    """`clap_score`: the cosine of CLAP's text and audio embeddings."""

    column = "clap_score"
    name = "clap"

    def __init__(
        self,
        checkpoint: str = "laion/larger_clap_music",
        int16: bool = True,
        cache: str | None = "runs/cache/embeddings",
        device: str = "cpu",
    ) -> None:
        """checkpoint: hub id or folder; int16: round samples to 16 bits; cache: folder of embeddings, or None."""
        super().__init__(cache)
        self.int16, self.device = int16, device
        with fenced():
            self.model, self.extractor, self.tokenizer = _load(checkpoint)
        self.model.to(device)
        self.length = int(self.extractor.nb_max_samples)
        self.truncation = "fusion" if self.model.config.audio_config.enable_fusion else "rand_trunc"  # never truncates
        weights = state_hash(self.model.state_dict())
        self.fingerprint = f"{weights}-{'int16' if int16 else 'float'}"
        self.about = {
            "judge": "CLAP, transformers ClapModel",
            "checkpoint": checkpoint,
            "hash": weights,
            "sample_rate": f"{self.extractor.sampling_rate} Hz, {RESAMPLER}",
            "windows": f"{self.extractor.max_length_s} s; {RULE}; a shorter clip: {self.extractor.padding}",
            "quantisation": "int16" if int16 else "none",
            "normalisation": "cosine of L2-normalised embeddings",
        }

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """One prompt at a time -> [n, D]."""
        limit = self.model.config.text_config.max_position_embeddings - 2  # RoBERTa counts positions from 2
        rows = []
        for prompt in prompts:
            tokens = self.tokenizer(prompt, truncation=True, max_length=limit, return_tensors="pt").to(self.device)
            with torch.no_grad():
                output = self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])
            rows.append(_vector(output))
        return np.stack(rows)

    def embed_clip(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """One window at a time -> mean direction [D]."""
        wave = resampled(wave_N, rate, self.extractor.sampling_rate)
        wave = rounded(wave) if self.int16 else wave
        return mean_direction(np.stack([self._window(window) for window in cut(wave, self.length)]))

    def _window(self, wave_N: np.ndarray) -> np.ndarray:
        with fenced():
            rate = self.extractor.sampling_rate
            mel = self.extractor(wave_N, self.truncation, sampling_rate=rate, return_tensors="pt")
            short = torch.zeros(1, 1, dtype=torch.bool, device=self.device)
            output = self.model.get_audio_features(mel["input_features"].float().to(self.device), is_longer=short)
        return _vector(output)


def _vector(output: object) -> np.ndarray:
    """The one embedding of a model's answer [D]; transformers 5 wraps it."""
    return getattr(output, "pooler_output", output)[0].float().cpu().numpy()  # type: ignore[index]


def _load(checkpoint: str) -> tuple:
    """Model, extractor and tokenizer, each found whole; no weight is left at random."""
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    try:
        model, found = cast(tuple[Any, dict], ClapModel.from_pretrained(checkpoint, output_loading_info=True))
        extractor = ClapFeatureExtractor.from_pretrained(checkpoint)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no CLAP checkpoint at '{checkpoint}': `hf download laion/larger_clap_music` once (776 MB, Apache-2.0), "
            "or give evaluator.text.checkpoint=FOLDER with config, weights, preprocessor_config and tokenizer"
        ) from error
    if found["missing_keys"]:
        raise UserError(f"'{checkpoint}' is no whole ClapModel: {len(found['missing_keys'])} weights are missing")
    check_tokenizer(len(tokenizer), model.config.text_config.vocab_size, checkpoint)
    return model.eval().requires_grad_(False), extractor, tokenizer


def state_hash(state: Mapping[str, Tensor]) -> str:
    """First 12 hex of the sha256 of all weights in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
