"""The stored cases of the control metrics: two waves, targets made from formulas, and the scores they had.

`python -m tests.control_golden` writes tests/golden/control anew; only a change of a definition is a reason to.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from eval.control import intensity, melody, reconstruction, seam, structure

FOLDER = Path(__file__).parent / "golden" / "control"
RATE, HOP, FRAMES = 22050, 256, 128
SAMPLES = FRAMES * HOP


@cache
def wave(name: str) -> np.ndarray:
    """`estimate` or `reference`: tones over noise, 16 bit, [N]."""
    return soundfile.read(FOLDER / f"{name}.flac", dtype="float64")[0]


def tones(notes: list[int], seed: int) -> np.ndarray:
    """Notes of equal length with six partials, and noise 40 dB below."""
    seconds_N = np.arange(SAMPLES) / RATE
    part_N = np.minimum(np.arange(SAMPLES) * len(notes) // SAMPLES, len(notes) - 1)
    hertz_N = 440 * 2 ** ((np.array(notes)[part_N] - 69) / 12)
    sound_N = sum(np.sin(2 * np.pi * k * hertz_N * seconds_N) / k for k in range(1, 7))
    return 0.2 * sound_N * np.exp(-seconds_N) + 0.002 * np.random.default_rng(seed).normal(size=SAMPLES)


def scores() -> dict[str, dict[str, float]]:
    """Every metric on the stored waves."""
    estimate_N, reference_N = wave("estimate"), wave("reference")
    time_T = np.arange(FRAMES) / FRAMES
    blocks_TT = (np.add.outer(np.arange(FRAMES) // 32, np.arange(FRAMES) // 32) % 2).astype(float)
    regions = [(slice(0, 40), slice(88, 128)), (slice(100, 110), slice(10, 20))]
    piece_S = np.concatenate([estimate_N, reference_N, estimate_N, reference_N])
    joins = [(SAMPLES, SAMPLES), (2 * SAMPLES - 3000, 2 * SAMPLES + 3000)]
    return {
        "intensity": intensity.evaluate(estimate_N, RATE, -30 + 10 * np.sin(6 * time_T), 0.3, from_s=0.2),
        "melody": melody.evaluate(estimate_N, RATE, np.repeat([9, -1, 0, 4], 32)),
        "structure": structure.evaluate(estimate_N, RATE, blocks_TT, 0.3),
        "reconstruction": reconstruction.evaluate(estimate_N, reference_N, RATE, HOP, regions),
        "seam": seam.evaluate(piece_S, RATE, joins),
        "seam_circular": seam.evaluate(piece_S, RATE, joins[:1], circular=True),
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, notes, seed in (("estimate", [69, 72, 72, 76], 1), ("reference", [64, 69, 74, 72], 2)):
        soundfile.write(FOLDER / f"{name}.flac", tones(notes, seed), RATE, subtype="PCM_16")
    (FOLDER / "scores.json").write_text(json.dumps(scores(), indent=1) + "\n")


if __name__ == "__main__":
    main()
