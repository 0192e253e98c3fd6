"""Guidance Gradients on the toy model: the gradient is exact, the loss falls, and nothing else changes."""

import pytest
import torch

from baselines.gradient import Guidance
from baselines.guidance import GuidanceGradients
from baselines.text_only import TextOnly
from ditto.controls.base import Control, Sound
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M, noise
from ditto.types import UserError
from tests.control_cases import FRAMES, bound, requests, toy
from tests.finite_differences import directional_check

SEEDS = [0, 1]
PROMPTS = ["a calm song", "a calm song"]
SAMPLERS = {
    "ddim": DDIM(4, 2.0, spacing="trailing"),
    "ddim_stochastic": DDIM(4, 2.0, eta=0.8, spacing="trailing"),
    "ddim_threshold": DDIM(4, 2.0, dynamic_threshold=0.9),
    "ddim_interval": DDIM(4, 2.0, guidance_interval=(0.0, 0.5), spacing="trailing"),
    "ddpm": DDPM(4, 2.0, spacing="trailing"),
    "dpmpp_threshold": DPMSolverPP2M(4, 1.0, dynamic_threshold=0.9),
}
# A rate for each task's own units, found by hand on this model.
RATES = {
    "intensity": 1.0,
    "melody": 30.0,
    "structure": 30.0,
    "outpainting": 100.0,
    "combined": 100.0,
    "inversion": 100.0,
}


def run(method, task="intensity", sampler=None, dtype="float32", clips=(0, 1), control=None):
    model, positions = toy(dtype), list(clips)
    control = control or bound(task, dtype).select(positions)
    seeds = [SEEDS[i] for i in positions]
    x_T = noise(seeds, (*model.shape[:2], FRAMES), dtype=model.latent_dtype)
    prompts = [PROMPTS[i] for i in positions]
    return method(
        Request(model, sampler or DDIM(8, 2.0, spacing="trailing"), control, prompts, x_T, seeds, progress=False)
    )


class Level(Control):
    """The clip's log-mel should be -3; from its third loss on, the first clip's is multiplied by `fault`, once."""

    metric = "level_mse"

    def __init__(self, fault=1.0, losses=0):
        self.fault, self.losses = fault, losses

    def make_target(self):
        return torch.full((len(self.clips), 1, 1), -3.0)

    def measure(self, sound: Sound):
        return sound.mel_BFT

    def judge(self, x_0):
        self.losses += 1
        loss_B, metric_B = super().judge(x_0)
        return torch.cat([loss_B[:1] * (self.fault if self.losses == 3 else 1.0), loss_B[1:]]), metric_B

    def plot(self, ax, position, x_0, wave_BN):
        raise NotImplementedError


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gradient_is_that_of_the_loss_at_every_step(sampler):
    model = Toy(frames=12, dtype="float64")
    control = Level().bind(model, requests())
    seen = []

    def check(context):
        def loss(x):
            return control.loss(context.x0_of(x))

        at = Guidance(control, 2)(context, context.x_t, context.eps_of)
        with torch.enable_grad():
            directional_check(loss, context.x_t)
            x = context.x_t.detach().requires_grad_()
            exact = torch.autograd.grad(loss(x).sum(), x)[0]
        torch.testing.assert_close(at.gradient, exact, rtol=1e-12, atol=0)
        seen.append(context.i)
        return context.step_from(context.x_t, at.eps)

    x_T = noise(SEEDS, model.shape, dtype=torch.float64)
    with torch.no_grad():
        SAMPLERS[sampler](model, x_T, model.encode(PROMPTS), seeds=SEEDS, hook=check)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("task", RATES)
def test_lowers_the_loss_of_its_task(task):
    control = bound(task)
    text_only, guided = run(TextOnly(), task), run(GuidanceGradients(RATES[task], "off"), task)
    assert (control.loss(guided.x_0) < 0.9 * control.loss(text_only.x_0)).all()
    assert torch.equal(guided.x_T, text_only.x_T)


