"""The CLAP score of the paper's tables: the `laion_clap` package with `music_audioset_epoch_15_esc_90.14.pt`.

Paper: Wu et al., ICASSP 2023; DITTO (arXiv 2401.12179), section "metrics": HTSAT-base, no fusion, 48 kHz.

What this adapter fences off:
- The package pins numpy below 2 and loads three tokenizers on import: it is imported when a judge is made, no sooner.
- Its tokenizer may be empty offline (transformers 5 builds one without a word): refused.
- Above 10 s it crops at random: it is only ever given windows of 10 s or less (`eval.text.windows`).
- It rounds waves to int16 by itself, always: so recorded. It prints every weight and extends sys.path: put back.
- The checkpoint is a pickle: only a file of the paper's sha256 is loaded, unless `trust=true` says otherwise.

Legend: n prompts, N samples, D = 512.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ditto.types import UserError
from eval.text.clap import check_tokenizer
from eval.text.pairs import PairJudge
from eval.text.process import fenced
from eval.text.windows import RESAMPLER, RULE, cut, mean_direction, resampled

FILE = "music_audioset_epoch_15_esc_90.14.pt"
SHA256 = "fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd"
URL = f"https://huggingface.co/lukewys/laion_clap/resolve/main/{FILE}"
RATE, LENGTH = 48_000, 480_000
VOCABULARY = 50_265  # RoBERTa base


class LaionClapJudge(PairJudge):
    """`clap_score` with the checkpoint of the paper."""

    column = "clap_score"
    name = "laion-clap"

    def __init__(
        self,
        checkpoint: str = f"checkpoints/{FILE}",
        trust: bool = False,
        cache: str | None = "runs/cache/embeddings",
        device: str = "cpu",
    ) -> None:
        """checkpoint: file of the weights (HTSAT-base, no fusion); trust: load a file other than the paper's."""
        super().__init__(cache)
        path = Path(checkpoint)
        if not path.is_file():
            raise UserError(f"no CLAP checkpoint at '{path}': download {URL} (2.35 GB, CC0-1.0), or name where it lies")
        weights = _sha256(path)
        if weights != SHA256 and not trust:
            raise UserError(
                f"'{path}' is not the paper's {FILE} (its sha256 is {weights[:12]}…): add trust=true if you trust it"
            )
        with fenced():
            self.module = _load(path, device)
        self.fingerprint = weights[:12]
        self.about = {
            "judge": "CLAP, laion_clap",
            "checkpoint": f"{path.name}{' (of the paper)' if weights == SHA256 else ''}",
            "hash": weights[:12],
            "sample_rate": f"{RATE} Hz, {RESAMPLER}",
            "windows": f"10 s; {RULE}; a shorter clip: repeatpad",
            "quantisation": "int16 (the package's own)",
            "normalisation": "cosine of L2-normalised embeddings",
        }

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """Prompts, each padded to 77 tokens -> [n, 512]; one at a time in a pair (the package trips over one)."""
        with fenced():
            return np.stack([np.asarray(self.module.get_text_embedding([prompt] * 2))[0] for prompt in prompts])

    def embed_clip(self, wave_N: np.ndarray, rate: int) -> np.ndarray:
        """Windows of 10 s or less, one at a time -> mean direction [512]."""
        windows = cut(resampled(wave_N, rate, RATE), LENGTH)
        with fenced():
            rows = [np.asarray(self.module.get_audio_embedding_from_data(x=window[None]))[0] for window in windows]
        return mean_direction(np.stack(rows))


def _load(path: Path, device: str) -> Any:
    try:
        import laion_clap
    except ImportError as error:
        raise UserError(f"the judge laion_clap needs its package: pip install 'ditto-bench[clap]' ({error})") from error
    except OSError as error:  # it fetches tokenizers on import
        raise UserError(f"laion_clap cannot load its tokenizers: use it once with a network ({error})") from error
    try:
        module = laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-base", device=device)
    except OSError as error:
        raise UserError(f"laion_clap needs roberta-base: use it once with a network ({error})") from error
    check_tokenizer(len(module.tokenize), VOCABULARY, "roberta-base")
    module.load_ckpt(str(path), verbose=False)
    return module.eval().requires_grad_(False)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
