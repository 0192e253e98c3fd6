"""Algorithm 1 on the toy model: it lowers the loss by moving the noise, clip by clip."""

import math
from functools import partial

import pytest
import torch

from baselines.text_only import TextOnly
from ditto.controls.base import Control, Sound
from ditto.memory import Auto, Checkpoint, Store
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.sampling import DDIM, DPMSolverPP2M
from ditto.types import ClipRequest

SEEDS = [0, 1, 2]
PROMPTS = ["a calm jazz song", "a fast polka", "an epic march"]
FAST = partial(torch.optim.Adam, lr=0.05)


class Level(Control):
    """A stand-in for a real control: the clip's log-mel should be `target`; `faults` breaks chosen clips."""

    metric = "level_mse"

    def __init__(self, faults=None):
        self.faults = faults or {}
        self.evaluations = 0

    def make_target(self):
        return torch.tensor([[-3.0 - 0.2 * clip.index] for clip in self.clips])[:, :, None]

    def measure(self, sound: Sound):
        return sound.mel_BFT

    def judge(self, x_0):
        loss_B, metric_B = super().judge(x_0)
        factor = torch.ones_like(loss_B)
        for clip, (step, value) in self.faults.items():
            if self.evaluations >= step:
                factor[clip] = value
        self.evaluations += torch.is_grad_enabled()
        return loss_B * factor, metric_B

    def plot(self, ax, position, x_0, wave_BN):
        raise NotImplementedError


def _clips(positions):
    return [ClipRequest(f"clip{i}", PROMPTS[i], SEEDS[i], i) for i in positions]


def _run(method, positions=(0, 1, 2), model=None, sampler=None, faults=None):
    model = model or Toy()
    clips = _clips(positions)
    seeds = [clip.seed for clip in clips]
    x_T = noise(seeds, model.shape)
    control = Level(faults).bind(model, clips)
    sampler = sampler or DDIM(4, 2.0)
    return x_T, control, method(Request(model, sampler, control, [c.prompt for c in clips], x_T, seeds, progress=False))


@pytest.mark.parametrize("sampler", [DDIM(4, 2.0), DPMSolverPP2M(4, 2.0)])
@pytest.mark.parametrize("memory", [Store(), Checkpoint(), Auto(1e-4)])
def test_the_noise_moves_and_the_loss_falls(sampler, memory):
    x_T, control, generation = _run(Ditto(FAST, 20, memory), sampler=sampler)
    rows = generation.history.rows
    assert ((generation.x_T - x_T).flatten(1).norm(dim=1) > 0.1).all()
    assert all(last < 0.5 * first for first, last in zip(rows[0]["loss"], rows[-1]["loss"], strict=True))
    assert (control.loss(generation.x_0) <= torch.tensor(rows[-1]["loss"])).all()
    assert [row["step"] for row in rows] == list(range(20))
    assert generation.history.stopped == [None] * 3
    assert generation.wave_BN.shape == (3, Toy().clip.samples)
    assert not generation.x_0.requires_grad


def test_the_result_belongs_to_the_returned_noise():
    model, sampler = Toy(), DDIM(4, 2.0)
    x_T, control, generation = _run(Ditto(FAST, 5), model=model, sampler=sampler)
    torch.testing.assert_close(sampler(model, generation.x_T, model.encode(PROMPTS)), generation.x_0)
    torch.testing.assert_close(model.wave(generation.x_0), generation.wave_BN)


def test_the_given_noise_is_left_alone():
    x_T, _, _ = _run(Ditto(FAST, 3))
    assert torch.equal(x_T, noise(SEEDS, Toy().shape))


def test_no_steps_is_text_only():
    ditto, text_only = _run(Ditto(FAST, 0))[2], _run(TextOnly())[2]
    assert torch.equal(ditto.x_0, text_only.x_0)
    assert text_only.history.stopped == [None] * 3
    assert text_only.history.model_calls == ditto.history.model_calls == 4


def test_model_calls():
    assert _run(Ditto(FAST, 4, Store()))[2].history.model_calls == 4 * 4 + 4
    assert _run(Ditto(FAST, 4, Checkpoint()))[2].history.model_calls == 4 * 4 * 2 + 4


@pytest.mark.parametrize("options", [{}, {"threshold": 0.3}, {"grad_clip": 0.02}, {"noise_regulariser": 0.01}])
def test_a_clip_alone_gets_what_it_gets_in_a_batch(options):
    method = Ditto(FAST, 15, **options)
    together = _run(method)[2]
    for position in range(3):
        alone = _run(method, [position])[2]
        torch.testing.assert_close(together.x_T[position], alone.x_T[0], rtol=1e-4, atol=1e-5)
        assert together.history.stopped[position] == alone.history.stopped[0]


