"""DOODL on the toy model: it lowers the loss through EDICT, clip by clip; each part of its update; what it costs."""

import math
from functools import partial

import pytest
import torch

from baselines.doodl import Doodl
from baselines.edict import Edict
from ditto.memory import Checkpoint, Store
from ditto.method import Request
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.optimization import Ditto
from ditto.sampling import DDIM
from ditto.types import UserError
from tests.control_cases import bound, toy
from tests.test_optimization import PROMPTS, SEEDS, Level, _clips
from tests.test_optimization import _run as run

ADAM = partial(torch.optim.Adam, lr=0.05)
FAST = {"optimizer": ADAM, "element_clip": None}
PLAIN = {"element_clip": None, "perturbation": 0.0, "renormalise": False, "both_ends": False}


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_falls(tied, inverse):
    x_T, control, generation = run(Doodl(**FAST, steps=20, tied=tied, inverse=inverse))
    rows = generation.history.rows
    assert all(last < 0.7 * first for first, last in zip(rows[0]["loss"], rows[-1]["loss"], strict=True))
    assert (control.loss(generation.x_0) < 0.7 * torch.tensor(rows[0]["loss"])).all()
    assert [row["step"] for row in rows] == list(range(20))
    assert generation.history.stopped == [None] * 3
    assert generation.x_T.shape == generation.x_0.shape == x_T.shape
    assert generation.x_0.dtype == torch.float32
    torch.testing.assert_close(Toy().wave(generation.x_0), generation.wave_BN)


@pytest.mark.parametrize("task", ["intensity", "outpainting", "melody", "structure", "combined"])
def test_every_control(task):
    control = bound(task)
    seeds = [clip.seed for clip in control.clips]
    x_T = noise(seeds, toy().shape)
    prompts = [clip.prompt for clip in control.clips]
    method = Doodl(partial(torch.optim.Adam, lr=0.1), steps=8, memory=Store())
    rows = method(Request(toy(), DDIM(2), control, prompts, x_T, seeds, progress=False)).history.rows
    assert sum(rows[-1]["loss"]) < 0.9 * sum(rows[0]["loss"])


def test_network_calls():
    """For each sampling step and optimisation step: DITTO 2, DOODL 4, by the inverse 6; and the final clip."""
    assert run(Ditto(ADAM, 3, Checkpoint()))[2].history.model_calls == 3 * 4 * 2 + 4
    assert run(Doodl(ADAM, 3, memory=Checkpoint()))[2].history.model_calls == 3 * 4 * 4 + 4 * 2
    assert run(Doodl(ADAM, 3, inverse=True))[2].history.model_calls == 3 * 4 * 6 + 4 * 2
    assert run(Doodl(ADAM, 3, memory=Store()))[2].history.model_calls == 3 * 4 * 2 + 4 * 2


def test_the_ways_back_end_in_the_same_noise():
    ends = [run(Doodl(**FAST, steps=5, **way))[2].x_T for way in ({"memory": Store()}, {}, {"inverse": True})]
    assert torch.equal(ends[0], ends[1])
    torch.testing.assert_close(ends[0], ends[2], rtol=1e-4, atol=1e-4)


def test_one_step_without_extras_is_ditto():
    """T = 1, p = 1: the first half is DDIM's step, so every iterate is DITTO's."""
    sampler = DDIM(1, 2.0)
    doodl = run(Doodl(ADAM, 10, Edict(1.0), **PLAIN), sampler=sampler)[2]
    ditto = run(Ditto(ADAM, 10), sampler=sampler)[2]
    torch.testing.assert_close(doodl.x_T, ditto.x_T, rtol=1e-4, atol=1e-4)
    losses = [[row["loss"] for row in generation.history.rows] for generation in (doodl, ditto)]
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-4, atol=1e-5)


class FixedNoise(Toy):
    """ε̂ of the prompt and the time only."""

    def denoise(self, x_t, t, condition):
        return super().denoise(torch.zeros_like(x_t), t, condition)


def test_without_extras_and_coupling_there_are_two_ditto_chains():
    """p = 1 leaves ε̂ as the only coupling. A network that ignores x takes it away: each half is DITTO's chain."""
    model, sampler = FixedNoise(dtype="float64"), DDIM(5, 2.0)
    method = Doodl(ADAM, 8, Edict(1.0), tied=False, **{**PLAIN, "both_ends": True})
    control = Level().bind(model, _clips(range(3)))
    starts = [noise([seed + offset for seed in SEEDS], model.shape, dtype=torch.float64) for offset in (0, 9)]
    chain = method.edict.chain(model, sampler, model.encode(PROMPTS), model.encode([""]))
    z = torch.stack(starts, 1).requires_grad_()
    method.judge(control, method.ends(chain, z))[0].sum().backward()
    for half, start in enumerate(starts):
        x_T = start.clone().requires_grad_()
        control.loss(sampler(model, x_T, model.encode(PROMPTS))).sum().backward()
        torch.testing.assert_close(z.grad[:, half], x_T.grad / 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"tied": False, "threshold": 0.3, "inverse": True}])
