"""The search of the training: every candidate once, from its own log, with what was expected of it."""

from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from ditto.run import CONF
from ditto.training import search
from ditto.types import UserError
from tests.music_cases import write_music


def options(tmp_path: Path, *overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(
            "training_search",
            [f"folder={tmp_path / 'search'}", f"results={tmp_path}", f"data_root={tmp_path}", "n=0", *overrides],
        )


def test_every_candidate_composes_and_says_what_was_expected() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("training_search")
        for candidate in cfg.candidates.values():
            made = compose("train", [*cfg.shared, *candidate.overrides])
            assert made.stage.name == "denoiser"
            assert candidate.steps > 0
            assert len(candidate.expected) > 20


def test_a_tiny_search_trains_once_and_reads_the_loss(tmp_path: Path) -> None:
    write_music(tmp_path)
    tiny = [
        "network.network.patch=[16,16]",
        "network.network.channels=[16,32]",
        "network.network.attention=[false,false]",
    ]
    more = ["+network.network.norm_groups=8", "batch_size=2", "trainer.accelerator=cpu"]
    cfg = options(tmp_path)
    cfg.candidates = {"tiny": {"steps": 2, "overrides": [*tiny, *more], "expected": "nothing"}}
    first = search.run(cfg)
    assert 0.2 < first["val_loss"][0] < 5
    assert pd.read_csv(tmp_path / "training_search.csv")["candidate"].tolist() == ["tiny"]
    stamp = (tmp_path / "search" / "tiny" / "last.ckpt").stat().st_mtime_ns
    assert search.run(cfg)["val_loss"][0] == first["val_loss"][0]
    assert (tmp_path / "search" / "tiny" / "last.ckpt").stat().st_mtime_ns == stamp


def test_a_training_that_fails_is_one_line_and_no_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"failed for base: see .*log.txt"):
        search.run(options(tmp_path))  # no music there
    assert not (tmp_path / "training_search.csv").exists()
    with pytest.raises(UserError, match="no validation loss"):
        search.loss_of(tmp_path / "search" / "base")


def test_fad_is_that_of_the_generated_clips_of_this_n(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "search" / "base"
    folder.mkdir(parents=True)
    rows = [("real", "fad", 5.0), ("generated", "tag_score", 0.1), ("generated", "fad", 20.0)]
    table = pd.DataFrame(rows, columns=["set", "metric", "value"]).assign(low=19.0, high=22.0, reference="tunes")
    table.to_csv(folder / "quality_128.csv", index=False)
    made: list[str] = []
    monkeypatch.setattr(search, "call", lambda _, module, *arguments: made.extend([module, *arguments]))
    cfg = options(tmp_path, "n=128")
    assert search.fad_of(folder, dict(cfg)) == {
        "fad": 20.0,
        "fad_low": 19.0,
        "fad_high": 22.0,
        "reference": "tunes",
    }
    assert not made  # a finished measurement is not repeated
    with pytest.raises(FileNotFoundError, match=r"quality_96\.csv"):
        search.fad_of(folder, dict(cfg) | {"n": 96})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        asked = compose("quality", made[1:])
    assert (asked.name, asked.n, asked.results) == ("quality_96", 96, str(folder))
    table[:2].to_csv(folder / "quality_64.csv", index=False)
    with pytest.raises(UserError, match="64 clips are too few for a FAD"):
        search.fad_of(folder, dict(cfg) | {"n": 64})


def test_the_search_asks_for_enough_clips() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("training_search")
    assert cfg.n * 3 > 200  # windows of a clip, dimensions of musicnn
