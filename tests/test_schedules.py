from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from ditto.sampling import DPMSolverPP2M
from ditto.schedules import diffusers_schedule
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
