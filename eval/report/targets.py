"""What a clip was asked for and what it became, from its control as `eval.control.targets` binds it again.

The achieved feature is taken from the written file: f of its wave, and x_0 as the model encodes that wave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ditto.audio.io import read_clip
from ditto.controls.base import Control
from ditto.controls.reference import reference_files
from eval.report.drawing import Drawing, drawing

OWN = "the user's own recording"


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording that a control was given: the excerpt [N], its rate, what it is and its licence."""

    wave_N: np.ndarray
    rate: int
    name: str
    about: str
    licence: str


@torch.no_grad()
def drawings(control: Control, wave_BN: Tensor) -> list[Drawing]:
    """What each part of a control draws for a clip's wave [1, N]."""
    x_0 = control.model.encode_audio(wave_BN)
    return [drawing(part, 0, x_0, wave_BN) for part in control.parts()]


@torch.no_grad()
def generated(control: Control, wave_BN: Tensor) -> list[tuple[float, float]]:
    """Where the stitched sound is new rather than recorded, in seconds; [] where nothing is stitched.

    Those are the places that change when the clip [1, N] is silenced before it is stitched.
    """
    x_0 = control.model.encode_audio(wave_BN)
    heard_BN = control.finish(x_0, wave_BN)
    if heard_BN is wave_BN:
        return []
    changed_N = (heard_BN - control.finish(x_0, torch.zeros_like(wave_BN)))[0].abs() > 1e-4
    hop = control.clip.hop
    blocks = changed_N[: len(changed_N) // hop * hop].view(-1, hop).any(1).int()
    edges = torch.diff(blocks, prepend=torch.zeros(1), append=torch.zeros(1)).nonzero().flatten()
    pairs = (edges.view(-1, 2) / control.clip.frame_rate).tolist()
    return [(start, end) for start, end in _joined(pairs) if end - start > 0.1]


def recordings(control: Control) -> list[Recording]:
    """The recordings that a bound control's parts were given for its clip."""
    parts = [part for part in control.parts() if getattr(part, "reference", None)]
    return [_recording(part, part.reference, part.start_s) for part in parts]  # type: ignore[attr-defined]


def _recording(part: Control, reference: Any, start_s: float) -> Recording:
    files = reference_files(reference)
    file = files[part.clips[0].index % len(files)]
    known = _shipped(file)
    about = ", ".join(str(known[key]) for key in ("genre", "mood") if key in known)
    tempo = f", {known['bpm']} BPM" if "bpm" in known else ""
    wave_N = read_clip(file, part.clip, start_s).numpy()
    return Recording(wave_N, part.clip.sample_rate, file.name, about + tempo, str(known.get("licence", OWN)))


def _shipped(file: Path) -> Mapping[str, Any]:
    """What examples.json beside a shipped recording says of it."""
    index = file.parent / "examples.json"
    entries = json.loads(index.read_text()) if index.exists() else []
    return next((entry for entry in entries if entry.get("file") == file.name), {})


def _joined(pairs: list[list[float]], gap: float = 0.25) -> list[tuple[float, float]]:
    """Stretches less than `gap` seconds apart as one: a quiet moment is no seam."""
    joined: list[tuple[float, float]] = []
    for start, end in pairs:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
