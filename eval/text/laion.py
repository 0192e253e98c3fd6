"""The CLAP score of the paper's tables: the `laion_clap` package with `music_audioset_epoch_15_esc_90.14.pt`.

Paper: Wu et al., ICASSP 2023; DITTO (arXiv 2401.12179), section "metrics": HTSAT-base, no fusion, 48 kHz.

The package's network is `eval.judges.laion`, by default in a process and an environment of its own (`make judges`); its
traps are listed there. Here: which checkpoint, windows, pairs, cache. The checkpoint is a pickle, so only a file of the
paper's sha256 is loaded, unless `trust=true` says otherwise.

Legend: n prompts, N samples, D = 512.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ditto.types import UserError
from eval.judges.laion import LENGTH, RATE
from eval.judges.process import PYTHON, network
from eval.text.pairs import PairJudge
from eval.text.windows import RESAMPLER, RULE, cut, mean_direction, resampled

FILE = "music_audioset_epoch_15_esc_90.14.pt"
SHA256 = "fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd"
URL = f"https://huggingface.co/lukewys/laion_clap/resolve/main/{FILE}"


class LaionClapJudge(PairJudge):
    """`clap_score` with the checkpoint of the paper."""

    column = "clap_score"
    name = "laion-clap"

    def __init__(
        self,
        checkpoint: str = f"checkpoints/{FILE}",
        trust: bool = False,
        architecture: str = "HTSAT-base",
        cache: str | None = "runs/cache/embeddings",
        device: str = "cpu",
        python: str | None = PYTHON,
    ) -> None:
        """checkpoint: file of weights without fusion; trust: load a file other than the paper's; architecture: of its
        audio half; python: the interpreter of the judges' environment, None for this one."""
        super().__init__(cache)
        path = Path(checkpoint)
        if not path.is_file():
            raise UserError(f"no CLAP checkpoint at '{path}': download {URL} (2.35 GB, CC0-1.0), or name where it lies")
        weights = _sha256(path)
        if weights != SHA256 and not trust:
            raise UserError(
                f"'{path}' is not the paper's {FILE} (its sha256 is {weights[:12]}…): add trust=true if you trust it"
            )
        target, option = "eval.judges.laion.LaionNetwork", "evaluator.text.python"
        options = {"checkpoint": str(path.resolve()), "architecture": architecture, "device": device}
        self.network = network(target, python, option, **options)
        self.fingerprint = weights[:12]
        self.about = {
            "judge": f"CLAP, {self.network.described['versions']}",
            "checkpoint": f"{path.name}{' (of the paper)' if weights == SHA256 else ''}",
            "hash": weights[:12],
            "sample_rate": f"{RATE} Hz, {RESAMPLER}",
            "windows": f"10 s; {RULE}; a shorter clip: repeatpad",
            "quantisation": "int16 (the package's own)",
            "normalisation": "cosine of L2-normalised embeddings",
        }

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """Prompts -> [n, 512]."""
        return self.network.embed_texts(prompts)

    def embed_clip(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """Windows of 10 s or less -> mean direction [512]."""
        return mean_direction(self.network.embed_waves(cut(resampled(wave_N, rate, RATE), LENGTH)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
