"""How good the model is without any control: `python -m ditto.training.quality model=embedded n=500`.

Sets, all of n clips and against the same reference (test clips of the other half of the test tunes):
  real        unseen test clips: the floor of FAD, and the genre classifier's accuracy on real music
  vocoder     those clips through mel and vocoder: what the vocoder alone costs
  griffin_lim the same through 32 iterations of Griffin-Lim, on fewer clips; `real` and `vocoder` again at that n
  generated   one clip for each real clip's prompt, text only
  no_text     the same noise with the empty prompt; its tag rows are against the prompts it was not given
The tag metrics (eval.tags) stand with each clip's own genre and with genres shuffled among the clips.
Writes <results>/model_quality.csv (set, metric, value, low, high, n, reference, commit, weights, waves, device) and a
picture of real and generated mels. `weights` is the hash that run directories name, `waves` the folder of the sound.

Legend: B clips, N samples, F mel bins, T frames.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from tqdm import tqdm

from ditto.audio import io
from ditto.audio.mel import LogMel
from ditto.build import build, build_model, pick_device
from ditto.command import command
from ditto.environment import commit, device_name
from ditto.models.base import MusicModel, hash_weights
from ditto.noise import noise
from ditto.training.griffin_lim import griffin_lim
from ditto.training.vocoding import stft_distance
from eval.embedders.musicnn import Musicnn
from eval.embeddings import embed_clips, read_files
from eval.fad import Statistics
from eval.real import Excerpt, embed_excerpts, load_excerpts
from eval.references import Reference
from eval.sets import Row, fad_rows, mean_row, row, tag_rows

Make = Callable[[list[Excerpt], list[int]], Tensor]  # excerpts and their seeds -> waves [B, N]


@dataclass
class Quality:
    """One measurement: the model, where things lie, and the rows so far."""

    model: MusicModel
    sampler: Callable[..., Tensor]
    options: dict[str, Any]
    reference: Reference
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        about = [hash_weights(self.model), str(self.model.dtype), self.options["sampler"], self.options["seed"]]
        self.key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        self.waves = Path(self.options["waves"]) / self.key
        self.cache = Path(self.options["cache"])

    def embed(self, label: str, excerpts: list[Excerpt], make: Make) -> list[np.ndarray]:
        """Make the waves of a set that are not on disk yet, batch by batch; embeddings [W, D] of all."""
        files = [self.waves / label / f"{excerpt.clip_id}.flac" for excerpt in excerpts]
        missing = [i for i, file in enumerate(files) if not file.exists()]
        size = self.options["batch_size"]
        with tqdm(total=len(files), initial=len(files) - len(missing), desc=label, unit="clip") as bar, torch.no_grad():
            for start in range(0, len(missing), size):
                chosen = missing[start : start + size]
                waves_BN = make([excerpts[i] for i in chosen], [self.options["seed"] + i for i in chosen])
                for i, wave_N in zip(chosen, waves_BN, strict=True):
                    io.write_flac(files[i], wave_N, self.model.clip.sample_rate)
                bar.update(len(chosen))
        embedded = embed_clips(read_files(files), self.cache, total=len(files), label=label)
        return [embedded[excerpt.clip_id] for excerpt in excerpts]

    def add(self, name: str, rows: list[Row]) -> None:
        self.rows += [{"set": name, **one} for one in rows]

    def generate(self, with_text: bool) -> Make:
        def make(excerpts: list[Excerpt], seeds: list[int]) -> Tensor:
            condition = self.model.encode([excerpt.prompt if with_text else "" for excerpt in excerpts])
            x_T = noise(seeds, self.model.shape, self.model.device, self.model.latent_dtype)
            return self.model.wave(self.sampler(self.model, x_T, condition, seeds=seeds))

        return make

    def real_waves(self, excerpts: list[Excerpt]) -> Tensor:
        """[B, N] on the model's device."""
        return torch.stack([io.read_clip(e.file, self.model.clip, e.start_s) for e in excerpts]).to(self.model.device)

    def vocoder_trip(self, excerpts: list[Excerpt], seeds: list[int]) -> Tensor:
        return self.model.wave(self.model.encode_audio(self.real_waves(excerpts)))

    def griffin_lim_trip(self, excerpts: list[Excerpt], seeds: list[int]) -> Tensor:
        mel = LogMel().to(self.model.device)
        return griffin_lim(mel(self.real_waves(excerpts)), mel, seed=seeds[0])

    def round_trip_rows(self, excerpts: list[Excerpt], make: Make) -> list[Row]:
        """stft_distance (multi-resolution, 0 is the same sound) and seconds to turn a batch of mels into sound."""
        made_BN, seconds = self.timed(excerpts, make)
        waves_BN = self.real_waves(excerpts[: len(made_BN)])
        return [mean_row("stft_distance", stft_distance(made_BN, waves_BN).tolist()), seconds]

    @torch.no_grad()
    def timed(self, excerpts: list[Excerpt], make: Make, size: int = 16) -> tuple[Tensor, Row]:
        """The waves of one batch and what a clip of it took, reading the recordings included."""
        few = excerpts[:size]
        start = time.perf_counter()
        made_BN = make(few, [self.options["seed"]] * len(few))
        return made_BN, row("seconds_per_clip", (time.perf_counter() - start) / len(few), len(few))

    def table(self) -> pd.DataFrame:
        same = {
            "reference": str(self.reference),
            "commit": commit(),
            "weights": self.model.weights_hash,
            "waves": self.key,
        }
        table = pd.DataFrame([{**one, **same, "device": device_name(self.model.device)} for one in self.rows])
        reads_reference = table["metric"].str.startswith("fad")
        table.loc[~reads_reference, "reference"] = ""
        return table


