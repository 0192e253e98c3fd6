"""Figure 10: what x_T decides. Variance within groups of text-only clips, one x_T a group against noise of their own.

DITTO, appendix J: 5,000 batches of 10 clips of random prompts, half of them with one shared x_T. Here both halves have
the same prompts, so that groups are compared in pairs (eval.figures.shared_variance). Two panels: the features of
eval.figures.clip_features, and the log-mel spectrogram by bands of its two-dimensional frequency (ditto.bands).

Legend: G groups, B clips of a group, D values, M mel bands, T frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ditto.bands import band_power
from ditto.types import UserError
from eval.cells import HERE, Cell, commands, sized
from eval.comparable import Runs, first_clips
from eval.embeddings import embed_clips, read_files
from eval.figures import clip_features, style
from eval.figures.shared_variance import Ratio, compare, table, within
from eval.finished import Finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = ("shared_noise", "text_only")
EDGES = torch.tensor([0.0, 0.02, 0.04, 0.08, 0.12, 0.17, 0.24, 0.34, 0.48, 0.68, 1.0])
ALPHA = 0.01


def draw(options: dict[str, Any], path: Path, experiment: str, task: str, clips: int, group: int) -> list[Path]:
    """Write the picture and its numbers; UserError with the command where a run is missing."""
    runs = _runs(options, experiment, task, clips)
    values = [_values(one, Path(options["cache"]), group) for one in runs]
    features = table(_features(*values))
    bands = _bands(*values)
    numbers = pd.concat([pd.DataFrame(features).assign(panel="feature"), pd.DataFrame(bands).assign(panel="band")])
    about = {**runs[0].provenance, "run": " and ".join(one.path.name for one in runs), "n": clips, "group": group}
    with style.paper():
        figure = style.new(2.9)
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        _features_panel(left, pd.DataFrame(features))
        _bands_panel(right, pd.DataFrame(bands))
        for ax, letter in zip((left, right), "ab", strict=True):
            style.panel_letter(ax, letter)
        return style.save(figure, numbers.assign(**about), path)


def _runs(options: dict[str, Any], experiment: str, task: str, clips: int) -> list[Finished]:
    """The run with shared noise and the one without."""
    cells = [Cell(experiment, task, method, sized(options.get("size", HERE))) for method in METHODS]
    found = Runs(list(first_clips({**options, "tasks": [task], "n": clips}))).of(cells)
    missing = [cell for cell in cells if found[cell] is None]
    if missing:
        raise UserError(f"no finished run: {'; '.join(commands(missing))}")
    runs = [one for one in found.values() if one is not None]
    for one in runs:
        if one.failed:
            raise UserError(f"{one.failed} clips of run {one.path.name} failed, which breaks its groups: make it again")
    return runs


def _values(one: Finished, cache: Path, group: int) -> np.ndarray:
    """Features of a run's clips in their groups, [G, B, D]."""
    files = one.files
    found = embed_clips(read_files(files), cache, clip_features.ClipFeatures(), len(files), one.method)
    rows = np.concatenate([found[file.stem] for file in files])
    return rows[: len(rows) // group * group].reshape(-1, group, rows.shape[1])


def _features(shared_GBD: np.ndarray, free_GBD: np.ndarray) -> dict[str, Ratio]:
    parts = zip(
        *(clip_features.split(values.reshape(-1, values.shape[-1])) for values in (shared_GBD, free_GBD)), strict=True
    )
    groups = shared_GBD.shape[:2]
    return {
        name: compare(within(shared.reshape(*groups, -1)), within(free.reshape(*groups, -1)))
        for (name, shared), (_, free) in parts
    }


def _bands(shared_GBD: np.ndarray, free_GBD: np.ndarray) -> list[dict[str, Any]]:
    """Variance within groups of the spectrogram, band by band of its two-dimensional frequency."""
    powers = [_band_variance(values) for values in (shared_GBD, free_GBD)]
    ratios = {f"{float(EDGES[k + 1]):g}": compare(powers[0][:, k], powers[1][:, k]) for k in range(len(EDGES) - 1)}
    lows = dict(zip(ratios, EDGES[:-1].tolist(), strict=True))
    return [{**line, "from": lows[str(line["feature"])]} for line in table(ratios)]


def _band_variance(values_GBD: np.ndarray) -> np.ndarray:
    """[G, K]: mean power per coefficient of what sets the clips of a group apart."""
    groups, size, _ = values_GBD.shape
    mel = clip_features.spectrogram(values_GBD.reshape(groups * size, -1)).reshape(
        groups, size, *clip_features.SPECTROGRAM
    )
    apart = torch.from_numpy(mel - mel.mean(1, keepdims=True))
    return (band_power(apart, EDGES).sum(1) / (size - 1)).numpy()


def _features_panel(ax: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))[::-1]
    clear = rows["p_holm"] < ALPHA
    errors = np.stack([rows["ratio"] - rows["low"], rows["high"] - rows["ratio"]])
    for chosen, face in ((clear, style.BLUE), (~clear, "white")):
        ax.errorbar(
            rows["ratio"][chosen],
            places[chosen],
            xerr=errors[:, chosen],
            fmt="o",
            color=style.BLUE,
            markerfacecolor=face,
        )
    ax.axvline(1, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(yticks=places, yticklabels=[name.split(",")[0] for name in rows["feature"]])
    ax.set(xlabel="variance within a group, shared x_T / free", xlim=(0, max(1.15, rows["high"].max() * 1.05)))


def _bands_panel(ax: Axes, rows: pd.DataFrame) -> None:
    rows = rows.sort_values("from")
    middle = (rows["from"] + rows["feature"].astype(float)) / 2
    ax.fill_between(middle, rows["low"], rows["high"], color=style.BLUE, alpha=0.2, linewidth=0)
    ax.plot(middle, rows["ratio"], "o-", color=style.BLUE)
    ax.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel="2-D frequency of the log-mel, share", ylabel="variance, shared / free")
    ax.set_ylim(0, max(1.15, rows["high"].max() * 1.05))
