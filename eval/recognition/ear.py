"""What the recognition judges hear of a clip: the 2,106 features of `eval.text.heard`, and its tempo; both cached.

Cache layout: <cache>/heard-<fingerprint>/ and <cache>/tempo-v<version>/, one file a wave, by its content.

Legend: N samples, D = 2,106 features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.embedders.base import Clip
from eval.recognition import tempo
from eval.text import heard
from eval.text.pairs import kept


@dataclass(frozen=True)
class Hearing:
    """Features [D] float32 and beats per minute of one clip."""

    features: np.ndarray
    bpm: float


def listen(clips: Iterable[Clip], cache: Path, total: int | None = None, label: str = "") -> list[Hearing]:
    """Each clip's hearing, in their order; a clip heard before comes from the cache."""
    found = []
    for clip in tqdm(clips, f"hear {label}".strip(), unit="clip", total=total, leave=False):
        features = kept(cache / f"heard-{heard.fingerprint()}", clip, heard.hear)
        bpm = kept(cache / f"tempo-v{tempo.VERSION}", clip, lambda wave, rate: np.array(tempo.estimate(wave, rate)))
        found.append(Hearing(features, float(bpm)))
    return found