def test_threshold_freezes_a_clip_where_it_reached_it():
    plain, stopped = _run(Ditto(FAST, 20))[2], _run(Ditto(FAST, 20, threshold=0.3))[2]
    for clip in range(3):
        step = int(plain.history.steps_to(0.3, clip))
        assert stopped.history.stopped[clip] == f"threshold at step {step}"
        frozen = _run(Ditto(FAST, step))[2]  # after `step` updates the clip was there
        torch.testing.assert_close(stopped.x_T[clip], frozen.x_T[clip])
    steps = [plain.history.steps_to(0.3, clip) for clip in range(3)]
    assert len(set(steps)) > 1, "the clips should stop at different steps for this test to say something"
    assert len(stopped.history.rows) == max(steps) + 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_clip_with_a_non_finite_loss_stops_and_the_others_go_on(value):
    clean = _run(Ditto(FAST, 12))[2]
    hurt = _run(Ditto(FAST, 12), faults={1: (4, value)})[2]
    assert hurt.history.stopped == [None, "non-finite loss at step 4", None]
    assert torch.equal(hurt.x_T[[0, 2]], clean.x_T[[0, 2]])
    # Step 3 was the last with a finite loss: the noise of before its update.
    assert torch.equal(hurt.x_T[1], _run(Ditto(FAST, 3))[2].x_T[1])
    assert hurt.x_0.isfinite().all()


def test_a_clip_broken_from_the_start_keeps_its_noise():
    x_T, _, generation = _run(Ditto(FAST, 3), faults={0: (0, math.nan), 1: (0, math.nan), 2: (0, math.nan)})
    assert torch.equal(generation.x_T, x_T)
    assert len(generation.history.rows) == 1


def test_a_non_finite_gradient_stops_a_clip():
    class Kink(Level):
        def judge(self, x_0):
            # √ of a zero that depends on x_0: the value is finite, its gradient is not.
            loss_B, metric_B = super().judge(x_0)
            kink_B = (x_0 - x_0.detach()).abs().sum((1, 2, 3)).sqrt()
            return loss_B + torch.tensor([0.0, 1.0, 0.0]) * kink_B, metric_B

    model = Toy()
    x_T = noise(SEEDS, model.shape)
    control = Kink().bind(model, _clips(range(3)))
    generation = Ditto(FAST, 5)(Request(model, DDIM(4, 2.0), control, PROMPTS, x_T, SEEDS, progress=False))
    assert generation.history.stopped[1] == "non-finite gradient at step 0"
    assert torch.equal(generation.x_T[1], x_T[1])
    assert generation.x_T.isfinite().all()


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=20.0, momentum=0.5),
        partial(torch.optim.AdamW, lr=0.05),
        partial(torch.optim.RMSprop, lr=0.02),
        partial(torch.optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe"),
    ],
)
def test_any_torch_optimiser(optimizer):
    rows = _run(Ditto(optimizer, 15), faults={1: (6, math.nan)})[2].history.rows
    assert rows[-1]["loss"][0] < 0.7 * rows[0]["loss"][0]
    assert rows[-1]["loss"][2] < 0.7 * rows[0]["loss"][2]


def test_gradient_clipping_bounds_each_clips_step():
    x_T, _, generation = _run(Ditto(partial(torch.optim.SGD, lr=1.0), 1, grad_clip=1e-3))
    moved = (generation.x_T - x_T).flatten(1).norm(dim=1)
    torch.testing.assert_close(moved, torch.full((3,), 1e-3), rtol=1e-2, atol=0)


def test_the_regulariser_pulls_the_norm_to_that_of_gaussian_noise():
    ditto = Ditto(noise_regulariser=0.01)
    d = 512
    x_T = torch.randn(2, 1, 16, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_T = (x_T / x_T.flatten(1).norm(dim=1).view(2, 1, 1, 1) * math.sqrt(d - 1)).requires_grad_()
    penalty = ditto.regularise(x_T)
    assert penalty.shape == (2,)
    (gradient,) = torch.autograd.grad(penalty.sum(), x_T)
    assert gradient.abs().max() < 1e-10  # the norm of most likely noise, √(d−1)
    assert (ditto.regularise(1.2 * x_T) > penalty).all()
    assert (ditto.regularise(0.8 * x_T) > penalty).all()


def test_keep_best_returns_the_best_iterate():
    wild = partial(torch.optim.SGD, lr=600.0)
    _, control, generation = _run(Ditto(wild, 8, keep_best=True))
    best = torch.tensor([row["loss"] for row in generation.history.rows]).min(0).values
    torch.testing.assert_close(control.loss(generation.x_0), best)
    last = torch.tensor(generation.history.rows[-1]["loss"])
    assert (last > best).any(), "the learning rate should be too high for this test to say something"


def test_bf16_network_with_float32_state():
    model = Toy(dtype="bf16")
    _, _, generation = _run(Ditto(FAST, 20), model=model)
    rows = generation.history.rows
    assert generation.x_T.dtype == generation.x_0.dtype == generation.wave_BN.dtype == torch.float32
    assert all(last < 0.7 * first for first, last in zip(rows[0]["loss"], rows[-1]["loss"], strict=True))


@pytest.mark.parametrize("mode", [True, False])
def test_grad_mode_is_left_as_it_was(mode):
    with torch.set_grad_enabled(mode):
        _, _, generation = _run(Ditto(FAST, 2))
        assert torch.is_grad_enabled() is mode
    assert generation.history.rows[1]["loss"] < generation.history.rows[0]["loss"]


def test_the_progress_bar_shows_the_mean_loss(capsys):
    model, clips = Toy(), _clips([0])
    control = Level().bind(model, clips)
    Ditto(FAST, 2)(Request(model, DDIM(2), control, [PROMPTS[0]], noise([0], model.shape), [0]))
    assert "loss=" in capsys.readouterr().err
