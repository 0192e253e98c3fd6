"""`laion_clap.CLAP_Module`, one prompt or window at a time.

Paper: Wu et al., "Large-scale contrastive language-audio pretraining", ICASSP 2023. Checked with laion_clap 1.1.7.

What is fenced off here, whichever process this runs in:
- Where a tokenizer's files are missing, transformers 5 makes an empty one: the one in use is counted.
- It asks the hub for what is cached or not needed (`eval.judges.hub`).
- It crops sound above 10 s at random: refused (`eval.text.windows` cuts).
- It prints every weight and extends sys.path, its constructor draws from the random states: put back.
- Its checkpoints are pickles, which can run code: the caller gives a path that the user has vouched for.
- It rounds waves to int16 by itself: so recorded by the judge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ditto.types import UserError
from eval.judges.base import alone, versions
from eval.judges.compiled import spare_compiled_parts
from eval.judges.hub import ROBERTA, offline
from eval.text.vocabulary import check_tokenizer

RATE, LENGTH = 48_000, 480_000  # Hz, samples of a window
VOCABULARY = 50_265  # RoBERTa base
NEEDS = (
    "laion_clap needs roberta-base (0.5 GB, MIT) from the Hugging Face hub: start it once with a network and without "
    "HF_HUB_OFFLINE, or put it into the cache (HF_HOME)"
)


class LaionNetwork:
    """A `Network`: D = 512, both halves; embeddings of length 1.

    checkpoint: file of weights without fusion; architecture: its audio half, HTSAT-base for the music checkpoints and
    HTSAT-tiny for the general ones (630k); device: cpu, cuda or cuda:1.
    """

    def __init__(self, checkpoint: str, architecture: str = "HTSAT-base", device: str = "cpu") -> None:
        with alone():
            self.module = _load(Path(checkpoint), architecture, device)
        self.described = {"versions": versions("laion_clap", "torch", "numpy", "transformers")}

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        """Prompts, each padded to 77 tokens -> [n, 512]; what is beyond 77 is not read."""
        with alone():
            return np.concatenate([np.asarray(self.module.get_text_embedding([prompt])) for prompt in prompts])

    def embed_waves(self, waves: list[np.ndarray]) -> np.ndarray:
        """Windows [N] of at most 10 s at 48 kHz -> [W, 512]; a shorter one is repeated, then padded with zeros."""
        if longest := [len(wave) for wave in waves if len(wave) > LENGTH]:
            raise ValueError(f"a window of {max(longest)} samples: laion_clap would crop above {LENGTH} at random")
        with alone():
            rows = [self.module.get_audio_embedding_from_data(x=np.asarray(wave, np.float32)[None]) for wave in waves]
            return np.concatenate([np.asarray(row) for row in rows])


def _load(path: Path, architecture: str, device: str) -> Any:
    """The module with its weights; one line where a package, a tokenizer or a weight is missing."""
    spare_compiled_parts()
    try:
        with offline():
            import laion_clap
    except ImportError as error:
        raise UserError(
            f"the judge laion_clap needs its package: `make judges`, or pip install 'ditto-bench[clap]' ({error})"
        ) from error
    try:
        with offline(unless_missing=ROBERTA):
            module = laion_clap.CLAP_Module(enable_fusion=False, amodel=architecture, device=device)
    except OSError as error:
        raise UserError(f"{NEEDS} ({_first_line(error)})") from error
    check_tokenizer(len(module.tokenize), VOCABULARY, "roberta-base")
    try:
        module.load_ckpt(str(path), verbose=False)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"'{path}' is no laion_clap checkpoint of {architecture} without fusion ({_first_line(error)})"
        ) from error
    return module.eval().requires_grad_(False)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
