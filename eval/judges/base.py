"""What a network of these packages offers, in whichever process it runs.

Legend: n prompts, W rows, N samples, D values of an embedding.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import random
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from eval.text.process import fenced


class Network(Protocol):
    """Prompts and windows of sound to embeddings, each alone: a row does not depend on the others of the call."""

    described: dict[str, str]  # "weights": hash of what was loaded; "versions": packages and their releases

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """Prompts -> [n, D] float32."""

    def embed_waves(self, waves: list[np.ndarray]) -> np.ndarray:
        """Mono windows [N] float32 at the network's own rate -> [W, D] float32, in their order."""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """`fenced`, torch.hub's folder too; and inside, whatever a package draws is the same at every call."""
    hub = torch.hub.get_dir()
    try:
        with fenced():
            random.seed(0)
            np.random.seed(0)
            torch.manual_seed(0)
            yield
    finally:
        torch.hub.set_dir(hub)


def versions(*packages: str) -> str:
    """ "laion_clap 1.1.7, torch 2.13.0, ...": those of the process this is called in."""
    return ", ".join(f"{name} {_version(name)}" for name in packages)


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return "of unknown release"