def measure(quality: Quality, excerpts: list[Excerpt], real: list[np.ndarray]) -> None:
    """All rows of one model."""
    genres = [excerpt.genre for excerpt in excerpts]
    few = quality.options["n_griffin_lim"]
    trips: dict[str, Make] = {"vocoder": quality.vocoder_trip, "griffin_lim": quality.griffin_lim_trip}
    quality.add("real", fad_rows(real, quality.reference) + tag_rows(real, genres))
    if 0 < few < len(real):
        quality.add("real", fad_rows(real[:few], quality.reference))
    for name, make in trips.items():
        chosen = excerpts if name == "vocoder" else excerpts[:few]
        if chosen:
            embedded = quality.embed(name, chosen, make)
            for n in sorted({len(chosen), min(few, len(chosen))} - {0}, reverse=True):
                quality.add(name, fad_rows(embedded[:n], quality.reference))
            quality.add(name, tag_rows(embedded, genres[: len(chosen)]) + quality.round_trip_rows(chosen, make))
    for name, with_text in {"generated": True, "no_text": False}.items():
        embedded = quality.embed(name, excerpts, quality.generate(with_text))
        _, seconds = quality.timed(excerpts, quality.generate(with_text))
        quality.add(name, [*fad_rows(embedded, quality.reference), *tag_rows(embedded, genres), seconds])


def picture(quality: Quality, excerpts: list[Excerpt], path: Path, columns: int = 6) -> None:
    """Mels of real clips (above) and of what the model makes from their prompts (below)."""
    import matplotlib.pyplot as plt

    shown = excerpts[:columns]
    files = [quality.waves / "generated" / f"{excerpt.clip_id}.flac" for excerpt in shown]
    made_BN = torch.stack([io.read_clip(file, quality.model.clip) for file in files])
    mel = LogMel()
    figure, axes = plt.subplots(2, len(shown), figsize=(3.2 * len(shown), 5.2), squeeze=False, sharex=True, sharey=True)
    for line, waves_BN in enumerate((quality.real_waves(shown).cpu(), made_BN)):
        for ax, mel_FT in zip(axes[line], mel(waves_BN).numpy(), strict=True):
            extent = (0, quality.model.clip.seconds, 0, mel_FT.shape[0])
            ax.imshow(mel_FT, origin="lower", aspect="auto", cmap="magma", vmin=-9, vmax=3, extent=extent)
        axes[line, 0].set_ylabel(("real", "generated")[line] + ", mel band")
    for ax, excerpt in zip(axes[0], shown, strict=True):
        ax.set_title(textwrap.fill(excerpt.prompt, 34), fontsize=8)
    for ax in axes[1]:
        ax.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def run(cfg: DictConfig) -> pd.DataFrame:
    """Measure the configured model, write the table and the picture, return the table."""
    cfg.device = pick_device(cfg.device)
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    model = build_model(options["model"], options["device"], options["precision"])
    seconds, root, cache = model.clip.seconds, Path(options["data_root"]), Path(options["cache"])
    others = load_excerpts(options["split"], seconds, half=1, root=root)
    _, reference = embed_excerpts(others, options["n_reference"], cache, "reference")
    excerpts = load_excerpts(options["split"], seconds, half=0, root=root)
    chosen, real = embed_excerpts(excerpts, options["n"], cache, "real")
    name = f"{options['n_reference']} {options['split']} clips of other tunes"
    against = Reference(Statistics.of(reference), name, Musicnn().name)
    quality = Quality(model, build(options["sampler"], "the sampler"), options, against)
    measure(quality, chosen, real)
    folder = Path(options["results"])
    folder.mkdir(parents=True, exist_ok=True)
    table = quality.table()
    table.to_csv(folder / f"{options['name']}.csv", index=False, float_format="%.6g")
    picture(quality, chosen, folder / f"{options['name']}.png")
    return table


@command("quality")
def main(cfg: DictConfig) -> None:
    table = run(cfg)
    print(table[["set", "metric", "value", "low", "high", "n"]].to_string(index=False, float_format="%.4g"))
    print(f"written to {cfg.results}/{cfg.name}.csv and {cfg.name}.png; generated sound under {cfg.waves}")


if __name__ == "__main__":
    main()
