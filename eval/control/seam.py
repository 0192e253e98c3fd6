"""Is a stitched piece heard to be stitched? (Outpainting, inpainting and loops: DITTO, section 4.1, figures 4 and 6.)

Our definition, from the stitched sound alone; every figure is relative to the same piece away from its joins, so 1 is
"as everywhere in this music". A join is a crossfade from its first sample to one past its last; a hard cut has length
0. The spectra are mel spectra in dB (128 bands), distances root mean squares over bands.

seam_change  the distance between the mean spectra of the 0.5 s before the join and the 0.5 s after it, over the median
             distance of such windows that far apart elsewhere: does other music go on?
seam_step    the largest step at any frame of the join, over the median of the largest steps in stretches as long
             elsewhere; a step is the distance between the mean spectra of the 93 ms before and after: is it abrupt?
seam_ratio   their geometric mean, each counted as 1 where it is less: to be duller than the music is no merit

Each is the mean over the joins of the piece. Where no stretch elsewhere is as long, the longest that fits is taken. On
24 rendered pieces with crossfades of 0.25 to 3 s, medians of seam_ratio: untouched 1.1, crossfade to the same music
with noise 26 dB below it 1.1 to 1.3, to another piece 1.3 to 1.5, hard cut to another piece 2.0 to 2.3. For the same
two pieces the untouched one was below the crossfade in 92 of 100 cases, and the crossfade below the cut in 98.

Legend: S samples, T frames, M mel bands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ditto.types import UserError
from eval.control import sound

Span = tuple[int, int]
HOP = 256
CONTEXT_S = 0.5
ENOUGH = 10  # positions elsewhere that a median is taken of, at least


def validate(wave_S: np.ndarray, rate: int, joins: Sequence[Span], circular: bool = False) -> None:
    """UserError unless there are joins, all of them measurable."""
    sound.validate(wave_S, rate, len(wave_S))
    if not joins:
        raise UserError("no joins are given: a wave that was not stitched has no seam")
    kept = measurable(wave_S, rate, joins, circular)
    if len(kept) < len(joins):
        first, end = next(join for join in joins if join not in kept)
        raise UserError(
            f"the join from sample {first} to {end} of {len(wave_S)} needs {CONTEXT_S} s of sound on either side, and "
            "1.1 s without a join somewhere to compare it with: leave it out"
        )


def measurable(wave_S: np.ndarray, rate: int, joins: Sequence[Span], circular: bool = False) -> list[Span]:
    """The joins with enough sound around them; none where there is too little to compare them with."""
    width, room = _context(rate), 0 if circular else (_context(rate) + 2) * HOP
    free = _between(_frames(joins, len(wave_S), circular), _length(wave_S, circular))
    if max((end - first for first, end in free), default=0) < 2 * width + ENOUGH:
        return []
    return [join for join in joins if room <= join[0] <= join[1] <= len(wave_S) - room]


def evaluate(wave_S: np.ndarray, rate: int, joins: Sequence[Span], circular: bool = False) -> dict[str, float]:
    """The three metrics of one piece; `circular` for a loop, whose end goes on at its start."""
    validate(wave_S, rate, joins, circular)
    heard_S = np.concatenate([wave_S, wave_S]) if circular else wave_S  # two turns of a loop
    db_MT = sound.mel_db(sound.power(heard_S, HOP), rate)
    spans = _frames(joins, len(wave_S), circular)
    free = _between(spans, db_MT.shape[1])
    width = _context(rate)
    chosen = [span for span in spans if width < span[0] and span[1] + width < db_MT.shape[1]][: len(joins)]
    changes = [change(db_MT, span, free, width) for span in chosen]
    steps = [step(db_MT, span, free, sound.N_FFT // HOP) for span in chosen]
    ratios = np.sqrt(np.maximum(changes, 1) * np.maximum(steps, 1))
    return {name: float(np.mean(v)) for name, v in zip(NAMES, (ratios, changes, steps), strict=True)}


NAMES = ("seam_ratio", "seam_change", "seam_step")


def change(db_MT: np.ndarray, join: Span, free: Sequence[Span], width: int) -> float:
    """What is `width` frames before a join against what is after it, over what is usual in the free stretches."""
    gap = join[1] - join[0]
    here = _contrast(db_MT[:, join[0] - width : join[1] + width], width, gap)[0]
    fitting = min(gap, max(end - first for first, end in free) - 2 * width - ENOUGH)
    elsewhere = [_contrast(db_MT[:, first:end], width, fitting) for first, end in free]
    return float(here / _usual(np.concatenate(elsewhere)))


def step(db_MT: np.ndarray, join: Span, free: Sequence[Span], width: int) -> float:
    """The largest step inside a join, over the usual largest one in free stretches of the same length."""
    here = _contrast(db_MT[:, join[0] - width - 1 : join[1] + width + 1], width, 0)
    elsewhere = [_contrast(db_MT[:, first:end], width, 0) for first, end in free]
    fitting = min(len(here), max(len(steps) for steps in elsewhere) - ENOUGH)
    largest = [sliding_window_view(steps, fitting).max(1) for steps in elsewhere if len(steps) >= fitting]
    return float(here.max() / _usual(np.concatenate(largest)))


def _contrast(db_MT: np.ndarray, width: int, gap: int) -> np.ndarray:
    """Distances in dB between the means of `width` frames and of as many `gap` frames after them, [T'] (or [0])."""
    if db_MT.shape[1] < 2 * width + gap:
        return np.zeros(0)
    total = np.cumsum(np.pad(db_MT, ((0, 0), (1, 0))), axis=1)
    means = (total[:, width:] - total[:, :-width]) / width
    return np.sqrt(np.mean((means[:, width + gap :] - means[:, : means.shape[1] - width - gap]) ** 2, axis=0))


def _usual(distances: np.ndarray) -> float:
    """The median, over 1e-3 dB: in silence nothing differs."""
    return max(float(np.median(distances)), 1e-3)


def _context(rate: int) -> int:
    """Frames on either side."""
    return round(CONTEXT_S * rate / HOP)


def _length(wave_S: np.ndarray, circular: bool) -> int:
    return (2 if circular else 1) * len(wave_S) // HOP


def _frames(joins: Sequence[Span], samples: int, circular: bool) -> list[Span]:
    """Joins in frames, in order; those of a loop in both of its turns."""
    turns = (0, samples) if circular else (0,)
    return sorted(((a + turn) // HOP, -(-(b + turn) // HOP)) for a, b in joins for turn in turns)


def _between(spans: Sequence[Span], frames: int) -> list[Span]:
    """The stretches outside of all joins."""
    starts, ends = [0, *(end for _, end in spans)], [*(first for first, _ in spans), frames]
    return [(first, end) for first, end in zip(starts, ends, strict=True) if end > first]
