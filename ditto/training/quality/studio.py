"""The sound of a model's sets: made once, kept under <waves>/<hash of model, sampler and seed>/<set>, then heard.

Legend: B clips, N samples.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ditto.audio import io
from ditto.audio.mel import LogMel
from ditto.build import build
from ditto.models.base import MusicModel, hash_weights
from ditto.noise import noise
from ditto.training.griffin_lim import griffin_lim
from ditto.training.quality.prompted import Prompted
from ditto.training.vocoding import stft_distance
from eval.embeddings import embed_clips, read_files
from eval.real import Excerpt
from eval.recognition.ear import Hearing, listen
from eval.sets import Row, mean_row, row

Make = Callable[[Sequence[Prompted]], Tensor]  # -> waves [B, N]
TIMED = 16  # clips of the batch that is timed


@dataclass
class Studio:
    """A model, how it samples, and where its sound lies."""

    model: MusicModel
    options: dict[str, Any]

    @cached_property
    def identity(self) -> str:
        return hash_weights(self.model)

    @property
    def guidance_scale(self) -> float | None:
        """Of the sampler; None for one that has no such option."""
        return self.options["sampler"].get("guidance_scale")

    def settings(self, steps: int | None = None) -> dict[str, Any]:
        """The sampler's options with T = steps; as configured by default."""
        return self.options["sampler"] | ({} if steps is None else {"steps": steps})

    def key(self, steps: int | None = None) -> str:
        """The name of the folder of the sound."""
        about = [self.identity, str(self.model.dtype), self.settings(steps), self.options["seed"]]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    def folder(self, steps: int | None = None) -> Path:
        return Path(self.options["waves"]) / self.key(steps)

    def record(self, label: str, clips: Sequence[Prompted], make: Make, steps: int | None = None) -> list[Path]:
        """The files of a set; those that are not on disk yet are made, batch by batch."""
        files = [self.folder(steps) / label / f"{clip.name}.flac" for clip in clips]
        missing = [i for i, file in enumerate(files) if not file.exists()]
        size, title = self.options["batch_size"], label if steps is None else f"{label}, T = {steps}"
        with tqdm(total=len(files), initial=len(files) - len(missing), desc=title, unit="clip") as bar, torch.no_grad():
            for start in range(0, len(missing), size):
                chosen = missing[start : start + size]
                for i, wave_N in zip(chosen, make([clips[i] for i in chosen]), strict=True):
                    io.write_flac(files[i], wave_N, self.model.clip.sample_rate)
                bar.update(len(chosen))
        return files

    def embed(self, files: Sequence[Path], label: str) -> list[np.ndarray]:
        """Embeddings [W, D] of each file."""
        embedded = embed_clips(read_files(files), Path(self.options["cache"]), total=len(files), label=label)
        return [embedded[file.stem] for file in files]

    def listen(self, files: Sequence[Path], label: str) -> list[Hearing]:
        return listen(read_files(files), Path(self.options["cache"]), len(files), label)

    def generate(self, steps: int, with_text: bool = True) -> Make:
        sampler = build(self.settings(steps), "the sampler")

        def make(clips: Sequence[Prompted]) -> Tensor:
            seeds = [clip.seed for clip in clips]
            condition = self.model.encode([clip.asked.prompt if with_text else "" for clip in clips])
            x_T = noise(seeds, self.model.shape, self.model.device, self.model.latent_dtype)
            return self.model.wave(sampler(self.model, x_T, condition, seeds=seeds))

        return make

    def real_waves(self, excerpts: Sequence[Excerpt]) -> Tensor:
        """[B, N] on the model's device."""
        return torch.stack([io.read_clip(e.file, self.model.clip, e.start_s) for e in excerpts]).to(self.model.device)

    def vocoder_trip(self, clips: Sequence[Prompted]) -> Tensor:
        """The real clips through mel and vocoder."""
        return self.model.wave(self.model.encode_audio(self.real_waves([clip.excerpt for clip in clips])))

    def griffin_lim_trip(self, clips: Sequence[Prompted]) -> Tensor:
        """The real clips through mel and 32 iterations of Griffin-Lim."""
        mel = LogMel().to(self.model.device)
        return griffin_lim(mel(self.real_waves([clip.excerpt for clip in clips])), mel, seed=clips[0].seed)

    def round_trip_rows(self, clips: Sequence[Prompted], make: Make) -> list[Row]:
        """stft_distance (multi-resolution, 0 is the same sound) and seconds to turn a batch of mels into sound."""
        made_BN, seconds = self.timed(clips, make)
        waves_BN = self.real_waves([clip.excerpt for clip in clips[:TIMED]])
        return [mean_row("stft_distance", stft_distance(made_BN, waves_BN).tolist()), seconds]

    @torch.no_grad()
    def timed(self, clips: Sequence[Prompted], make: Make) -> tuple[Tensor, Row]:
        """The waves of one batch and what a clip of it took, reading the recordings included."""
        few = clips[:TIMED]
        start = time.perf_counter()
        made_BN = make(few)
        return made_BN, row("seconds_per_clip", (time.perf_counter() - start) / len(few), len(few))
