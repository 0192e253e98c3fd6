"""`text_audio_score`: the offline text judge, two small heads trained here on the captioned music.

It is not CLAP and its figures are not comparable with CLAP scores: it knows General MIDI sound, 30 genres and the
wording of this repository's captions. What it can tell, with its retrieval recall, stands in docs/model_card.md and in
the metadata of the weights (`python -m eval.text.train` writes it).

Conventions: a score is the cosine of two unit vectors, -1 to 1; features of a clip (`eval.text.heard`) are cached.

Legend: n prompts, N samples, F features of a clip, D = 128.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from ditto.types import UserError
from eval.musicnn import WEIGHTS as FOLDER
from eval.text import heard, words
from eval.text.model import TextAudio
from eval.text.pairs import PairJudge
from eval.text.windows import RESAMPLER

WEIGHTS = FOLDER / "text_audio.safetensors"
SAID = ("test_text_to_audio_recall_at_10", "test_n")  # in every table; the model card has all of them


class TextAudioJudge(PairJudge):
    """The cosine of the two heads; refuses weights that were trained on other features."""

    column = "text_audio_score"
    name = "heard"

    def __init__(self, weights: str | None = None, cache: str | None = "runs/cache/embeddings") -> None:
        """weights: file of the heads (the shipped one by default); cache: folder of clips' features, or None."""
        super().__init__(cache)
        path = Path(weights) if weights else WEIGHTS
        self.model = TextAudio.load(path)
        self.fingerprint = heard.fingerprint()
        if self.model.about.get("heard") != self.fingerprint or self.model.about.get("words") != words.VERSION:
            raise UserError(f"{path} was trained on other features: run `python -m eval.text.train`")
        self.about = {
            "judge": "text-audio heads of this repository (not CLAP)",
            "checkpoint": path.name,
            "hash": hashlib.sha256(path.read_bytes()).hexdigest()[:12],
            "trunks": f"musicnn MSD and formulas ({self.fingerprint}); all-MiniLM-L6-v2, tempo by rule",
            "sample_rate": f"16000 Hz, {RESAMPLER}",
            "windows": "3 s every 1.472 s, mean of features",
            "quantisation": "none",
            "normalisation": "cosine of L2-normalised embeddings",
            **{key: value for key, value in self.model.about.items() if key in SAID},
        }

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """Prompts -> unit vectors [n, D]."""
        return self.model.text(words.read(prompts)).numpy()

    def embed_clip(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """What is cached: features of one clip [F]."""
        return heard.hear(wave_N, rate)

    def finish(self, cached_nF: np.ndarray) -> np.ndarray:
        """Features -> unit vectors [n, D]."""
        return self.model.audio(torch.from_numpy(cached_nF)).numpy()
