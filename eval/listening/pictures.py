"""What listeners see of a clip's target: a small drawing over time, with a tune's notes to play.

Each picture is made from the run's configuration and sound files alone: the control is bound to a clip of the wave's
length, without a model. A drawing is an SVG of WIDTH x HEIGHT units that the page stretches to its own width; time runs
from its left to its right edge, so that the page can draw where a player is.

Legend: T frames.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import soundfile
import torch

from ditto.build import build
from ditto.types import ClipSpec
from eval.control.targets import read_options, requests
from eval.listening.triplets import Sample, Triplet

WIDTH, HEIGHT = 600, 120
HOP = 256  # samples between the frames of a target
POINTS = 150  # of a curve
NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
MIN_RANGE_DB = 16.0


@dataclass(frozen=True)
class Picture:
    """svg: the drawing. legend: the line under it. notes: (onset s, duration s, pitch class), if any."""

    svg: str
    legend: str
    notes: tuple[tuple[float, float, int], ...] = ()


class Draw(Protocol):
    """A picture of what was asked of a triplet's clips."""

    def __call__(self, triplet: Triplet) -> Picture: ...


class LevelCurve:
    """The target of a control that is one level in dB per frame."""

    def __call__(self, triplet: Triplet) -> Picture:
        level_T = target(triplet)
        middle = (level_T.max() + level_T.min()) / 2
        span = 1.2 * max(float(np.ptp(level_T)), MIN_RANGE_DB)
        x = np.linspace(0, WIDTH, POINTS)
        y = HEIGHT * (0.5 - (np.interp(x, np.linspace(0, WIDTH, len(level_T)), level_T) - middle) / span)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        grid = "".join(_line("grid", 0, HEIGHT * k / 4, WIDTH, HEIGHT * k / 4) for k in (1, 2, 3))
        words = f"wanted level, {level_T.min():.0f} to {level_T.max():.0f} dB, loud is up".replace("-", "−")
        return Picture(_svg(f'{grid}<polyline class="curve" points="{points}"/>', words), words)


class PianoRoll:
    """The target of a control that is one pitch class (or none) per frame, one-hot [12, T]."""

    def __call__(self, triplet: Triplet) -> Picture:
        one_hot_PT = target(triplet)
        frames, duration = one_hot_PT.shape[1], seconds(triplet.samples[0])
        notes = notes_of(one_hot_PT, duration / frames)
        row = HEIGHT / 12
        rows = "".join(_line("grid", 0, row * k, WIDTH, row * k) for k in range(1, 12))
        bars = "".join(
            f'<rect class="note" x="{WIDTH * onset / duration:.1f}" y="{HEIGHT - row * (pitch + 1):.1f}" '
            f'width="{WIDTH * length / duration:.1f}" height="{row:.1f}"/>'
            for onset, length, pitch in notes
        )
        words = f"wanted notes: {' '.join(NAMES[pitch] for _, _, pitch in notes)}"
        return Picture(_svg(rows + bars, words), "wanted notes; bottom row C, top row B", tuple(notes))


class Continuation:
    """Where the recording ends and the new music begins, from the lengths of the heard and of the generated wave."""

    def __call__(self, triplet: Triplet) -> Picture:
        sample = triplet.samples[0]
        whole, alone = (soundfile.info(str(file)).duration for file in (sample.file, _alone(sample)))
        overlap = float(options_of(sample)["overlap_s"])
        begin, end = whole - alone, whole - alone + overlap
        edges = [WIDTH * time / whole for time in (0, begin, end, whole)]
        parts = "".join(
            f'<rect class="{name}" x="{a:.1f}" y="{HEIGHT / 4}" width="{b - a:.1f}" height="{HEIGHT / 2}"/>'
            for name, (a, b) in zip(("given", "both", "new"), itertools.pairwise(edges), strict=True)
        )
        words = f"recording until {begin:.1f} s, then a transition, new music from {end:.1f} s on"
        return Picture(_svg(parts, words), words)


def target(triplet: Triplet) -> np.ndarray:
    """y of the triplet's clip, a frame every HOP samples of its wave: [T] or [12, T]."""
    sample = triplet.samples[0]
    info = soundfile.info(str(sample.file))
    clip = ClipSpec(info.samplerate, HOP, info.frames // HOP, mel_bins=1)
    model: Any = SimpleNamespace(clip=clip, device="cpu", latent_dtype=torch.float32)
    control = build(options_of(sample), "task.control")
    return control.bind(model, requests(sample.made.path, [triplet.clip])).target[0].numpy()


def options_of(sample: Sample) -> dict[str, Any]:
    """The options of the control that the sample was made for."""
    return read_options(sample.made.path)["task"]["control"]


def seconds(sample: Sample) -> float:
    """How long the sample is heard."""
    return float(soundfile.info(str(sample.file)).duration)


def notes_of(one_hot_PT: np.ndarray, frame_s: float) -> list[tuple[float, float, int]]:
    """(onset s, duration s, pitch class) of each stretch of frames with the same pitch class."""
    classes_T = np.where(one_hot_PT.any(0), one_hot_PT.argmax(0), -1)
    edges = [0, *(np.flatnonzero(np.diff(classes_T)) + 1), len(classes_T)]
    spans = itertools.pairwise(edges)
    return [(float(a * frame_s), float((b - a) * frame_s), int(classes_T[a])) for a, b in spans if classes_T[a] >= 0]


def _alone(sample: Sample) -> Path:
    """The generated clip before it was stitched to anything."""
    raw = sample.file.with_suffix(".raw.flac")
    return raw if raw.exists() else sample.file


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _svg(inside: str, words: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{words}">{inside}</svg>'
    )
