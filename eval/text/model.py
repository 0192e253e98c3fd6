"""The two small heads of `text_audio_score`: standardised features -> unit vectors of one space.

Objective: symmetric InfoNCE with a learned temperature (Radford et al., ICML 2021), except that a caption which another
clip's piece also carries is no negative for that clip: such a pair is left out of the sum.

Legend: n pairs, D_a audio features, D_t text features, D = 128.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ditto.types import UserError

DIMENSION = 128
LIMIT = 8.0  # standard deviations: strange sound must not drive the score
MAX_SCALE = 100.0


class Head(nn.Module):
    """Standardise by group (each group has the same weight, whatever its size), then two layers, then length 1."""

    mean: Tensor
    scale: Tensor
    share: Tensor

    def __init__(self, groups: dict[str, int], hidden: int, dropout: float) -> None:
        super().__init__()
        size = sum(groups.values())
        self.groups = groups
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        share = torch.cat([torch.full((width,), math.sqrt(200 / width)) for width in groups.values()])
        self.register_buffer("share", share, persistent=False)
        self.net = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(size, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, DIMENSION)
        )

    def standardise(self, features_nF: Tensor) -> None:
        """Take mean and spread from the training features."""
        self.mean = features_nF.mean(0)
        self.scale = features_nF.std(0).clamp(min=1e-3)

    def forward(self, features_nF: Tensor) -> Tensor:
        x = ((features_nF - self.mean) / self.scale).clamp(-LIMIT, LIMIT) * self.share
        return nn.functional.normalize(self.net(x), dim=-1)


class TextAudio(nn.Module):
    """audio(features_nA) and text(features_nT) -> unit vectors [n, D]; about: what is known of these weights."""

    def __init__(self, audio: dict[str, int], text: dict[str, int], hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = hidden
        self.about: dict[str, str] = {}
        self.audio = Head(audio, hidden, dropout)
        self.text = Head(text, hidden, dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def loss(self, audio_nF: Tensor, text_nF: Tensor, also_nn: Tensor) -> Tensor:
        """Mean of text-to-audio and audio-to-text cross entropy; also_nn[i, j]: text i fits clip j too (i ≠ j)."""
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        logits = (scale * self.text(text_nF) @ self.audio(audio_nF).T).masked_fill(also_nn, -torch.inf)
        target = torch.arange(len(logits))
        return (nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)) / 2

    def save(self, path: Path) -> None:
        """float16 weights, with `about` and the groups of features as metadata."""
        groups = {"audio": self.audio.groups, "text": self.text.groups}
        tensors = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        partial = path.with_name(f".{path.name}.part")
        save_file(tensors, partial, {**self.about, "hidden": str(self.hidden), "groups": json.dumps(groups)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> TextAudio:
        """The heads of a file written by `save`, frozen, in evaluation mode."""
        if not path.is_file():
            raise UserError(f"no text-audio weights at {path}: run `python -m eval.text.train`")
        with safe_open(path, "pt") as file:
            about = dict(file.metadata())
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
        groups, hidden = json.loads(about.pop("groups")), int(about.pop("hidden"))
        model = cls(groups["audio"], groups["text"], hidden)
        model.load_state_dict(tensors)
        model.about = about
        return model.eval().requires_grad_(False)
