"""Samples from an optimised x_T*: from a run directory, with fixed and random prompts, with FreeDoM."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from baselines.freedom import FreeDoM
from baselines.reuse import Reuse
from ditto import runs
from ditto.data.labels import load_pieces
from ditto.method import Request
from ditto.noise import noise
from ditto.run import main
from ditto.sampling import DDIM, DDPM
from ditto.types import UserError
from tests.control_cases import bound, toy

TOY = ["model=toy", "sampler.steps=4", "progress=false", "pictures=false", "memory=store", "text_only_beside=false"]
CLIPS = "prompt=[a calm song, a fast song, a slow song]"
PROMPTS, SEEDS = ["a calm song", "a fast song"], [0, 1]


@pytest.fixture(scope="module")
def optimised(tmp_path_factory):
    """A folder with one finished DITTO run of three clips."""
    folder = tmp_path_factory.mktemp("reuse")
    assert main([*TOY, CLIPS, "task.steps=30", "method.optimizer.lr=0.1", f"runs_dir={folder}/runs"]) == 0
    return runs.run_paths(folder / "runs")[0]


@pytest.fixture
def reuse(optimised, tmp_path):
    def call(*arguments, clips=CLIPS, run=optimised):
        code = main([*TOY, "method=reuse", "sampler=ddpm", clips, f"method.run={run}", f"runs_dir={tmp_path}/r",
                     "method.samples=3", *arguments])  # fmt: skip
        return code, runs.run_paths(tmp_path / "r")

    return call


def losses(path):
    """[clips, samples]."""
    history = json.loads((path / "history.json").read_text())
    return torch.tensor([clip["loss"] for clip in history.values()])


def test_optimised_noise_is_better_than_fresh_noise(reuse, optimised):
    code, (path,) = reuse()
    assert code == 0
    assert torch.equal(load_file(path / "x_T.safetensors")["x_T"], load_file(optimised / "x_T.safetensors")["x_T"])
    assert losses(path).shape == (3, 3)
    code, paths = reuse(run="null")
    (fresh,) = set(paths) - {path}
    assert (losses(path).mean(1) < losses(fresh).mean(1)).all()


def test_clips_are_found_by_prompt_and_seed(reuse, optimised):
    code, (path,) = reuse("seed=1", clips="prompt=[a fast song, a slow song]")
    assert code == 0
    wanted = load_file(optimised / "x_T.safetensors")["x_T"][1:]
    assert torch.equal(load_file(path / "x_T.safetensors")["x_T"], wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=5"], "has no finished clip 'a calm song' with seed=5"),
        (["model.frames=64"], "have 32 frames: set frames=32"),
        (["+model.seed=1"], "other weights"),
        (["task=structure"], "was optimised for intensity_mse, not structure_mse"),
        (["method.run=nowhere"], "not the directory of a finished run"),
        (["sampler=ddim"], "stochastic sampler: sampler=ddpm"),
        (["method.prompts=other"], "choose fixed or random"),
        (["method.samples=0"], "samples=0"),
    ],
)
def test_what_does_not_match_is_one_line(reuse, capsys, arguments, message):
    code, _ = reuse(*arguments)
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def sample(method, prompts=PROMPTS, seeds=SEEDS, control=None):
    x_T = noise(seeds, toy().shape)
    control = control or bound("intensity")
    return method(Request(toy(), DDPM(steps=4, guidance_scale=2.0), control, prompts, x_T, seeds, progress=False))


def test_every_sample_has_noise_and_random_prompts_of_its_own():
    fixed = sample(Reuse(samples=3))
    rows = [row["loss"] for row in fixed.history.rows]
    assert len({loss[0] for loss in rows}) == 3
    assert fixed.history.model_calls == 3 * 4
    assert rows[-1] == pytest.approx(bound("intensity").loss(fixed.x_0).tolist())
    method = Reuse(samples=3, prompts="random")
    asked = [prompt for k in range(3) for prompt in method.prompts_of(k, PROMPTS, SEEDS)]
    assert len(set(asked)) == 6
    assert set(asked) <= {piece.captions[0] for piece in load_pieces("train")}
    assert sample(method).history.rows[0]["loss"] != rows[0]


@pytest.mark.parametrize("freedom", [None, FreeDoM()])
def test_a_clip_does_not_depend_on_its_batch_mates(freedom):
    method, control = Reuse(samples=2, prompts="random", freedom=freedom), bound("intensity")
    both, second = sample(method), sample(method, PROMPTS[1:], SEEDS[1:], control.select([1]))
    torch.testing.assert_close(both.x_0[1:], second.x_0, rtol=1e-4, atol=1e-5)


def test_freedom_lowers_the_loss_of_the_samples():
    plain, guided = (sample(Reuse(samples=3, freedom=f)) for f in (None, FreeDoM(rate=0.5)))
    mean = [sum(sum(row["loss"]) for row in generation.history.rows) for generation in (plain, guided)]
    assert mean[1] < 0.9 * mean[0]


def test_no_gradient_is_recorded_and_deterministic_samplers_are_refused():
    assert not sample(Reuse(samples=1, freedom=FreeDoM())).x_0.requires_grad
    with pytest.raises(UserError, match="sampler=ddpm"):
        Reuse()(Request(toy(), DDIM(steps=2), bound("intensity"), PROMPTS, noise(SEEDS, toy().shape), SEEDS))


def test_a_run_that_lost_its_latents_is_named(optimised, tmp_path, reuse, capsys):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("status.json", "metrics.json", "environment.json"):
        (copy / name).write_bytes((optimised / name).read_bytes())
    assert reuse(run=Path(copy))[0] == 2
    assert "make that run again" in capsys.readouterr().err
