"""One picture per clip: what it sounds like above, what was asked and what was achieved below; text-only beside it."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from ditto.controls.base import Control
    from ditto.records import Rendition
    from ditto.types import ClipSpec

RANGE_DB = 80.0
_TICKS_HZ = (100, 300, 1000, 3000, 10000)


@dataclass(frozen=True)
class Column:
    """One version of a batch: its title, the control to draw and what to draw it for."""

    title: str
    control: Control
    rendition: Rendition


def mel_db(wave_N: np.ndarray, clip: ClipSpec) -> np.ndarray:
    """[N] -> mel spectrogram [F, T] in dB below its own maximum, floored at -80 dB; T whole frames hold the wave."""
    import torch

    from ditto.audio import features  # librosa's own takes two seconds to load

    wave_1N = torch.from_numpy(np.pad(wave_N, (0, -len(wave_N) % clip.hop)))[None]
    db_FT = features.mel_db(wave_1N, clip.sample_rate, clip.hop, min(2048, len(wave_N)), _bins(clip))[0].numpy()
    return db_FT - db_FT.max()


def clip_picture(columns: list[Column], position: int) -> bytes:
    """A PNG of one clip: a column per version, spectrogram above, the control's own plots below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = len(columns[0].control.parts())
    prompt = textwrap.wrap(columns[0].control.clips[position].prompt, 70 * len(columns))
    size = (7.2 * len(columns), 3.4 + 2.4 * parts)
    figure = Figure(figsize=size, dpi=110)
    margins = _margins(size, lines=len(prompt), columns=len(columns), rows=1 + parts)
    layout = {**margins, "height_ratios": [1.3, *[1.0] * parts]}
    grid = figure.subplots(1 + parts, len(columns), squeeze=False, sharey="row", gridspec_kw=layout)
    for axes, column in zip(grid.T, columns, strict=True):
        control, made = column.control, column.rendition
        image = spectrogram(axes[0], made.heard_BN[position].float().cpu().numpy(), control.clip)
        axes[0].set_title(column.title, fontsize=10)
        for below, part in zip(axes[1:], control.parts(), strict=True):
            part.plot(below, position, made.x_0, made.wave_BN)
            _finish_lower(below)
    for inner in grid[:, 1:].flat:
        inner.set_ylabel("")
    beside = grid[0, -1].get_position()
    bar = figure.add_axes((beside.x1 + 0.12 / size[0], beside.y0, 0.14 / size[0], beside.height))
    figure.colorbar(image, cax=bar, label="dB below the loudest", ticks=[-80, -60, -40, -20, 0])
    figure.suptitle("\n".join(prompt), fontsize=11, y=1 - 0.08 / size[1], va="top")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, pil_kwargs={"compress_level": 4})  # savefig would draw everything twice
    return buffer.getvalue()


def _margins(size: tuple[float, float], lines: int, columns: int, rows: int) -> dict[str, float]:
    """Margins for labels of ordinary length, as fractions of the size in inches.

    An engine that fits them to the labels would lay out all text twice more: half of a small run's time.
    """
    width, height = size
    left, right, top, bottom, gap, row_gap = 0.85, 0.95, 0.42 + 0.19 * lines, 0.52, 0.25, 0.5
    inner_width = (width - left - right - gap * (columns - 1)) / columns
    inner_height = (height - top - bottom - row_gap * (rows - 1)) / rows
    edges = {"left": left / width, "right": 1 - right / width, "top": 1 - top / height, "bottom": bottom / height}
    return {**edges, "wspace": gap / inner_width, "hspace": row_gap / inner_height}


def spectrogram(axes: Axes, wave_N: np.ndarray, clip: ClipSpec) -> AxesImage:
    """Draw the mel spectrogram of a wave [N] over seconds and hertz, in dB below its own maximum; returns the image."""
    import librosa

    mel_FT = mel_db(np.asarray(wave_N, dtype=np.float32), clip)
    seconds = len(wave_N) / clip.sample_rate
    image = axes.imshow(mel_FT, origin="lower", aspect="auto", interpolation="nearest", cmap="magma")
    image.set_extent((0, seconds, 0, len(mel_FT)))
    image.set_clim(-RANGE_DB, 0)
    centres_hz = librosa.mel_frequencies(n_mels=len(mel_FT) + 2, fmax=clip.sample_rate / 2)[1:-1]
    ticks = [hz for hz in _TICKS_HZ if hz < centres_hz[-1]]
    axes.set_yticks(np.interp(ticks, centres_hz, np.arange(len(mel_FT)) + 0.5), [_hertz(hz) for hz in ticks])
    axes.set_ylabel("frequency (Hz)")
    return image


def _finish_lower(axes: Axes) -> None:
    """A control that draws over time gets no empty margins; every one with labels a legend."""
    if "time" in axes.get_xlabel():
        axes.margins(x=0)
    if axes.get_legend() is None and axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize="small")


def _bins(clip: ClipSpec) -> int:
    return max(16, min(160, clip.mel_bins if clip.mel_bins > 16 else 64))


def _hertz(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
