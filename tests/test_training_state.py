"""A run in several loans: packed, carried and continued, it is the run that was never interrupted."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from ditto.training import parts, state
from ditto.training.callbacks import WarmAverage
from tests.test_training import data_root  # noqa: F401
from tests.test_training import train as train_and_validate


def train(folder: Path, data_root: Path, *overrides: str) -> None:  # noqa: F811
    train_and_validate(folder, data_root, "stage.validate_every=1000", *overrides)


def losses(run: Path) -> pd.DataFrame:
    """Loss and learning rate of every step of the run's last version."""
    logs = max((run / "logs").glob("version_*"), key=lambda path: int(path.name.split("_")[1]))
    return pd.read_csv(logs / "metrics.csv").dropna(subset="train/loss").set_index("step")[["train/loss", "train/lr"]]


def carry(run: Path, out: Path, mib: float = 0.2) -> Path:
    """A run's folder made from the parts of another's packed state."""
    state.pack(run, out / "a" / "state.bin")
    carried = [path.rename(out / path.name) for path in parts.split(out / "a" / "state.bin", mib)]
    assert len(carried) > 1
    (out / "a" / "state.bin.sha256").rename(out / "state.bin.sha256")
    (out / "a" / "state.bin").unlink()
    state.unpack(parts.join(out / "state.bin"), out / "run")
    return out / "run"


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_carried_run_goes_on_as_the_one_that_stayed(data_root: Path, tmp_path: Path, optimizer: str) -> None:  # noqa: F811
    options = (
        f"optimizer={optimizer}",
        "trainer.log_every_n_steps=1",
        "stage.warmup_steps=4",
        "max_steps=6",
        "hours=1",
    )
    stayed = tmp_path / "stayed"
    stayed.mkdir()
    for _ in range(2):  # a pause after each of the first two steps
        (stayed / "pause").touch()
        train(stayed, data_root, *options)
    assert torch.load(stayed / "last.ckpt", weights_only=False)["global_step"] == 2
    moved = carry(stayed, tmp_path / "moved")
    for run in (stayed, moved):
        train(run, data_root, *options)
    whole, packed = losses(stayed), losses(moved)
    assert list(packed.index) == list(whole.index) == list(range(2, 6))
    assert packed["train/lr"].tolist() == whole["train/lr"].tolist()
    # The same noise and batches, the same weights: only the rounded moments differ.
    assert packed["train/loss"].iloc[0] == whole["train/loss"].iloc[0]
    torch.testing.assert_close(
        torch.tensor(packed["train/loss"].to_numpy()), torch.tensor(whole["train/loss"].to_numpy()), rtol=2e-3, atol=0
    )


def test_weights_are_exact_and_the_rest_is_close(data_root: Path, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "run"
    train(run, data_root, "max_steps=2")
    whole = torch.load(run / "last.ckpt", weights_only=False)
    small = state.shrink(whole)
    back = state.restore(small)
    assert set(back) == set(whole)
    for name, weight in whole["current_model_state"].items():
        assert torch.equal(back["current_model_state"][name], weight)
        distance = (whole["state_dict"][name] - weight).abs()
        assert ((back["state_dict"][name] - whole["state_dict"][name]).abs() <= distance * 2**-8 + 1e-7).all()
    weights, average = whole["current_model_state"], whole["state_dict"]
    assert any(not torch.equal(average[name], weights[name]) for name in weights)
    moments = zip(
        whole["optimizer_states"][0]["state"].values(), back["optimizer_states"][0]["state"].values(), strict=True
    )
    for given, kept in moments:
        assert given.keys() == kept.keys()
        for name in given:
            torch.testing.assert_close(kept[name], given[name], rtol=2**-8, atol=0)
    assert back["callbacks"] == whole["callbacks"]
    assert back["loops"] == whole["loops"]
    large = [value for value in whole["current_model_state"].values() if value.numel() > state.SMALL]
    state.pack(run, tmp_path / "state.bin")
    assert (tmp_path / "state.bin").stat().st_size < 9 * sum(value.numel() for value in large) + 100_000


def test_the_further_run_is_not_overwritten(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:  # noqa: F811
    run, packed = tmp_path / "run", tmp_path / "state.bin"
    assert state.main(["pack", str(run), str(packed)]) == 2
    assert state.main(["unpack", str(packed), str(run)]) == 2
    train(run, data_root, "max_steps=1")
    assert state.main(["pack", str(run), str(packed)]) == 0
    capsys.readouterr()
    assert state.main(["unpack", str(packed), str(run)]) == 2
    assert "step 1" in capsys.readouterr().err
    (run / "last.ckpt").unlink()
    assert state.main(["unpack", str(packed), str(run)]) == 0


def test_pausing_keeps_the_weights_and_the_budget(
    data_root: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    run = tmp_path / "run"
    train(run, data_root, "hours=0.5", "pause_hours=0.000001")
    paused = torch.load(run / "last.ckpt", weights_only=False)
    assert paused["global_step"] == 1
    spent = paused["callbacks"]["Timer"]["time_elapsed"]["train"]
    train(run, data_root, "hours=0.5", "pause_hours=0.000001")
    again = torch.load(run / "last.ckpt", weights_only=False)
    assert again["global_step"] == 2
    weights, average = again["current_model_state"], again["state_dict"]
    assert any(not torch.equal(average[name], weights[name]) for name in weights)
    assert again["callbacks"]["Timer"]["time_elapsed"]["train"] > spent > 0
    train(run, data_root, "max_steps=7")
    assert "step 7: " in capsys.readouterr().out


def test_the_average_of_weights_warms_up() -> None:
    average = WarmAverage(decay=0.5)._kwargs["multi_avg_fn"]
    averaged, counts = [torch.zeros(2), torch.zeros(3)], [torch.zeros(2, dtype=torch.int64)]
    average(averaged, [torch.ones(2), 2 * torch.ones(3)], torch.tensor(1))
    torch.testing.assert_close(averaged[0], torch.full((2,), 1 - 2 / 11))
    torch.testing.assert_close(averaged[1], torch.full((3,), 2 - 4 / 11))
    average(averaged, [torch.zeros(2), torch.zeros(3)], torch.tensor(1000))
    torch.testing.assert_close(averaged[0], torch.full((2,), (1 - 2 / 11) / 2))
    average(counts, [torch.ones(2, dtype=torch.int64)], torch.tensor(1))
    assert counts[0].tolist() == [1, 1]
