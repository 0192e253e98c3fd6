"""Vocoders side by side on music they were not trained on: `python -m ditto.training.vocoders checkpoints/vocoder`.

Every FOLDER is a training run's (last.ckpt, its averaged weights) or one of exported weights; the shipped vocoder,
Griffin-Lim and the recordings themselves (FAD's floor) stand beside them. Clips of one half of the validation tunes go
through log-mel and vocoder: the distances of ditto/training/wave_losses.py, and FAD on musicnn against clips of the
other half. All sets have the same clips, so they compare; FAD of so few clips compares with nothing else. About two
minutes of CPU for 48 clips and one folder.

Legend: B clips, N samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ditto.audio import io
from ditto.audio.mel import LogMel
from ditto.audio.vocoder import Vocoder
from ditto.build import pick_device
from ditto.environment import commit, device_name
from ditto.models.base import hash_weights
from ditto.models.embedded import CONFIG, PACKAGED, VOCODER, read_vocoder
from ditto.training.export import averaged_state, split_state
from ditto.training.griffin_lim import griffin_lim
from ditto.training.wave_losses import WaveLoss
from ditto.types import ClipSpec, UserError
from eval.embedders.musicnn import Musicnn
from eval.embeddings import embed_clips
from eval.fad import Statistics
from eval.real import Excerpt, embed_excerpts, load_excerpts, read_excerpts
from eval.references import Reference
from eval.sets import Row, fad_rows, mean_row

Make = Callable[[Tensor], Tensor]  # log-mel [B, F, T] -> wave [B, N]


def load_vocoder(folder: Path) -> Vocoder:
    """Of a training run or of exported weights; UserError when the folder is neither."""
    if (folder / "last.ckpt").exists():
        state, config, _ = averaged_state(folder)
        vocoder: Vocoder = hydra.utils.instantiate(config["stage"]["module"]["network"])
        vocoder.load_state_dict(split_state(state))
    elif (folder / VOCODER).exists() and (folder / CONFIG).exists():
        vocoder = read_vocoder(folder, json.loads((folder / CONFIG).read_text()))
    else:
        raise UserError(f"{folder} holds no vocoder: a training run has last.ckpt, exported weights have {VOCODER}")
    return vocoder.eval()


class Comparison:
    """The clips, what they are measured against, and the rows of each maker of waves."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, torch.device(pick_device(options.device))
        self.clip = ClipSpec(sample_rate=22050, hop=256, frames=options.frames, mel_bins=160)
        self.mel, self.losses = LogMel().to(self.device), WaveLoss().to(self.device)
        _, reference = embed_excerpts(self._excerpts(half=1), options.n_reference, options.cache, "reference")
        name = f"{options.n_reference} {options.split} clips of other tunes"
        self.reference = Reference(Statistics.of(reference), name, Musicnn().name)
        self.chosen = [excerpt for excerpt, _ in read_excerpts(self._excerpts(half=0), options.n)]

    def _excerpts(self, half: int) -> list[Excerpt]:
        return load_excerpts(self.options.split, self.clip.seconds, half=half, root=self.options.data_root)

    def batches(self, size: int = 8) -> Iterator[Tensor]:
        """The recordings, [B, N] each."""
        for start in range(0, len(self.chosen), size):
            waves = [io.read_clip(e.file, self.clip, e.start_s) for e in self.chosen[start : start + size]]
            yield torch.stack(waves).to(self.device)

    @torch.no_grad()
    def rows(self, name: str, make: Make | None) -> list[Row]:
        """Distances (none for the recordings themselves) and FAD."""
        waves: list[Tensor] = []
        terms: dict[str, list[float]] = {}
        for wave_BN in tqdm(self.batches(), total=-(-len(self.chosen) // 8), desc=name, unit="batch"):
            made_BN = wave_BN if make is None else make(self.mel(wave_BN))
            waves += made_BN.cpu()
            for term, value_B in self.losses.terms(made_BN, wave_BN).items():
                terms.setdefault(term, []).extend(value_B.tolist())
        distances = [] if make is None else [mean_row(term, values) for term, values in terms.items()]
        clips = zip((e.clip_id for e in self.chosen), (w.numpy() for w in waves), strict=True)
        embedded = embed_clips(
            ((clip_id, wave, self.clip.sample_rate) for clip_id, wave in clips),
            self.options.cache,
            total=len(waves),
            label=name,
        )
        fad = [row for row in fad_rows(list(embedded.values()), self.reference) if row["metric"] == "fad"]
        return [{"vocoder": name, **row} for row in distances + fad]


def compare(options: argparse.Namespace) -> pd.DataFrame:
    """-> vocoder, metric, value, low, high, n, one row a metric; the distances are 0 where the waves are equal.

    With every row: hash of the vocoder's weights (none for Griffin-Lim and the recordings), reference, commit, device.
    """
    vocoders = {str(folder): load_vocoder(folder) for folder in options.folders}  # a wrong one is told at once
    vocoders["shipped"] = load_vocoder(PACKAGED)
    weights = {name: hash_weights(vocoder) for name, vocoder in vocoders.items()}
    comparison = Comparison(options)
    makers: dict[str, Make | None] = {"recordings": None}
    makers |= {name: vocoder.to(comparison.device) for name, vocoder in vocoders.items()}
    if not options.no_griffin_lim:
        makers["griffin_lim"] = lambda mel_BFT: griffin_lim(mel_BFT, comparison.mel)
    table = pd.DataFrame([row for name, make in makers.items() for row in comparison.rows(name, make)])
    about = {"commit": commit(), "device": device_name(comparison.device)}
    return table.assign(weights=table["vocoder"].map(weights), reference=str(comparison.reference), **about)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add: Any = parser.add_argument
    add("folders", type=Path, nargs="*", help="training runs or folders of exported weights")
    add("-n", type=int, default=48, help="clips (default 48)")
    add("--n-reference", type=int, default=100, help="clips that FAD is measured against (default 100)")
    add("--split", default="val", help="val (default), so that nothing is chosen on the test clips")
    add("--frames", type=int, default=512, help="length of a clip in frames of 256 samples")
    add("--no-griffin-lim", action="store_true", help="leave out Griffin-Lim, the slowest")
    add("--data-root", type=Path, help="default: $DITTO_DATA, or data")
    add("--cache", type=Path, default=Path("runs/cache/embeddings"))
    add("--device", default="auto")
    add("-o", "--out", type=Path, help="write the table as csv")
    return parser.parse_args(given)


def main() -> None:
    options = arguments()
    try:
        table = compare(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if options.out:
        table.to_csv(options.out, index=False, float_format="%.6g")
    print(table.drop(columns=["reference", "commit", "device"]).to_string(index=False, float_format="%.4g"))
    print(f"FAD against {table['reference'].iloc[0]}")


if __name__ == "__main__":
    main()
