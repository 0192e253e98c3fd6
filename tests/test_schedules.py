from itertools import pairwise

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
)

from ditto.sampling import DPMSolverPP2M
from ditto.schedules import SigmaSchedule, diffusers_schedule, schedule_from
from ditto.types import UserError

STEPS = [1, 7, 10, 20, 50, 150, 250]
SPACINGS = ["leading", "trailing", "linspace"]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", STEPS)
def test_timesteps_equal_those_of_diffusers(spacing, steps):
    ours = diffusers_schedule()
    for kind in (DDIMScheduler, DDPMScheduler):
        theirs = kind(beta_schedule="squaredcos_cap_v2", timestep_spacing=spacing)
        theirs.set_timesteps(steps)
        if (spacing, steps) != ("linspace", 1):  # diffusers' one step of linspace starts from t = 0: from no noise
            assert ours.timesteps(steps, spacing) == theirs.timesteps.tolist()
    multistep = DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", timestep_spacing=spacing)
    multistep.set_timesteps(steps)
    levels = DPMSolverPP2M(steps=steps, spacing=spacing).levels(ours)
    assert [level.t for level in levels] == multistep.timesteps.tolist()


@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_the_cosine_schedule_is_that_of_diffusers_to_the_bit(steps):
    theirs = DDPMScheduler(num_train_timesteps=steps, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    assert diffusers_schedule(steps=steps).alphas_cumprod.equal(theirs.double())


def test_levels_form_a_chain_that_ends_in_clean_data():
    schedule = diffusers_schedule()
    levels = schedule.levels(schedule.timesteps(20))
    assert [level.t for level in levels[:2]] == [950, 900]
    assert all(a.alpha_bar_prev == b.alpha_bar for a, b in pairwise(levels))
    assert levels[-1].alpha_bar_prev == 1.0


def test_add_noise_equals_diffusers():
    x_0, eps = torch.randn(2, 3, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    t_B = torch.tensor([3, 500, 999])
    theirs = DDPMScheduler(beta_schedule="squaredcos_cap_v2").add_noise(x_0, eps, t_B)
    torch.testing.assert_close(diffusers_schedule().add_noise(x_0, eps, t_B), theirs)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="leading, trailing or linspace"):
        diffusers_schedule().timesteps(20, "backwards")
    with pytest.raises(UserError, match=r"sampler\.steps"):
        diffusers_schedule().timesteps(0)


@pytest.mark.parametrize("steps", [7, 20, 50])
def test_a_checkpoints_schedule_is_that_of_its_scheduler(steps):
    """The configuration of the AudioLDM family: offset timesteps, and a last step that lands on ᾱ_0."""
    published = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "steps_offset": 1}
    theirs = DDIMScheduler(**published, set_alpha_to_one=False, clip_sample=False)
    ours = schedule_from(theirs.config)
    theirs.set_timesteps(steps)
    assert ours.timesteps(steps) == theirs.timesteps.tolist()
    levels = ours.levels(ours.timesteps(steps))
    assert levels[-1].alpha_bar_prev == float(theirs.final_alpha_cumprod) < 1
    assert levels[0].alpha_bar == float(theirs.alphas_cumprod[theirs.timesteps[0]])
    assert DPMSolverPP2M(steps=steps).levels(ours)[-1].alpha_bar_prev == 1
    with pytest.raises(UserError, match="zero SNR"):
        schedule_from({**theirs.config, "rescale_betas_zero_snr": True})


@pytest.mark.parametrize("steps", [5, 20, 100])
def test_sigmas_are_those_of_diffusers(steps):
    theirs = EDMDPMSolverMultistepScheduler(
        sigma_min=0.3, sigma_max=500.0, sigma_data=1.0, sigma_schedule="exponential", prediction_type="v_prediction"
    )
    theirs.set_timesteps(steps)
    ours = SigmaSchedule(0.3, 500.0)
    timesteps = ours.timesteps(steps, "linspace")
    levels = ours.levels(timesteps)
    sigma = torch.tensor([((1 - level.alpha_bar) / level.alpha_bar) ** 0.5 for level in levels])
    torch.testing.assert_close(sigma, theirs.sigmas[:-1], rtol=1e-4, atol=0)
    angle = 2 / torch.pi * theirs.sigmas[:-1].double().atan()  # what CosineDPMSolverMultistepScheduler hands on
    torch.testing.assert_close(torch.tensor(timesteps, dtype=torch.float64), angle, rtol=1e-5, atol=0)


def test_a_continuous_chain_has_the_same_spacings():
    schedule = SigmaSchedule(0.3, 500.0)
    both, low, high = (schedule.timesteps(8, spacing) for spacing in ("linspace", "leading", "trailing"))
    assert both[0] == high[0] > low[0]
    assert both[-1] == low[-1] < high[-1]
    assert all(a > b for chain in (both, low, high) for a, b in pairwise(chain))
    signal, noise = schedule.signal_and_noise(torch.tensor(both), torch.zeros(8, 1, 2, 2, dtype=torch.float64))
    torch.testing.assert_close(signal**2 + noise**2, torch.ones_like(signal))
    with pytest.raises(UserError, match="1 or more steps"):
        schedule.timesteps(0)
