"""Readout guidance on the toy model: it lowers the loss, by the exact gradient, without decoder or vocoder."""

import json
from pathlib import Path

import pytest
import torch

from baselines.readout import Readout, loss_and_gradient, readout_loss
from baselines.readout_controls import estimate
from baselines.readout_heads import captured, read
from baselines.readout_weights import load_heads
from baselines.text_only import TextOnly
from ditto.chain import StepContext
from ditto.controls.combined import Combined
from ditto.controls.intensity import Intensity
from ditto.controls.melody import Melody
from ditto.controls.structure import Structure
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.sampling import DDIM, noise
from ditto.types import UndefinedTask, UserError
from tests.control_cases import FRAMES, bound, latents, requests, toy, tune
from tests.finite_differences import directional_check
from tests.readout_cases import weights

SEEDS = [3, 4]
PROMPTS = ["a calm jazz song", "a fast polka"]
SAMPLER = DDIM(steps=10, guidance_scale=2.0)
TASKS = ("intensity", "intensity_correlation", "melody", "structure", "structure_transfer")


def combined():
    parts = {"melody": Melody(tune()), "intensity": Intensity(smoothing_s=0.2), "structure": Structure(smoothing_s=0.1)}
    return Combined(parts, {"intensity": 0.05}).bind(toy(), requests())


def generated(method, control, seeds=SEEDS, prompts=PROMPTS, sampler=SAMPLER, model=None):
    x_T = noise(seeds, toy().shape)
    return method(Request(model or toy(), sampler, control, prompts, x_T, seeds, progress=False))


@pytest.mark.parametrize("task", [*TASKS, "combined"])
def test_guidance_lowers_the_loss_of_every_clip(task):
    control = combined() if task == "combined" else bound(task)
    plain = control.loss(generated(TextOnly(), control).x_0)
    guided = generated(Readout(weights(), lr=0.2, guided_interval=(0, 1)), control)
    assert (control.loss(guided.x_0) < plain).all()
    assert len(guided.history.rows) == 10
    assert guided.history.model_calls == 20


def test_without_a_rate_it_is_text_only():
    control = bound("intensity")
    for method in (Readout(weights(), lr=0.0), Readout(weights(), guided_interval=(0.3, 0.3))):
        assert torch.equal(generated(method, control).x_0, generated(TextOnly(), control).x_0)


def test_the_first_half_is_guided_and_each_row_says_what_happened():
    made = generated(Readout(weights()), bound("melody"))
    assert [row["step"] for row in made.history.rows] == [0, 1, 2, 3, 4]
    assert all(len(row["loss"]) == len(row["gradient_norm"]) == 2 for row in made.history.rows)
    assert made.history.model_calls == 5 * 2 + 5


