"""Whole runs: what is measured from the sound files agrees with the run's own figures, and a bad file is named.

Tolerances are those of 16-bit files: the loudest difference on real runs is 0.0008 dB² or dB, and one frame of melody.
"""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from ditto import runs
from ditto.run import main
from ditto.types import UserError
from eval.control import measure, measured
from eval.control.seam import NAMES
from eval.finished import Finished

COMMAND = [
    "model=toy",
    "task.steps=1",
    "sampler.steps=2",
    "prompt=[a calm song,a fast song]",
    "progress=false",
    "pictures=false",
]
TOLERANCE = {
    "intensity_mse": 0.01,
    "intensity_correlation": 1e-3,
    "melody_accuracy": 100 * 2 / 128,
    "structure_mse": 1e-3,
    "seam_db": 0.01,
    "reconstruction_db": 0.01,
}
SEAM = set(NAMES)
BOTH = ("intensity", "outpainting")  # with the text-only clips kept beside them
OWN = {
    "intensity": {"intensity_mse", "intensity_correlation"},
    "melody": {"melody_accuracy", "melody_f0_accuracy"},
    "structure": {"structure_mse"},
    "structure_transfer": {"structure_mse"},
    "outpainting": {"overlap_mel_mse", "seam_db", *SEAM},
    "inpainting": {"overlap_mel_mse", "seam_db", *SEAM},
    "looping": {"overlap_mel_mse", "seam_db", *SEAM},
    "loop_free": {"overlap_mel_mse", "seam_db", *SEAM},
    "inversion": {"reconstruction_mel_mse", "reconstruction_db"},
    "intensity_outpainting": {"intensity_mse", "intensity_correlation", "overlap_mel_mse", "seam_db", *SEAM},
    "intensity_melody": {"intensity_mse", "intensity_correlation", "melody_accuracy", "melody_f0_accuracy"},
    "brightness": {"brightness_mse"},
}


def made(folder, task, *overrides, frames=128, method="text_only"):
    """The finished run of two toy clips."""
    options = [f"task={task}", f"method={method}", f"model.frames={frames}", f"runs_dir={folder}", *overrides]
    assert main([*COMMAND, *options]) == 0
    rows = runs.load_runs(folder)
    rows = rows[rows["task"] == task]
    return Finished.of(task, method, next(folder.glob("*/status.json")).parent, rows)


def changes(found, own):
    """Largest difference to the run's own figures, by metric."""
    own = own.set_index("clip")
    shared = [name for name in found.columns if name in own.columns and name != "failed"]
    return {name: float((found[name] - own[name]).abs().max()) for name in shared}


@pytest.mark.parametrize("task", OWN)
def test_files_say_what_the_run_said(task, tmp_path):
    method = "ditto" if task in BOTH else "text_only"
    one = made(tmp_path / "runs", task, frames=512 if OWN[task] >= SEAM else 128, method=method)
    for run in [one, *([one.beside_text_only()] if task in BOTH else [])]:
        found = measured(run, tmp_path / "cache")
        assert set(found.columns) == {*OWN[task], "failed"}
        assert found.index.tolist() == run.clips["clip"].tolist()
        assert found["failed"].isna().all()
        assert np.isfinite(found.drop(columns="failed").to_numpy(float)).all()
        for name, change in changes(found, run.clips).items():
            assert change <= TOLERANCE.get(name, 1e-2 * run.clips[name].max()), name


def test_only_the_joins_of_a_piece_of_several_rounds(tmp_path):
    one = made(tmp_path / "runs", "outpainting", "task.control.repeats=2", frames=512)
    assert set(measured(one, tmp_path).columns) == {*SEAM, "failed"}


def test_clips_too_short_for_a_seam_have_none(tmp_path):
    one = made(tmp_path / "runs", "outpainting", "task.control.overlap_s=0.2", frames=64)
    assert set(measured(one, tmp_path).columns) == {"overlap_mel_mse", "seam_db", "failed"}


def test_bad_files_are_named_and_are_no_number(tmp_path):
    one = made(tmp_path / "runs", "intensity", "prompt=[a,b,c,d,e]")
    wave_N, rate = soundfile.read(one.files[0])
    one.files[0].unlink()
    soundfile.write(one.files[1], np.full(len(wave_N), np.nan), rate, format="WAV", subtype="FLOAT")
    soundfile.write(one.files[2], wave_N[:-5000], rate)
    one.files[3].write_bytes(one.files[3].read_bytes()[:9000])
    found = measured(one, tmp_path / "cache")
    for reason, words in zip(found["failed"], ("missing", "not numbers", "truncated", "", None), strict=True):
        assert reason is None if words is None else words in reason
    assert found["intensity_mse"].isna().tolist() == [True, True, True, True, False]
    assert all(clip in reason for clip, reason in found["failed"].dropna().items())
    again = measured(one, tmp_path / "cache")
    pd.testing.assert_frame_equal(found, again)


def test_measured_once_and_again_where_sound_or_target_changes(tmp_path, monkeypatch):
    one, cache = made(tmp_path / "runs", "intensity"), tmp_path / "cache"
    first = measured(one, cache)
    with monkeypatch.context() as patch:
        patch.setattr(measure, "bind", lambda *_: pytest.fail("it was measured before"))
        pd.testing.assert_frame_equal(measured(one, cache), first)
        shuffled = Finished(one.task, one.method, one.path, one.clips[::-1], 0)
        pd.testing.assert_frame_equal(measured(shuffled, cache), first[::-1])
    wave_N, rate = soundfile.read(one.files[0])
    soundfile.write(one.files[0], wave_N / 2, rate)
    louder = measured(one, cache)["intensity_mse"] - first["intensity_mse"]
    assert louder.iloc[0] != 0 == louder.iloc[1]
    config = one.path / "config.yaml"
    config.write_text(config.read_text().replace("curve: auto", "curve: flat"))
    assert measured(one, cache)["intensity_mse"].iloc[1] != first["intensity_mse"].iloc[1]


def test_targets_follow_a_clip_s_place_in_the_run(tmp_path):
    one = made(tmp_path / "runs", "intensity")
    second = Finished(one.task, one.method, one.path, one.clips.iloc[1:], 1)
    pd.testing.assert_frame_equal(measured(second, tmp_path / "b"), measured(one, tmp_path / "a").iloc[1:])


def test_a_run_without_its_configuration_or_clips(tmp_path):
    one = made(tmp_path / "runs", "intensity")
    metrics = one.path / "metrics.json"
    metrics.write_text(json.dumps({"other": {}}))
    with pytest.raises(UserError, match="has no clip"):
        measured(one, tmp_path / "cache")
    (one.path / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"no config\.yaml"):
        measured(one, tmp_path / "cache")
