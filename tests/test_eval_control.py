"""The control metrics: stored scores, best for identity, known values, and errors that name the fix."""

import json

import numpy as np
import pytest

from ditto.types import UserError
from eval.control import intensity, melody, pitch, reconstruction, sound, structure
from tests.control_golden import FOLDER, FRAMES, HOP, RATE, SAMPLES, scores, tones, wave

EVERYTHING = [(slice(0, FRAMES), slice(0, FRAMES))]


def sine(hertz, amplitude=0.5, samples=SAMPLES):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)


def test_stored_scores():
    stored, found = json.loads((FOLDER / "scores.json").read_text()), scores()
    assert found.keys() == stored.keys()
    for case, values in stored.items():
        assert found[case] == pytest.approx(values, rel=1e-12, abs=1e-12), case


def test_a_wave_against_its_own_features_is_best():
    estimate_N = wave("estimate")
    curve_T = intensity.curve(estimate_N, RATE, HOP)
    assert intensity.evaluate(estimate_N, RATE, curve_T) == pytest.approx(
        {"intensity_mse": 0.0, "intensity_correlation": 1.0}, abs=1e-12
    )
    matrix_TT = structure.matrix(estimate_N, RATE, HOP)
    assert structure.evaluate(estimate_N, RATE, matrix_TT) == {"structure_mse": 0.0}
    classes_T = melody.strongest_classes(estimate_N, RATE, HOP)
    assert melody.evaluate(estimate_N, RATE, classes_T)["melody_accuracy"] == 100
    found = reconstruction.evaluate(estimate_N, estimate_N, RATE, HOP, EVERYTHING)
    assert found == {"overlap_mel_mse": 0.0, "seam_db": 0.0}


def test_level_is_that_of_a_sine_and_a_factor_moves_it_by_its_decibels():
    curve_T = intensity.curve(sine(1000), RATE, HOP)[50:-50]  # smoothing and window reach 0.55 s
    assert curve_T == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    quiet = intensity.evaluate(wave("estimate") / 10, RATE, intensity.curve(wave("estimate"), RATE, HOP))
    assert quiet["intensity_mse"] == pytest.approx(400, abs=1)
    assert quiet["intensity_correlation"] == pytest.approx(1, abs=1e-3)


def test_frames_before_from_s_do_not_count():
    target_T = intensity.curve(wave("estimate"), RATE, HOP)
    target_T[: round(0.5 * RATE / HOP)] += 20
    assert intensity.evaluate(wave("estimate"), RATE, target_T, from_s=0.5)["intensity_mse"] == 0
    assert intensity.evaluate(wave("estimate"), RATE, target_T, from_s=0.3)["intensity_mse"] > 1


def test_a_constant_curve_has_no_correlation():
    flat_T = np.full(FRAMES, -24.0) + 1e-6 * np.arange(FRAMES)
    assert intensity.evaluate(wave("estimate"), RATE, flat_T)["intensity_correlation"] == 0


def test_reconstruction_of_a_louder_copy_is_its_gain():
    found = reconstruction.evaluate(2 * wave("estimate"), wave("estimate"), RATE, HOP, EVERYTHING, "whole", "whole_db")
    assert found["whole_mel_mse"] == pytest.approx(np.log(2) ** 2, rel=1e-3)
    assert found["whole_db"] == pytest.approx(20 * np.log10(2), rel=1e-3)


def test_only_the_given_regions_count():
    edited = wave("estimate").copy()
    edited[64 * HOP :] = wave("reference")[64 * HOP :]
    same = [(slice(0, 56), slice(0, 56))]  # a window reaches 4 frames over the edge
    assert reconstruction.evaluate(edited, wave("estimate"), RATE, HOP, same)["overlap_mel_mse"] < 1e-12
    assert reconstruction.evaluate(edited, wave("estimate"), RATE, HOP, EVERYTHING)["overlap_mel_mse"] > 1


def test_a_form_scores_better_on_music_that_has_it():
    aba_TT = np.equal.outer(np.arange(96) // 32 % 2, np.arange(96) // 32 % 2).astype(float)
    sections = [tones([note], seed)[: 32 * HOP] for note, seed in ((57, 0), (88, 1), (57, 2))]
    aba_N, aab_N = np.concatenate(sections), np.concatenate([sections[0], sections[2], sections[1]])
    good, bad = (structure.evaluate(one, RATE, aba_TT, 0.0)["structure_mse"] for one in (aba_N, aab_N))
    assert good < 0.1 < 0.3 < bad


def test_melody_by_chroma_and_by_the_tracker():
    tune = [60, 67, 64, 72]
    target_T = np.repeat([note % 12 for note in tune], FRAMES // 4)
    right = melody.evaluate(tones(tune, 0), RATE, target_T)
    assert right["melody_accuracy"] > 96
    assert right["melody_f0_accuracy"] > 96
    wrong = melody.evaluate(tones(tune, 0), RATE, (target_T + 1) % 12)
    assert max(wrong.values()) < 4
    rests = melody.evaluate(tones(tune, 0), RATE, np.where(np.arange(FRAMES) < 64, target_T, melody.SILENT))
    assert rests["melody_f0_accuracy"] > 96


def test_silence_has_no_pitch():
    silence = np.zeros(SAMPLES)
    found = melody.evaluate(silence, RATE, np.zeros(FRAMES, dtype=int))
    assert found == {"melody_accuracy": 0.0, "melody_f0_accuracy": 0.0}
    assert not pitch.track(silence, RATE, HOP).any()


def test_classes_of_frequencies():
    assert melody.classes_of(np.array([440.0, 880.0, 261.6, 0.0, 440 * 2 ** (0.4 / 12)])).tolist() == [9, 9, 0, -1, 9]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sound.validate(np.zeros((2, 512)), RATE, 2), "mix it to mono"),
        (lambda: sound.validate(np.zeros(512, dtype=int), RATE, 2), "floating"),
        (lambda: sound.validate(np.full(512, np.nan), RATE, 2), "NaN or infinity"),
        (lambda: sound.validate(np.zeros(511), RATE, 2), "511 samples is not 2 whole frames"),
        (lambda: sound.validate(np.zeros(0), RATE, 2), "0 samples"),
        (lambda: sound.validate(np.zeros(512), 0, 2), "sample rate of 0 Hz"),
        (lambda: intensity.evaluate(wave("estimate"), RATE, np.zeros((2, 64))), "one a frame"),
        (lambda: intensity.evaluate(wave("estimate"), RATE, np.zeros(100)), "not 100 whole frames"),
        (lambda: intensity.evaluate(wave("estimate"), RATE, np.zeros(FRAMES), from_s=9), "from_s=9"),
        (lambda: melody.evaluate(wave("estimate"), RATE, np.zeros(FRAMES)), "integer pitch classes"),
        (lambda: melody.evaluate(wave("estimate"), RATE, np.full(FRAMES, 12)), "0 \\(C\\) to 11"),
        (lambda: melody.evaluate(wave("estimate"), RATE, np.full(FRAMES, -1)), "one frame must have a note"),
        (lambda: structure.evaluate(wave("estimate"), RATE, np.zeros((FRAMES, 3))), "\\[T, T\\]"),
        (
            lambda: reconstruction.evaluate(wave("estimate"), wave("estimate")[:-HOP], RATE, HOP, EVERYTHING),
            "equal length",
        ),
        (
            lambda: reconstruction.evaluate(
                wave("estimate"), wave("estimate"), RATE, HOP, [(slice(0, 5), slice(0, 6))]
            ),
            "pair frames",
        ),
    ],
)
def test_malformed_input_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()
