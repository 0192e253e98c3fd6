"""The feature cache: rows of the log-mel cache, the controls' own values, mended after a kill, gains in batches."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from ditto.audio.features import chroma, mfcc, rms_db
from ditto.training.clips import FRAMES, ClipData
from ditto.training.control_clips import ControlData
from ditto.training.features import CHROMA, COLUMNS, HOP, MFCC, RMS_DB, SAMPLE_RATE, build_features, measure
from ditto.training.mels import build_mels
from ditto.types import UserError
from tests.music_cases import write_music


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    write_music(tmp_path, (7.0, 6.2, 9.1, 8.0))
    return tmp_path


def test_rows_are_those_of_the_mels_and_values_those_of_the_controls(data_root: Path) -> None:
    cache, features_TD = build_mels(data_root, "train"), build_features(data_root, "train")
    assert features_TD.shape == (len(cache.frames_TF), COLUMNS)
    assert features_TD.dtype == np.float16
    # Level and chroma have no memory beyond the context: a clip of the same frames measures the same inside.
    wave, _ = soundfile.read(data_root / "music" / "audio" / "p2.flac", dtype="float32")
    first, start = int(cache.index["first"].iat[2]), 30
    clip = torch.from_numpy(wave)[None, start * HOP : (start + FRAMES) * HOP]
    inside, rows = (
        slice(8, -8),
        torch.from_numpy(features_TD[first + start : first + start + FRAMES].astype(np.float32)),
    )
    torch.testing.assert_close(rows[inside, RMS_DB].T, rms_db(clip, HOP)[:, inside], atol=0.04, rtol=0)
    torch.testing.assert_close(
        rows[inside, CHROMA].T, chroma(clip, SAMPLE_RATE, HOP, window=9)[0, :, inside], atol=2e-3, rtol=0
    )
    assert (rows[inside, MFCC].T - mfcc(clip, SAMPLE_RATE, HOP)[0, :, inside]).abs().max() < 0.2


def test_excerpts_leave_no_seams() -> None:
    torch.manual_seed(0)
    wave_N = 0.1 * torch.randn(1300 * HOP + 100)
    features_TD = measure(wave_N)
    assert features_TD.shape == (1300, COLUMNS)
    whole = wave_N[None, : 1300 * HOP]
    torch.testing.assert_close(features_TD[:-4, RMS_DB].T, rms_db(whole, HOP)[:, :-4], atol=1e-3, rtol=0)
    share_TP = chroma(whole, SAMPLE_RATE, HOP, window=9)[0].T
    torch.testing.assert_close(features_TD[8:-8, CHROMA], share_TP[8:-8], atol=1e-4, rtol=0)


def test_a_killed_cache_is_mended_and_a_new_piece_appended(data_root: Path) -> None:
    whole = build_features(data_root, "train").copy()
    store = data_root / "music" / "features" / "train.f16"
    store.write_bytes(store.read_bytes()[:-999])  # killed within the last piece
    np.testing.assert_array_equal(build_features(data_root, "train"), whole)
    assert store.stat().st_size == whole.nbytes
    table = pd.read_csv(data_root / "music" / "pieces.csv")
    table.assign(split="train").to_csv(data_root / "music" / "pieces.csv", index=False)
    more = build_features(data_root, "train")
    np.testing.assert_array_equal(more[: len(whole)], whole)
    assert len(more) == len(build_mels(data_root, "train").frames_TF) > len(whole)
    assert np.any(more[len(whole) :])


def test_another_recording_under_an_old_name_is_refused(data_root: Path) -> None:
    build_mels(data_root, "train")
    soundfile.write(data_root / "music" / "audio" / "p1.flac", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(UserError, match="p1"):
        build_features(data_root, "train")


def test_batches_are_those_of_plain_training_with_the_features_of_their_frames(data_root: Path) -> None:
    sets = []
    for kind in (ClipData, ControlData):
        data = kind(str(data_root), batch_size=3, gain_db=6.0)
        data.prepare_data()
        data.setup()
        sets.append(data.sets["train"])
    plain, rich = sets[0][5], sets[1][5]
    assert all(torch.equal(plain[name], rich[name]) for name in plain)
    assert rich["chroma_BPT"].shape == (3, 12, FRAMES)
    assert rich["mfcc_BDT"].shape == (3, 19, FRAMES)
    torch.testing.assert_close(rich["chroma_BPT"].sum(1), torch.ones(3, FRAMES), atol=5e-3, rtol=0)
    # The gain of the log-mels is in the level too: loudest band and level move together, clip by clip.
    still = ControlData(str(data_root), batch_size=3, gain_db=0.0)
    still.setup()
    base = still.sets["train"][5]
    gain_db = (rich["mel_BFT"] - base["mel_BFT"]).amax((1, 2)) * 20 / np.log(10)
    torch.testing.assert_close((rich["rms_db_BT"] - base["rms_db_BT"]).mean(1), gain_db, atol=0.05, rtol=0)
    assert gain_db.abs().max() > 0.5
