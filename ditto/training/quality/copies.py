"""The clips that are nearest to a training clip: how alike their log-mels are, and both to look at and listen to.

Legend: N samples, F mel bands, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ditto.audio import io
from ditto.audio.mel import LogMel
from ditto.training.quality.picture import save_mels
from ditto.training.quality.prompted import Prompted
from ditto.training.quality.studio import Studio
from ditto.training.quality.yardsticks import Training
from eval.neighbours import mel_match
from eval.real import Excerpt
from eval.sets import Row, mean_row, row

EDGE = 3  # frames at either end of a clip whose windows reach over it


def closest_rows(
    studio: Studio,
    training: Training,
    embedded: Sequence[np.ndarray],
    sources: Sequence[Path | Excerpt],
    steps: int | None = None,
) -> list[Row]:
    """copy_mel_match (highest) and its mean over the n_closest pairs; pairs of generated clips are kept as files."""
    pairs = training.neighbours.closest(training.space(embedded), studio.options["n_closest"])
    folder = None if steps is None else studio.folder(steps) / "closest"
    matches = []
    for rank, (i, j) in enumerate(tqdm(pairs, "closest pairs", unit="pair", leave=False), 1):
        wave_N = _wave(studio, sources[i])
        match, excerpt_N = _match(studio, wave_N, training.excerpts[j])
        matches.append(match)
        if folder:
            _keep(studio, folder / f"{rank:02d}", wave_N, excerpt_N, match)
    return _match_rows(matches)


def copies_rows(studio: Studio, training: Training, n: int) -> list[Row]:
    """What n training clips look like after the vocoder: copies_found, and the rows of the other sets."""
    excerpts = training.excerpts[:n]
    if not excerpts:
        return []
    clips = [Prompted(e.clip_id, e, 0, studio.options["seed"] + i) for i, e in enumerate(excerpts)]
    files = studio.record("copies", clips, studio.vocoder_trip)
    points = training.space(studio.embed(files, "copies"))
    found = training.neighbours.closest(points, len(points))
    matches = [_match(studio, _wave(studio, files[i]), excerpts[i])[0] for i in range(len(files))]
    own = mean_row("copies_found", [float(i == j) for i, j in found])
    return [own, *training.neighbours.rows(points), *_match_rows(matches)]


def _match_rows(matches: Sequence[float]) -> list[Row]:
    if not matches:
        return []
    return [row("copy_mel_match", max(matches), len(matches)), mean_row("copy_mel_match_mean", matches)]


def _wave(studio: Studio, source: Path | Excerpt) -> Tensor:
    if isinstance(source, Path):
        return io.read_clip(source, studio.model.clip)
    return io.read_clip(source.file, studio.model.clip, source.start_s)


def _match(studio: Studio, wave_N: Tensor, excerpt: Excerpt) -> tuple[float, Tensor]:
    """The best match of a clip in the whole piece of a training clip, and the sound there [N]."""
    clip, mel = studio.model.clip, LogMel()
    piece_N = io.read(excerpt.file, clip.sample_rate)
    mel_FT, piece_FP = (mel(one[None])[0].numpy() for one in (wave_N, piece_N))
    match, frame = mel_match(mel_FT[:, EDGE:-EDGE], piece_FP)
    start = max(frame - EDGE, 0) * clip.hop
    return match, piece_N[start : start + len(wave_N)]


def _keep(studio: Studio, stem: Path, wave_N: Tensor, training_N: Tensor, match: float) -> None:
    rate, mel = studio.model.clip.sample_rate, LogMel()
    names = {"generated": wave_N, "training": training_N}
    for name, one in names.items():
        io.write_flac(stem.with_name(f"{stem.name}_{name}.flac"), one, rate)
    shown = {f"{name}, match {match:.2f}": [mel(one[None])[0].numpy()] for name, one in names.items()}
    save_mels(stem.with_suffix(".png"), shown, studio.model.clip.seconds)
