"""What `text_audio_score` reads of a prompt: a frozen sentence encoder's mean token state, and the tempo as a number.

all-MiniLM-L6-v2 (`ditto.models.text`) blurs numbers, so "120 bpm" or "120 beats per minute" is also read by rule:
16 Gaussian bumps on log2 of the tempo between 55 and 210 (as wide as their distance), and 1; all 0 without a number.

Legend: n prompts, D = 384 + 17 features.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from ditto.models.text import WIDTH, shared_text_encoder

VERSION = "1"
GROUPS = {"sentence": WIDTH, "tempo": 17}
TEMPO = re.compile(r"(\d+(?:\.\d+)?)\s*-?(?:bpm|beats per minute)", re.IGNORECASE)
CENTRES = torch.linspace(math.log2(55), math.log2(210), GROUPS["tempo"] - 1)
CHUNK = 64


def tempo(prompts: list[str]) -> Tensor:
    """The stated tempo [n, 17]."""
    rows = torch.zeros(len(prompts), GROUPS["tempo"])
    width = float(CENTRES[1] - CENTRES[0])
    for row, prompt in zip(rows, prompts, strict=True):
        if (found := TEMPO.search(prompt)) and float(found[1]) > 0:
            row[:-1] = (-0.5 * ((math.log2(float(found[1])) - CENTRES) / width).square()).exp()
            row[-1] = 1.0
    return rows


def read(prompts: list[str]) -> Tensor:
    """Prompts -> [n, D]; every prompt is padded to one length, so a row does not depend on the others."""
    encoder = shared_text_encoder()
    chunks = [prompts[start : start + CHUNK] for start in range(0, len(prompts), CHUNK)]
    sentence = torch.cat([encoder(chunk).pooled_BD.cpu() for chunk in chunks])
    return torch.cat([sentence, tempo(prompts)], 1)