def test_a_guided_step_is_one_step_of_a_fresh_adamw():
    control, x_T, seen = bound("structure"), noise(SEEDS, toy().shape), []

    class Watched(DDIM):
        def step(self, levels, i, x_t, *others):
            seen.append(x_t)
            return super().step(levels, i, x_t, *others)

    method = Readout(weights(), lr=0.05)
    generated(method, control, sampler=Watched(steps=10, guidance_scale=2.0))
    heads, t = load_heads(Path(weights()), toy()), SAMPLER.levels(toy().schedule)[0].t
    x_t = x_T.clone().requires_grad_()
    optimizer = torch.optim.AdamW([x_t], lr=0.05, weight_decay=0.0)
    readout_loss(toy(), heads, control, x_t, t, toy().encode(PROMPTS)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(seen[0], x_t.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("task", TASKS)
def test_the_gradient_against_finite_differences(task):
    model, control = toy("float64"), bound(task, "float64")
    heads, condition = load_heads(Path(weights()), model), model.encode(PROMPTS)
    x_t = latents(dtype=torch.float64)

    def loss(x_t):
        return readout_loss(model, heads, control, x_t, 700, condition)

    directional_check(loss, x_t)
    (expected,) = torch.autograd.grad(loss(x_t.requires_grad_()).sum(), x_t)
    with torch.no_grad():  # as in sampling
        loss_B, gradient = loss_and_gradient(model, heads, control, x_t, 700, condition)
    assert torch.equal(gradient, expected)
    assert not loss_B.requires_grad


def test_no_decoder_and_no_vocoder_in_the_loop(monkeypatch):
    def called(*_):
        raise AssertionError("decoder or vocoder called")

    control = combined()
    monkeypatch.setitem(vars(toy()), "decode", called)
    monkeypatch.setitem(vars(toy()), "vocode", called)
    monkeypatch.setitem(vars(toy()), "wave", lambda x_0: torch.zeros(2, toy().clip.samples))
    assert generated(Readout(weights()), control).x_0.isfinite().all()


@pytest.mark.parametrize("task", ["intensity", "melody", "structure"])
def test_what_is_read_has_the_shape_of_the_target(task):
    control, heads = bound(task), load_heads(Path(weights()), toy())
    readings = read(toy(), heads, latents(), torch.tensor([0, 999]), toy().encode(PROMPTS))
    assert estimate(control, readings).shape == control.target.shape
    torch.testing.assert_close(readings.log_chroma_BPT.exp().sum(1), torch.ones(2, 64))


def test_a_clip_does_not_depend_on_its_batch_mates():
    control, method = combined(), Readout(weights(), lr=0.1)
    both = generated(method, control)
    alone = generated(method, control.select([1]), SEEDS[1:], PROMPTS[1:])
    torch.testing.assert_close(both.x_0[1:], alone.x_0, atol=1e-4, rtol=0)


def test_other_lengths_work():
    control = Intensity(smoothing_s=0.2).bind(toy(), requests(), frames=96)
    x_T = noise(SEEDS, (1, 16, 96))
    made = Readout(weights())(Request(toy(), SAMPLER, control, PROMPTS, x_T, SEEDS, progress=False))
    assert made.x_0.shape[-1] == 96


def test_hooks_are_removed_even_after_an_error():
    hooks = [block._forward_hooks for block in toy().readout_blocks()]
    generated(Readout(weights()), bound("intensity"))
    assert not any(hooks)
    with captured(toy()):
        assert all(hooks)
    heads, wrong = load_heads(Path(weights()), toy()), toy().encode(["one", "two", "three"])
    with pytest.raises(RuntimeError):  # three prompts for two clips
        read(toy(), heads, latents(), torch.tensor([5, 5]), wrong)
    assert not any(hooks)


@pytest.mark.parametrize("task", ["outpainting", "looping", "loop_free", "function", "inversion", "combined"])
def test_other_tasks_are_refused_before_anything_is_loaded(task):
    with pytest.raises(UndefinedTask, match=r"readout is not defined for .* choose task=intensity, melody"):
        generated(Readout("no such folder"), bound(task))


def test_more_mfccs_than_the_head_reads_are_refused():
    control = Structure(smoothing_s=0.1, n_mfcc=30).bind(toy(), requests())
    with pytest.raises(UserError, match="n_mfcc to 20"):
        generated(Readout(weights()), control)


@pytest.mark.parametrize("options", [{"lr": -1}, {"guided_interval": [0, 2]}, {"guided_interval": [0.5]}])
def test_wrong_options_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Readout(**options)


def test_heads_of_another_model_and_no_heads_are_one_line_with_the_command(tmp_path):
    for folder, model in ((str(tmp_path), toy()), (weights(), Toy(frames=FRAMES, seed=1))):
        with pytest.raises(UserError, match=r"ditto\.training\.train stage=readout") as error:
            generated(Readout(folder), bound("intensity"), model=model)
        assert "\n" not in str(error.value)


def test_what_is_saved_is_what_was_trained():
    config = json.loads((Path(weights()) / "config.json").read_text())
    assert config["base"] == {"name": "toy", "weights_hash": toy().weights_hash}
    heads = load_heads(Path(weights()), toy())
    assert not any(parameter.requires_grad for parameter in heads.parameters())


def test_the_timestep_of_guidance_is_the_one_of_the_step(monkeypatch):
    times, denoise = [], toy().denoise
    heads = load_heads(Path(weights()), toy())
    monkeypatch.setitem(vars(toy()), "denoise", lambda x, t, c: times.append(t) or denoise(x, t, c))

    def hook(context: StepContext):
        loss_and_gradient(toy(), heads, bound("intensity"), context.x_t, context.level.t, context.denoiser.condition)
        return context.x_prev

    SAMPLER(toy(), noise(SEEDS, toy().shape), toy().encode(PROMPTS), hook=hook)
    assert [t[0].item() for t in times[::2]] == [t[0].item() for t in times[1::2]]
    assert times[0].dtype == torch.int64
