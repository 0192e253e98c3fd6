"""The command that holds vocoders against each other, on made-up music and without musicnn."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ditto.audio.vocoder import Vocoder
from ditto.data.labels import Piece, to_csv
from ditto.models.base import hash_weights
from ditto.models.embedded import save
from ditto.training import vocoders
from ditto.types import UserError
from eval.embedders.musicnn import Musicnn

FRAMES = 48


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pieces of one clip each, on twelve tunes; an embedding of two values that tells levels."""
    (tmp_path / "music" / "audio").mkdir(parents=True)
    pieces, rng = [], np.random.default_rng(0)
    for k in range(12):
        wave = 0.2 * np.sin(2 * np.pi * (200 + 40 * k) * np.arange(15_000) / 22_050) + 0.02 * rng.normal(size=15_000)
        soundfile.write(tmp_path / f"music/audio/p{k}.flac", wave, 22_050)
        blank = dict.fromkeys(("genre", "mood", "key", "mode", "lead", "groove"), "") | {"bpm": 90, "instruments": ()}
        about = {"piece_id": f"p{k}", "split": "val", "file": f"audio/p{k}.flac", "seconds": 0.68, "tune": f"tune{k}"}
        pieces.append(Piece(**blank, **about, captions=("a song",), groove_held_out=False))
    (tmp_path / "music/pieces.csv").write_text(to_csv(pieces))
    embed = lambda _, clips: [np.stack([np.full(200, w.std()), np.full(200, w.max())]) for _, w, _ in clips]  # noqa: E731
    monkeypatch.setattr(Musicnn, "embed", embed)
    monkeypatch.setattr(vocoders, "fad_rows", lambda clips, _: [level_row(clips)])
    return tmp_path


def level_row(clips: list[np.ndarray]) -> dict[str, object]:
    return {"metric": "fad", "value": float(np.mean(clips)), "low": None, "high": None, "n": len(clips)}


def test_every_vocoder_stands_beside_the_recordings(music: Path) -> None:
    torch.manual_seed(0)
    vocoder = Vocoder(width=16, blocks=1)
    folder = music / "weights"
    save(folder, {"vocoder": {"width": 16, "blocks": 1}}, {}, vocoder)
    given = f"{folder} -n 4 --n-reference 2 --frames {FRAMES} --data-root {music} --cache {music}/cache --device cpu"
    rows = vocoders.compare(vocoders.arguments(given.split())).set_index(["vocoder", "metric"])
    assert rows.loc[(str(folder), "fad"), "weights"] == hash_weights(vocoders.load_vocoder(folder))
    assert rows["weights"].isna()["griffin_lim"].all()
    assert rows["weights"].nunique() == 2
    assert {"commit", "device", "reference"} <= set(rows.columns)
    table = rows["value"]
    assert set(table.index.get_level_values(0)) == {"recordings", str(folder), "shipped", "griffin_lim"}
    assert list(table["recordings"].index) == ["fad"]
    for metric in ("stft", "mel", "phase"):
        assert 0 < table["shipped", metric] < table[str(folder), metric]
    loaded = vocoders.load_vocoder(folder)
    mel_BFT = torch.randn(1, 160, 8)
    torch.testing.assert_close(loaded(mel_BFT), vocoder(mel_BFT), atol=0.01, rtol=0.01)


def test_a_folder_without_a_vocoder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no vocoder"):
        vocoders.compare(vocoders.arguments([str(tmp_path)]))
