"""Two linear judges on the features of `eval.text.heard`: which family of genres, which groups of instruments.

Family: multinomial logistic regression over classes, which are the genres or the families themselves (what was better
on val); a family's probability is the sum of its classes'. Instruments: one logistic regression a group.
Features are standardised by the training clips and clipped to 5 spreads, so that a sound unlike any music cannot decide
by one wild value. Trained by `python -m eval.recognition.train`.

Legend: n clips, D features, C classes, G groups.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ditto.types import UserError
from eval import musicnn
from eval.recognition.families import FAMILY, NAMES
from eval.text import heard

WEIGHTS = musicnn.WEIGHTS / "recognition.safetensors"
RETRAIN = "run `python -m eval.recognition.train`"
SPREADS = 5.0
TENSORS = ("mean", "scale", "class_weight", "class_bias", "group_weight", "group_bias")


@dataclass(frozen=True)
class Scale:
    """Mean and spread [D] of the training clips."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, features_nD: Tensor) -> Scale:
        return cls(features_nD.mean(0), features_nD.std(0).clamp(min=1e-6))

    def __call__(self, features_nD: Tensor) -> Tensor:
        return ((features_nD - self.mean) / self.scale).clamp(-SPREADS, SPREADS)


@dataclass(frozen=True)
class Judge:
    """Weights [C, D] and [G, D] with their biases, what the classes and groups are called, and what was measured."""

    scale: Scale
    classes: tuple[str, ...]
    class_weight: Tensor
    class_bias: Tensor
    groups: tuple[str, ...]
    group_weight: Tensor
    group_bias: Tensor
    about: dict[str, str]

    def families(self, features_nD: np.ndarray) -> np.ndarray:
        """Probability of each family of `families.NAMES` [n, 8]."""
        x = self.scale(torch.from_numpy(np.asarray(features_nD, dtype=np.float32)))
        classes = torch.softmax(x @ self.class_weight.T + self.class_bias, 1).numpy()
        member = np.array([[FAMILY.get(name, name) == family for family in NAMES] for name in self.classes])
        return classes @ member.astype(np.float32)

    def instruments(self, features_nD: np.ndarray) -> np.ndarray:
        """Probability that each of `groups` plays [n, G]."""
        x = self.scale(torch.from_numpy(np.asarray(features_nD, dtype=np.float32)))
        return torch.sigmoid(x @ self.group_weight.T + self.group_bias).numpy()

    def save(self, path: Path) -> None:
        values = (self.scale.mean, self.scale.scale, *(getattr(self, name) for name in TENSORS[2:]))
        names = {"classes": json.dumps(self.classes), "groups": json.dumps(self.groups)}
        tensors = {name: value.float().contiguous() for name, value in zip(TENSORS, values, strict=True)}
        save_file(tensors, path, names | self.about)

    @property
    def name(self) -> str:
        """What a table says of the judge."""
        return f"eval.recognition, {self.about['n_train']} training clips, {self.about['hash']}"


@lru_cache(maxsize=2)
def load(path: Path = WEIGHTS) -> Judge:
    """The shipped judges; refuses those trained on other features."""
    if not path.exists():
        raise UserError(f"no recognition judges at {path}: {RETRAIN}")
    with safe_open(path, "pt") as file:
        about = dict(file.metadata())
        t = {name: file.get_tensor(name) for name in TENSORS}
    if about["features"] != heard.fingerprint():
        raise UserError(f"{path} was trained on other features: {RETRAIN}")
    classes, groups = (_names(about.pop(name)) for name in ("classes", "groups"))
    return Judge(Scale(t["mean"], t["scale"]), classes, t["class_weight"], t["class_bias"], groups, t["group_weight"],
                 t["group_bias"], about)  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
