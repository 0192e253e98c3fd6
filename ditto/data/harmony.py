"""Chords for a melody: one chord a bar, the best path of a small Viterbi search over the mode's chords.

A chord is scored by how much of the bar's melody it holds (notes on the first beat count more), by how common it is, by
the step from the chord before (falling fifths are good, standing still is not) and by the phrase: a piece and each of
its eight-bar phrases should start and end at home.
"""

import math

import numpy as np

from ditto.data.abc import Note

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
QUALITY = {"": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10)}
Chord = tuple[int, str, float]
"""(semitones above the tonic, quality, how common it is)."""

CHORDS: dict[str, tuple[Chord, ...]] = {
    "maj": ((0, "", 1.0), (5, "", 0.8), (7, "", 0.8), (7, "7", 0.7), (9, "m", 0.6), (2, "m", 0.5), (4, "m", 0.3)),
    "min": ((0, "m", 1.0), (5, "m", 0.7), (7, "7", 0.6), (7, "m", 0.5), (8, "", 0.6), (3, "", 0.6), (10, "", 0.7)),
    "dor": ((0, "m", 1.0), (10, "", 0.8), (5, "", 0.7), (7, "m", 0.6), (3, "", 0.5), (2, "m", 0.3)),
    "mix": ((0, "", 1.0), (10, "", 0.8), (5, "", 0.8), (7, "m", 0.4), (2, "m", 0.4), (9, "m", 0.3)),
    "phr": ((0, "m", 1.0), (1, "", 0.7), (10, "m", 0.6), (5, "m", 0.5), (3, "", 0.4), (8, "", 0.5)),
    "lyd": ((0, "", 1.0), (2, "", 0.6), (7, "", 0.8), (9, "m", 0.5), (4, "m", 0.4)),
}


def _fit(bars: list[tuple[Note, ...]], tonic: int, chords: tuple[Chord, ...]) -> np.ndarray:
    """How well each chord holds each bar [bars, chords]."""
    scores = np.zeros((len(bars), len(chords)))
    for i, bar in enumerate(bars):
        total = sum(duration for _, duration, _ in bar) or 1.0
        for j, (degree, quality, common) in enumerate(chords):
            tones = {(tonic + degree + step) % 12 for step in QUALITY[quality]}
            held = sum((d + 0.5 * (o < 1e-6)) * (1.0 if p % 12 in tones else -0.6) for o, d, p in bar)
            scores[i, j] = held / total + 0.25 * math.log(common)
    return scores


def _steps(chords: tuple[Chord, ...]) -> np.ndarray:
    """Bonus for moving from one chord to the next [from, to]."""
    table = np.zeros((len(chords), len(chords)))
    for a, (from_, *_) in enumerate(chords):
        for b, (to, *_) in enumerate(chords):
            fall = (from_ - to) % 12
            table[a, b] = -0.15 if a == b else 0.15 if fall == 7 else 0.1 if fall == 5 else 0.0
    return table


def harmonise(bars: list[tuple[Note, ...]], tonic: int, mode: str) -> list[tuple[int, str]]:
    """(root pitch class, quality) for every bar; ``tonic`` and the bars' pitches are in the same key."""
    chords = CHORDS[mode]
    scores = _fit(bars, tonic, chords)
    scores[0, 0] += 0.5
    scores[7::8, 0] += 0.3
    scores[8::8, 0] += 0.2
    scores[-1, 0] += 1.5
    step = _steps(chords)
    best, back = scores[0].copy(), []
    for row in scores[1:]:
        options = best[:, None] + step
        back.append(options.argmax(0))
        best = options.max(0) + row
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return [((tonic + chords[j][0]) % 12, chords[j][1]) for j in reversed(path)]


def chord_name(root: int, quality: str) -> str:
    """MMA's spelling: ``Bb7``."""
    return NAMES[root % 12] + quality