def test_a_clip_alone_gets_what_it_gets_in_a_batch(options):
    method = Doodl(**FAST, steps=8, perturbation=0.01, **options)
    together = run(method)[2]
    for position in range(3):
        alone = run(method, [position])[2]
        torch.testing.assert_close(together.x_T[position], alone.x_T[0], rtol=1e-4, atol=1e-4)
        assert together.history.stopped[position] == alone.history.stopped[0]


def _moved(**options):
    x_T, _, generation = run(Doodl(partial(torch.optim.SGD, lr=1.0), 1, **{**PLAIN, **options}))
    return x_T, generation.x_T


def test_each_element_of_the_gradient_is_clamped():
    x_T, moved = _moved(element_clip=1e-3, loss_scale=1e4)
    assert (moved - x_T).abs().max() < 1.01e-3
    assert (moved - x_T).abs().median() > 0.9e-3
    x_T, free = _moved(loss_scale=1e4)
    assert (free - x_T).abs().max() > 0.1


def test_the_perturbation_belongs_to_the_clip_and_the_step():
    with_noise, without = _moved(perturbation=0.1)[1], _moved()[1]
    added = with_noise - without
    torch.testing.assert_close(added.std(), torch.tensor(0.1), rtol=0.1, atol=0)
    assert not torch.allclose(added[0], added[1])
    torch.testing.assert_close(added, _moved(perturbation=0.1)[1] - without)


def test_the_norm_stays_what_it_was():
    x_T, moved = _moved(loss_scale=1e4, perturbation=0.1, renormalise=True)
    norms = [x.flatten(1).norm(dim=1) for x in (x_T, moved, _moved(loss_scale=1e4, perturbation=0.1)[1])]
    torch.testing.assert_close(norms[0], norms[1])
    assert (norms[2] - norms[0]).abs().min() > 0.01


def test_momentum_and_both_ends():
    momentum = partial(torch.optim.SGD, lr=1.0, momentum=0.9)
    rows = run(Doodl(momentum, 30, loss_scale=100.0, element_clip=0.02))[2].history.rows
    assert all(last < 0.7 * first for first, last in zip(rows[0]["loss"], rows[-1]["loss"], strict=True))


def test_the_loss_is_the_mean_over_both_ends():
    _, control, _ = run(Doodl(steps=0))
    a, b = noise(SEEDS, Toy().shape), 0.5 * noise(SEEDS, Toy().shape)
    expected = (control.loss(a) + control.loss(b)) / 2
    torch.testing.assert_close(Doodl().judge(control, (a, b))[0], expected)
    torch.testing.assert_close(Doodl(both_ends=False).judge(control, (a, b))[0], control.loss(a))


def test_no_steps_is_edict_alone():
    x_T, _, generation = run(Doodl(steps=0))
    model = Toy()
    chain = Edict().chain(model, DDIM(4, 2.0), model.encode(PROMPTS), model.encode([""]))
    torch.testing.assert_close(generation.x_0, chain.sample((x_T, x_T))[0].float())
    assert torch.equal(generation.x_T, x_T)


def test_threshold_stops_a_clip_where_it_reached_it():
    plain, stopped = run(Doodl(**FAST, steps=20))[2], run(Doodl(**FAST, steps=20, threshold=0.3))[2]
    steps = [int(plain.history.steps_to(0.3, clip)) for clip in range(3)]
    assert stopped.history.stopped == [f"threshold at step {step}" for step in steps]
    assert len(stopped.history.rows) == max(steps) + 1
    for clip, step in enumerate(steps):
        there = run(Doodl(**FAST, steps=step))[2]
        torch.testing.assert_close(stopped.x_T[clip], there.x_T[clip])


def test_a_clip_with_a_non_finite_loss_stops_and_the_others_go_on():
    clean = run(Doodl(**FAST, steps=6))[2]
    # `Level` counts evaluations: two ends are two in each step.
    hurt = run(Doodl(**FAST, steps=6), faults={1: (4, math.nan)})[2]
    assert hurt.history.stopped == [None, "non-finite loss at step 2", None]
    assert torch.equal(hurt.x_T[[0, 2]], clean.x_T[[0, 2]])
    assert torch.equal(hurt.x_T[1], run(Doodl(**FAST, steps=1))[2].x_T[1])
    assert hurt.x_0.isfinite().all()


@pytest.mark.parametrize("options", [{"steps": -1}, {"perturbation": -1.0}, {"loss_scale": 0.0}, {"element_clip": 0.0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UserError):
        Doodl(**options)
