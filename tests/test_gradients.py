"""The gradient that DITTO descends is the exact one, through the whole chain: for every sampler and memory policy.

Public re-implementations get this wrong by detaching the latent between steps; the last tests show that such a chain
would be caught.
"""

import pytest
import torch

from ditto.chain import StepContext
from ditto.memory import Auto, Checkpoint, Store
from ditto.models.toy import Toy
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M, noise
from tests.finite_differences import directional_check

SEEDS = [0, 1]
SAMPLERS = {
    "ddim": DDIM(6, 2.0),
    "ddim_stochastic": DDIM(6, 2.0, eta=0.8, spacing="trailing"),
    "ddim_threshold": DDIM(6, 2.0, dynamic_threshold=0.9),
    "ddim_interval": DDIM(6, 2.0, guidance_interval=(0.2, 0.7)),
    "ddpm": DDPM(6, 2.0),
    "dpmpp": DPMSolverPP2M(6, 2.0),
    "dpmpp_threshold": DPMSolverPP2M(6, 1.0, dynamic_threshold=0.9),
}
MEMORIES = {"store": Store(), "checkpoint": Checkpoint(), "auto": Auto(2e-4)}


@pytest.fixture(scope="module")
def model():
    return Toy(frames=12, dtype="float64")


def _loss_of(model, sampler, memory, hook=None):
    """Something of the sound and of the latent, per clip, as the controls have it."""
    condition = model.encode(["a calm jazz song", "a fast polka"])

    def loss(x_T):
        x_0 = sampler(model, x_T, condition, memory=memory, seeds=SEEDS, hook=hook)
        loudness = model.wave(x_0).view(2, -1, model.clip.hop).square().mean(-1).log()
        return (loudness + 3).square().mean(1) + (x_0 - 0.5).square().mean((1, 2, 3))

    return loss


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_finite_differences_through_the_whole_chain(model, sampler, memory):
    x_T = noise(SEEDS, model.shape, dtype=torch.float64)
    directional_check(_loss_of(model, SAMPLERS[sampler], MEMORIES[memory]), x_T)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_memory_policies_give_the_same_gradient(model, sampler):
    gradients = []
    for memory in MEMORIES.values():
        x_T = noise(SEEDS, model.shape, dtype=torch.float64).requires_grad_()
        _loss_of(model, SAMPLERS[sampler], memory)(x_T).sum().backward()
        gradients.append(x_T.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_a_clips_gradient_does_not_depend_on_its_batch_mates(model):
    x_T = noise(SEEDS, model.shape, dtype=torch.float64).requires_grad_()
    loss = _loss_of(model, SAMPLERS["ddim"], Checkpoint())
    (of_first,) = torch.autograd.grad(loss(x_T)[0], x_T)
    (of_both,) = torch.autograd.grad(loss(x_T).sum(), x_T)
    assert of_first[1].abs().max() == 0
    torch.testing.assert_close(of_both[0], of_first[0], rtol=1e-12, atol=1e-12)


def _detach_every_step(context: StepContext) -> torch.Tensor:
    return context.x_prev.detach()


def _detach_all_but_the_last_step(context: StepContext) -> torch.Tensor:
    last = context.i == context.steps - 1
    return context.x_prev if last else context.x_prev.detach()


def _detach_the_network(context: StepContext) -> torch.Tensor:
    return context.step_from(context.x_t, context.eps_of(context.x_t).detach())


@pytest.mark.parametrize("broken", [_detach_every_step, _detach_all_but_the_last_step, _detach_the_network])
def test_a_broken_chain_is_caught(model, broken):
    x_T = noise(SEEDS, model.shape, dtype=torch.float64)
    with pytest.raises(AssertionError):
        directional_check(_loss_of(model, SAMPLERS["ddim"], Store(), hook=broken), x_T)
