"""The seam measure orders how pieces of real music are joined: untouched, matching, unrelated, cut."""

from functools import cache

import numpy as np
import pytest
import torch

from ditto.audio.io import read
from ditto.controls.reference import reference_files
from ditto.controls.stitch import close_loop, join
from ditto.types import UserError
from eval.control import seam

RATE, HOP = 22050, 256
CLIP = 512 * HOP
OVERLAPS = [RATE // 4, 86 * HOP]  # of inpainting and looping


@cache
def recordings():
    return [read(file, RATE).numpy() for file in reference_files("long_examples")]


def joined(first_N, second_N, overlap):
    return join(torch.tensor(first_N)[None], torch.tensor(second_N)[None], overlap)[0].numpy()


@cache
def ratios(overlap):
    """Mean seam_ratio over recordings and places, by how the second clip follows the first."""
    found = {name: [] for name in ("untouched", "matching", "unrelated", "cut")}
    for number, music_N in enumerate(recordings()):
        other_N = recordings()[number - 1]
        for start in (RATE, 5 * RATE):
            first_N = music_N[start : start + CLIP]
            after_N = music_N[start + CLIP - overlap :][:CLIP]
            unrelated_N = other_N[start : start + CLIP]
            noise_N = 0.03 * after_N.std() * np.random.default_rng(number).normal(size=CLIP)
            crossfade = [(CLIP - overlap, CLIP)]
            pieces = {
                "untouched": (joined(first_N, after_N, overlap), crossfade),
                "matching": (joined(first_N, after_N + noise_N.astype("f4"), overlap), crossfade),
                "unrelated": (joined(first_N, unrelated_N, overlap), crossfade),
                "cut": (np.concatenate([first_N, unrelated_N[overlap:]]), [(CLIP, CLIP)]),
            }
            for name, (piece_S, joins) in pieces.items():
                found[name].append(seam.evaluate(piece_S, RATE, joins)["seam_ratio"])
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_a_hard_cut_is_worst_and_the_untouched_recording_best(overlap):
    found = ratios(overlap)
    assert found["untouched"] < found["matching"] < found["unrelated"] < found["cut"], found
    assert found["untouched"] < 1.3
    assert found["cut"] > 1.8


def test_a_loop_is_judged_over_its_border():
    music_N = recordings()[0]
    period = 6 * RATE // HOP * HOP
    turn_N = music_N[:period]
    twice_N = np.concatenate([turn_N, turn_N, turn_N[: RATE // HOP * HOP]])  # a clip that repeats itself
    overlap = RATE // HOP * HOP
    loop_S = close_loop(torch.tensor(twice_N)[None], overlap)[0].numpy()
    good = seam.evaluate(loop_S, RATE, [(period, period + 10)], circular=True)
    cut_N = np.concatenate([turn_N, recordings()[1][:period]])
    bad = seam.evaluate(cut_N, RATE, [(0, 0)], circular=True)
    assert bad["seam_ratio"] > good["seam_ratio"]
    middle = seam.evaluate(np.roll(cut_N, period // 2), RATE, [(period // 2, period // 2)], circular=True)
    assert bad == pytest.approx(middle, rel=0.05), "where a loop begins does not matter"


def test_level_does_not_matter():
    piece_S, joins = joined(recordings()[0][:CLIP], recordings()[1][:CLIP], RATE), [(CLIP - RATE, CLIP)]
    loud, quiet = seam.evaluate(piece_S, RATE, joins), seam.evaluate(piece_S / 4, RATE, joins)
    assert loud == pytest.approx(quiet, rel=1e-3)


def test_silence_has_no_seam():
    assert seam.evaluate(np.zeros(CLIP), RATE, [(CLIP // 2, CLIP // 2)]) == {
        "seam_ratio": 1.0,
        "seam_change": 0.0,
        "seam_step": 0.0,
    }


@pytest.mark.parametrize(
    ("joins", "message"),
    [
        ([], "no joins are given"),
        ([(100, 200)], "0.5 s of sound on either side"),
        ([(CLIP - 100, CLIP)], "on either side"),
        ([(CLIP // 2, CLIP // 2 - 1)], "on either side"),
        ([(CLIP // 10, CLIP * 9 // 10)], "1.1 s without a join"),
    ],
)
def test_joins_that_cannot_be_measured_are_refused(joins, message):
    with pytest.raises(UserError, match=message):
        seam.evaluate(np.zeros(CLIP), RATE, joins)
    assert seam.measurable(np.zeros(CLIP), RATE, joins) == []