@pytest.mark.parametrize("task", ["loop_free", "function", "intensity_correlation", "structure_transfer", "inpainting"])
def test_every_other_control_runs(task):
    guided = run(GuidanceGradients(1e-3, "off"), task, DDIM(3, 2.0))
    assert guided.wave_BN.isfinite().all()
    assert guided.history.stopped == [None, None]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_rate_0_is_text_only(sampler):
    plain = run(TextOnly(), sampler=SAMPLERS[sampler])
    assert torch.equal(run(GuidanceGradients(0.0), sampler=SAMPLERS[sampler]).x_0, plain.x_0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("task", ["outpainting", "inpainting", "looping", "combined"])
def test_data_consistency_keeps_the_given_frames_and_no_other(sampler, task):
    control, seen = bound(task), []
    given = control.parts()[0]
    method = GuidanceGradients(0.0)
    hook = method.hook(control, Guidance(control, 2))

    def observe(context):
        plain = context.step_from(context.x_t, context.eps_of(context.x_t))
        x_prev = hook(context)
        assert torch.equal(x_prev[..., ~given.mask_T], plain[..., ~given.mask_T])
        seen.append(context.x0_hat)
        return x_prev

    model = toy()
    x_T = noise(SEEDS, (*model.shape[:2], FRAMES))
    with torch.no_grad():
        x_0 = SAMPLERS[sampler](model, x_T, model.encode(PROMPTS), seeds=SEEDS, hook=observe)
    for x0_hat in seen:
        assert torch.equal(x0_hat[..., given.mask_T], given.x_ref[..., given.mask_T])
    tolerance = 1e-5 if SAMPLERS[sampler].spacing == "trailing" else 1e-3
    torch.testing.assert_close(x_0[..., given.mask_T], given.x_ref[..., given.mask_T], rtol=0, atol=tolerance)


def test_without_data_consistency_the_frames_differ():
    control = bound("outpainting")
    guided = run(GuidanceGradients(1.0, "off"), "outpainting")
    assert control.loss(guided.x_0).min() > 1e-3
    assert control.loss(run(GuidanceGradients(1.0), "outpainting").x_0).max() < 1e-8


@pytest.mark.parametrize("task", ["intensity", "combined"])
def test_a_clip_does_not_depend_on_its_batch_mates(task):
    method = GuidanceGradients(RATES[task])
    both = run(method, task, SAMPLERS["ddpm"], "float64")
    alone = run(method, task, SAMPLERS["ddpm"], "float64", clips=(1,))
    torch.testing.assert_close(both.x_0[1:], alone.x_0, rtol=1e-9, atol=1e-9)


def test_one_call_a_step_and_a_row_for_each():
    history = run(GuidanceGradients(1.0)).history
    assert history.model_calls == 8
    assert [row["step"] for row in history.rows] == list(range(8))
    lists = ("loss", "metric", "gradient_norm")
    assert all({len(row[name]) for name in lists} == {2} and row["seconds"] > 0 for row in history.rows)
    assert torch.is_grad_enabled()


def test_a_non_finite_gradient_leaves_the_clip_unguided_and_the_others_alone():
    faulty = run(GuidanceGradients(1.0), control=Level(float("nan")).bind(toy(), requests()))
    assert faulty.history.stopped == ["non-finite gradient at step 2", None]
    assert faulty.x_0.isfinite().all()
    sound = run(GuidanceGradients(1.0), control=Level().bind(toy(), requests()))
    assert torch.equal(sound.x_0[1], faulty.x_0[1])
    assert not torch.equal(sound.x_0[0], faulty.x_0[0])


@pytest.mark.parametrize("options", [{"rate": -1.0}, {"rate": float("nan")}, {"data_consistency": "on"}])
def test_mistaken_options_are_one_line(options):
    with pytest.raises(UserError, match="method"):
        GuidanceGradients(**options)
