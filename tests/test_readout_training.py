"""Training of the readout heads: they learn, on the timestep that guidance uses; few examples; resume and export."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.readout_accuracy import accuracy, draw_picture, from_mean, hits, judges, majority, measured
from baselines.readout_controls import estimate
from baselines.readout_heads import embed_time, read
from baselines.readout_training import ExampleData, ReadoutTraining, condition_of, draw, head_losses
from baselines.readout_weights import PACKAGED, export, load_heads
from ditto.models.embedded import load
from ditto.types import UserError
from tests.control_cases import toy
from tests.readout_cases import clips, trained, training
from tests.test_training import data_root, train  # noqa: F401

SMALL_HEADS = ["stage=readout", "stage.module.width=2", "stage.module.hidden=4", "stage.data.examples=2"]


def test_the_heads_learn():
    module, history = trained()
    assert np.mean(history[-20:]) < 0.9 * np.mean(history[:20])  # most of it is noise that nobody can read through
    batch = clips()
    with torch.no_grad():
        losses = module.losses(batch, torch.full((len(batch["mel_BFT"]),), 50), torch.zeros(1))
    assert losses["rms_db"].mean() < 0.3  # 1 is the loss of the best constant
    assert losses["mfcc"].mean() < 0.9


def test_training_and_guidance_read_the_same_at_the_same_timestep():
    module, batch = trained()[0], clips()
    t_B, noise = draw(batch, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():  # as the trainer calls it
        losses = module.losses(batch, t_B, noise)
    x_t = toy().schedule.add_noise(toy().encode_mel(batch["mel_BFT"]), noise, t_B)
    with torch.no_grad():  # as guidance reads it
        expected = head_losses(module.network, read(toy(), module.network, x_t, t_B, condition_of(batch)), batch)
        shifted = read(toy(), module.network, x_t, (t_B + 300) % 1000, condition_of(batch))
    assert all(torch.equal(losses[name], expected[name]) for name in losses)
    assert not torch.allclose(head_losses(module.network, shifted, batch)["rms_db"], losses["rms_db"])


def test_timesteps_are_told_apart_and_the_base_is_frozen():
    apart = torch.cdist(*[embed_time(torch.arange(1000))] * 2)
    assert (apart + torch.eye(1000) * 9).min() > 0.5
    module = training()
    assert not any(name.startswith("frozen") for name in module.state_dict())
    before = toy().weights_hash
    trained()
    assert all(parameter.grad is None for parameter in toy().parameters())
    assert toy().weights_hash == before


def test_constants_standardise_what_the_heads_read():
    module, batch = training(), clips()
    module.calibrate([batch])
    level = (batch["rms_db_BT"] - module.network.rms_db[0]) / module.network.rms_db[1]
    assert abs(level.mean()) < 1e-4
    assert abs(level.std() - 1) < 1e-3


def test_few_examples_are_few(data_root: Path) -> None:  # noqa: F811
    data = ExampleData(str(data_root), examples=1, batch_size=4)
    data.prepare_data()
    data.setup()
    starts = data.sets["train"].starts
    assert (starts > 0).sum() == 1
    assert len(data.sets["train"].cache.index) == 3
    assert (data.sets["val"].starts > 0).all()
    with pytest.raises(UserError, match="examples"):
        ExampleData(str(data_root), examples=0)


def test_train_resume_export_load(data_root: Path, tmp_path: Path) -> None:  # noqa: F811
    run, folder = tmp_path / "run", tmp_path / "heads"
    train(run, data_root, *SMALL_HEADS, "max_steps=2")
    constants = torch.load(run / "last.ckpt", weights_only=False)["state_dict"]["network.mfcc"]
    train(run, data_root, *SMALL_HEADS, "max_steps=3")
    stored = torch.load(run / "last.ckpt", weights_only=False)
    assert stored["global_step"] == 3
    assert torch.equal(stored["state_dict"]["network.mfcc"], constants)
    assert all(name.startswith("network.") for name in stored["state_dict"])
    export(run, folder)
    model = load(precision="float32")
    config = json.loads((folder / "config.json").read_text())
    assert (config["steps"], config["examples"], config["base"]["weights_hash"]) == (3, 2, model.weights_hash)
    heads = load_heads(folder, model)
    readings = read(model, heads, torch.zeros(1, *model.shape), torch.tensor([500]), model.encode([""]))
    assert readings.rms_db_BT.shape == (1, 512)
    assert readings.log_chroma_BPT.shape == (1, 12, 512)
    assert readings.mfcc_BDT.shape == (1, 19, 512)


def test_the_module_trains_the_heads_alone():
    module = ReadoutTraining(toy(), width=4, rows=4, hidden=8)
    trained_names = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained_names
    assert all(name.startswith("network.heads.") for name in trained_names)


def test_accuracy_against_t(tmp_path: Path) -> None:
    table = accuracy(toy(), trained()[0].network, [clips()], judges(toy()))
    assert len(table) == 30
    assert set(table["n"]) == {len(clips()["mel_BFT"])}
    level = table[table["metric"] == "intensity_mse"]
    assert level["value"].iloc[0] < 0.5 * level["constant"].iloc[0]
    assert level["value"].iloc[0] < level["value"].iloc[-1]
    draw_picture(table, tmp_path / "accuracy.png")
    assert (tmp_path / "accuracy.png").stat().st_size > 0


def test_perfect_heads_have_no_error_and_constants_are_the_best_constants() -> None:
    batch = clips()
    for judge in judges(toy()):
        y = estimate(judge.control, measured(batch))
        assert judge.score(y, y).mean() == (100 if judge.metric == "melody_accuracy" else 0)
    y_NPT = torch.eye(12)[torch.tensor([[3, 3, 5], [3, 7, 7]])].mT
    assert majority(y_NPT).mean().item() == pytest.approx(50)
    assert hits(y_NPT, y_NPT.flip(0)).tolist() == pytest.approx([100 / 3] * 2)
    assert from_mean(torch.tensor([[1.0, 3.0], [1.0, 3.0]])).tolist() == [1, 1]


def test_the_packaged_heads_are_those_of_the_packaged_base() -> None:
    model = load(precision="float32")
    heads = load_heads(PACKAGED, model)
    assert heads.config["mfccs"] == 19
    assert sum(file.stat().st_size for file in PACKAGED.iterdir()) < 4 * 2**20
