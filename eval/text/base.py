"""The text score: how well a clip fits its prompt, as the cosine of a text and an audio embedding.

Paper: table columns "CLAP" of DITTO (arXiv 2401.12179), the mean cosine over all clips; CLAP: Wu et al., ICASSP 2023.

Conventions: prompts and clips are paired by position, and the caller pairs them by clip id; a score is a cosine, -1 to
1, higher is better. Scores of different judges are not comparable, so each judge names its column and states in `about`
what a table must say: checkpoint and its hash, sample rate, windows, quantisation, normalisation.

Legend: n pairs, N samples, D values of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ditto.types import UserError
from eval.embedders.base import Clip

MIN_SECONDS = 0.5


class TextJudge(Protocol):
    """What a table needs of a judge of text and sound; `conf/evaluator/text` holds the choices.

    column: the metric's name in every table, `clap_score` for a CLAP checkpoint and another name for anything else.
    about: checkpoint, its hash, sample rate, windows, quantisation, normalisation; all as text.
    """

    column: str
    about: dict[str, str]

    def scores(self, prompts: Sequence[str], clips: Sequence[Clip]) -> np.ndarray:
        """One cosine a pair [n], each independent of the other pairs; a clip that cannot be judged raises, by name."""
        ...


def check(prompts: Sequence[str], clips: Sequence[Clip]) -> None:
    """Every prompt has a clip, and every clip is mono, finite, MIN_SECONDS or longer; UserError names the clip."""
    if len(prompts) != len(clips):
        raise UserError(f"{len(prompts)} prompts for {len(clips)} clips: pair them by clip id first")
    for (clip_id, wave_N, rate), prompt in zip(clips, prompts, strict=True):
        if not prompt.strip():
            raise UserError(f"clip {clip_id} has an empty prompt: a text score needs words")
        if np.ndim(wave_N) != 1 or len(wave_N) < MIN_SECONDS * rate:
            raise UserError(
                f"clip {clip_id}: a mono wave of at least {MIN_SECONDS} s is needed, not {np.shape(wave_N)}"
            )
        if not np.isfinite(wave_N).all():
            raise UserError(f"clip {clip_id}: the wave holds NaN or infinite samples")


def cosine(text_nD: np.ndarray, audio_nD: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows [n, D], [n, D] -> [n], in float64; a row of zeros gives 0."""
    text, audio = np.asarray(text_nD, dtype=float), np.asarray(audio_nD, dtype=float)
    lengths = np.linalg.norm(text, axis=1) * np.linalg.norm(audio, axis=1)
    return (text * audio).sum(1) / np.maximum(lengths, 1e-12)
