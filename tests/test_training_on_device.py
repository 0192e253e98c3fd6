"""Batches and log-mels made on the training device are those that the CPU makes."""

from pathlib import Path

import pytest
import torch

from ditto.training.clips import ClipData
from ditto.training.control_clips import ControlData
from ditto.training.features import build_features
from ditto.training.mels import build_mels
from ditto.training.workers import map_waves
from ditto.types import UserError
from tests.test_training import data_root, train  # noqa: F401


@pytest.mark.parametrize("kind", [ClipData, ControlData])
def test_batches_are_the_same_bit_for_bit(data_root: Path, kind: type[ClipData]) -> None:  # noqa: F811
    made = []
    for on_device in (False, True):
        data = kind(str(data_root), batch_size=3, on_device=on_device)
        data.prepare_data()
        data.setup()
        made.append(data.sets["train"][7])
    usual, other = made
    assert usual.keys() == other.keys()
    for name in usual:
        assert usual[name].dtype == other[name].dtype
        assert torch.equal(usual[name], other[name]), name


def test_training_with_the_data_on_the_device(data_root: Path, tmp_path: Path) -> None:  # noqa: F811
    train(tmp_path, data_root, "max_steps=2", "+stage.data.on_device=true")
    with pytest.raises(UserError, match="workers=0"):
        ClipData(str(data_root), workers=2, on_device=True)


def test_mels_and_features_are_those_of_the_cpu(data_root: Path) -> None:  # noqa: F811
    # "cpu:0" is no other device, yet takes the road of one: threads read, the main thread computes.
    wanted = build_mels(data_root, "train").frames_TF.tobytes(), build_features(data_root, "train").tobytes()
    for path in [*(data_root / "music" / "mels").glob("train.*"), *(data_root / "music" / "features").glob("train.*")]:
        path.unlink()
    made = build_mels(data_root, "train", 2, "cpu:0").frames_TF.tobytes()
    assert (made, build_features(data_root, "train", 2, "cpu:0").tobytes()) == wanted


def length(wave_N: torch.Tensor) -> torch.Tensor:
    return torch.tensor(len(wave_N) / 1000)


def test_waves_come_back_in_order_however_many_there_are(data_root: Path) -> None:  # noqa: F811
    paths = sorted((data_root / "music" / "audio").rglob("*.flac"))
    assert paths
    for many in (1, 3, 25):
        chosen = [paths[k % len(paths)] for k in range(many)]
        usual = [float(value) for value in map_waves(length, chosen, 1)]
        assert [float(value) for value in map_waves(length, chosen, 2, "cpu:0")] == usual
    assert list(map_waves(length, [], 2, "cpu:0")) == []
