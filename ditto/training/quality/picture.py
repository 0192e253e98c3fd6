"""Mel pictures: real clips above, below them what models make from the same prompts.

Legend: N samples, F mel bands, T frames.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ditto.audio import io
from ditto.audio.mel import LogMel
from ditto.small_png import write_png
from ditto.training.quality.studio import Studio
from eval.real import Excerpt

COLUMNS = 6


def save_mels(
    path: Path, lines: Mapping[str, Sequence[np.ndarray]], seconds: float, titles: Sequence[str] = ()
) -> None:
    """One line of log-mels [F, T] a label, all on the same scale."""
    import matplotlib.pyplot as plt

    columns = max(len(line) for line in lines.values())
    size = (3.2 * columns, 0.4 + 2.4 * len(lines))
    figure, axes = plt.subplots(len(lines), columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for line, (label, mels) in zip(axes, lines.items(), strict=True):
        for ax, mel_FT in zip(line, mels, strict=True):
            extent = (0, seconds, 0, mel_FT.shape[0])
            ax.imshow(mel_FT, origin="lower", aspect="auto", cmap="magma", vmin=-9, vmax=3, extent=extent)
        line[0].set_ylabel(f"{label}\nmel band")
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(textwrap.fill(title, 34), fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    figure.tight_layout()
    write_png(figure, path, dpi=110)
    plt.close(figure)


def lines_of(studio: Studio, excerpts: Sequence[Excerpt], prefix: str) -> dict[str, list[np.ndarray]]:
    """The generated clips of the first prompts, a line for every T."""
    lines = {}
    for steps in studio.options["steps"]:
        folder = studio.folder(steps) / "generated"
        waves = [io.read_clip(folder / f"{e.clip_id}.flac", studio.model.clip) for e in excerpts[:COLUMNS]]
        lines[f"{prefix}, T = {steps}"] = list(LogMel()(torch.stack(waves)).numpy())
    return lines


def picture(path: Path, studios: Mapping[str, Studio], excerpts: Sequence[Excerpt]) -> None:
    """Real clips, then each model's at every T; `studios` by the word that names them."""
    shown = excerpts[:COLUMNS]
    first = next(iter(studios.values()))
    lines = {"real": list(LogMel()(first.real_waves(shown).cpu()).numpy())}
    for prefix, studio in studios.items():
        lines |= lines_of(studio, shown, prefix)
    save_mels(path, lines, first.model.clip.seconds, [excerpt.prompt for excerpt in shown])
