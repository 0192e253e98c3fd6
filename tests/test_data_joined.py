"""Data folders joined: training pieces of all, val and test of the first, and a training reads the result."""

import json
from pathlib import Path

import numpy as np
import soundfile

from ditto.data.build import main
from ditto.data.labels import read_pieces
from ditto.training.mels import build_mels


def data_folder(folder: Path, **pieces: str) -> Path:
    (folder / "audio").mkdir(parents=True)
    rows = ["piece_id,split,file,seconds,genre,mood,bpm,key,mode,lead,instruments,groove,groove_held_out,tune,captions"]
    for name, split in pieces.items():
        soundfile.write(
            folder / "audio" / f"{name}.flac", 0.1 * np.random.default_rng(0).standard_normal(22050 * 12), 22050
        )
        words = json.dumps(["slow blues"]).replace('"', '""')
        rows.append(f'{name},{split},audio/{name}.flac,12.0,,,0,,,,,,0,tune,"{words}"')
    (folder / "pieces.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_training_pieces_of_all_and_the_rest_of_the_first(tmp_path, monkeypatch, capsys):
    music = data_folder(tmp_path / "music", a="train", b="train", c="val", d="test")
    mine = data_folder(tmp_path / "mine", e="train", f="test")
    monkeypatch.setenv("DITTO_DATA", str(tmp_path))
    for _ in range(2):  # a second call makes the same
        assert main(["join", str(music), str(mine)]) == 0
    joined = tmp_path / "joined" / "music"
    ids = {split: {piece.piece_id for piece in read_pieces(joined, split)} for split in ("train", "val", "test")}
    assert ids == {"train": {"a", "b", "e"}, "val": {"c"}, "test": {"d"}}
    assert all((joined / piece.file).resolve().exists() for piece in read_pieces(joined))
    cache = build_mels(tmp_path / "joined", "train")
    assert set(cache.index["piece_id"]) == ids["train"]
    assert "train" in capsys.readouterr().out


def test_what_cannot_be_joined_is_one_line(tmp_path, capsys) -> None:
    music, other = data_folder(tmp_path / "music", a="train"), data_folder(tmp_path / "other", a="train")
    assert main(["join", str(music), str(other), "--out", str(tmp_path / "out")]) == 2
    assert "both have a piece" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["join", str(music), "--out", str(music)]) == 2
    assert "one of the folders" in capsys.readouterr().err
    assert main(["join", str(tmp_path / "none")]) == 2
    assert "no music" in capsys.readouterr().err
    assert all(not (music / piece.file).is_symlink() for piece in read_pieces(music))
    sound = tmp_path / "full" / read_pieces(music)[0].file
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"mine")
    assert main(["join", str(music), "--out", str(tmp_path / "full")]) == 2
    assert "is a file, not a link" in capsys.readouterr().err
    assert sound.read_bytes() == b"mine"
