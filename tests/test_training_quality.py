"""The quality command on the toy model and made-up music: sets, resuming, rows and the picture; Griffin-Lim."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir

from ditto.audio.mel import LogMel
from ditto.data.labels import Piece, to_csv
from ditto.run import CONF
from ditto.training import quality
from ditto.training.griffin_lim import griffin_lim
from ditto.training.vocoding import stft_distance
from ditto.types import UserError
from eval import tags
from eval.embedders.musicnn import Musicnn

GENRES = ("jazz", "pop")


def tone(hz, seconds, rate=22_050):
    t = np.arange(int(seconds * rate)) / rate
    return (0.2 * np.sin(2 * np.pi * hz * t) + 0.1 * np.sin(4 * np.pi * hz * t)).astype(np.float32)


def test_griffin_lim_rebuilds_a_tone():
    wave = torch.from_numpy(tone(440, 1.0))[: 86 * 256][None]
    mel = LogMel()
    made = griffin_lim(mel(wave), mel)
    assert made.shape == wave.shape
    noise = 0.1 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(0))
    assert stft_distance(made, wave) < 0.5 * stft_distance(noise, wave)
    assert (mel(made) - mel(wave)).exp().mean() < 2


@pytest.fixture
def music(tmp_path):
    """Sixteen test pieces of two clips each, on eight tunes."""
    folder = tmp_path / "data/music"
    (folder / "audio").mkdir(parents=True)
    pieces = []
    for k in range(16):
        soundfile.write(folder / f"audio/p{k}.flac", tone(200 + 20 * k, 1.6), 22_050)
        blank = dict.fromkeys(("mood", "key", "mode", "lead", "groove"), "") | {"bpm": 90, "instruments": ()}
        about = {
            "piece_id": f"p{k}",
            "split": "test",
            "file": f"audio/p{k}.flac",
            "seconds": 1.6,
            "tune": f"tune{k % 8}",
        }
        captions = (f"a {GENRES[k % 2]} song",)
        pieces.append(Piece(**blank, **about, genre=GENRES[k % 2], captions=captions, groove_held_out=False))
    (folder / "pieces.csv").write_text(to_csv(pieces))
    return tmp_path


@pytest.fixture
def command(music, monkeypatch):
    """`command(*overrides)` runs the whole command on few clips; musicnn and FAD, which needs many, are put aside."""
    rng = np.random.default_rng(0)
    embed = lambda _, clips: [np.full((2, 200), wave.std(), np.float32) for _, wave, _ in clips]  # noqa: E731
    monkeypatch.setattr(Musicnn, "embed", embed)
    judge = tags.fit(list(rng.normal(size=(8, 3, 200))), [GENRES[i % 2] for i in range(8)], 0.1)
    monkeypatch.setattr(tags, "load", lambda: judge)
    monkeypatch.setattr(quality, "fad_rows", lambda clips, reference: [quality.row("fad", 1.0, len(clips))])

    def run(*overrides):
        paths = [f"{name}={music}/{name}" for name in ("waves", "cache", "results")]
        small = [
            "model=toy",
            "model.frames=64",
            "n=4",
            "n_reference=4",
            "n_griffin_lim=2",
            "batch_size=3",
            "sampler.steps=2",
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return quality.run(compose("quality", [*small, *paths, f"data_root={music}/data", *overrides]))

    return run


def test_all_sets_are_measured(command, music):
    command()
    table = pd.read_csv(music / "results/model_quality.csv")
    assert set(table["set"]) == {"real", "vocoder", "griffin_lim", "generated", "no_text"}
    assert list(table[(table["set"] == "vocoder") & (table["metric"] == "fad")]["n"]) == [4, 2]
    assert list(table[(table["set"] == "griffin_lim") & (table["metric"] == "fad")]["n"]) == [2]
    assert {"tag_accuracy", "tag_accuracy_shuffled"} <= set(table[table["set"] == "generated"]["metric"])
    assert {"reference", "commit", "weights", "device", "low", "high"} <= set(table.columns)
    assert "4 test clips of other tunes" in table[table["metric"] == "fad"]["reference"].iloc[0]
    assert (music / "results/model_quality.png").stat().st_size > 5000


def test_resumes_and_keeps_samplers_apart(command, music):
    command()
    files = sorted((music / "waves").glob("*/generated/*.flac"))
    before = {file: file.read_bytes() for file in files}
    files[0].unlink()
    kept = files[1].stat().st_mtime_ns
    command()
    assert {file: file.read_bytes() for file in files} == before
    assert files[1].stat().st_mtime_ns == kept
    command("sampler.guidance_scale=4")
    assert len(list((music / "waves").iterdir())) == 2  # another sampler is another folder


def test_too_few_clips_is_one_line(command):
    with pytest.raises(UserError, match="lower n"):
        command("n=99")
