"""EDICT on the toy model: exactly invertible, DDIM where it should be, and the same gradient by every way back."""

import itertools
import math

import pytest
import torch

from baselines.edict import Edict, coupling
from ditto.memory import Auto, Checkpoint, Store, count_calls, saved_bytes
from ditto.models.toy import Toy
from ditto.noise import noise
from ditto.sampling import DDIM, DPMSolverPP2M
from ditto.schedules import Level
from ditto.types import UserError
from tests.finite_differences import directional_check

SEEDS = [0, 1]
PROMPTS = ["a calm jazz song", "a fast polka"]
SPACINGS = ["leading", "trailing", "linspace"]


def _chain(sampler, edict=None, dtype="float32", model=None):
    model = model or Toy(frames=12, dtype=dtype)
    return (edict or Edict()).chain(model, sampler, model.encode(PROMPTS), model.encode([""]))


def _noise(dtype=torch.float64, offset=0):
    return noise([seed + offset for seed in SEEDS], (1, 16, 12), dtype=dtype)


def _error(pair, expected):
    return max(((a - b).norm() / b.norm()).item() for a, b in zip(pair, expected, strict=True))


ROUND_TRIPS = [
    *itertools.product([1, 2, 7, 8], [0.83, 0.93, 1.0], ["leading"]),
    *itertools.product([20, 21], [None, 0.83, 0.93], SPACINGS),
]


@pytest.mark.parametrize("alternate", [True, False])
@pytest.mark.parametrize(("steps", "p", "spacing"), ROUND_TRIPS)
def test_round_trip(steps, p, spacing, alternate):
    """x_T -> x_0 -> x_T, the pair tied and not, relative to the norm of x_T."""
    sampler = DDIM(steps, 3.0, spacing=spacing, guidance_interval=(0.0, 0.6))
    for dtype, bound in (("float32", 1e-6), ("float64", 1e-12)):
        chain = _chain(sampler, Edict(p, alternate), dtype)
        for start in ((_noise(), _noise()), (_noise(), _noise(offset=5))):
            assert _error(chain.invert(chain.sample(start)), start) < bound


@pytest.mark.parametrize("steps", [7, 8])
def test_few_steps_from_pure_noise(steps):
    """Looser: x̂_0 is read from ε̂, divided by √ᾱ_T = 5e-5, and the first step weighs it the more the fewer steps."""
    chain = _chain(DDIM(steps, 3.0, spacing="trailing"), Edict(0.83), "float64")
    start = (_noise(), _noise(offset=5))
    assert _error(chain.invert(chain.sample(start)), start) < 1e-11


@pytest.mark.parametrize("steps", [7, 8])
def test_round_trip_of_clean_data(steps):
    chain = _chain(DDIM(steps, 3.0), dtype="float64")
    clean = (0.5 * _noise(), 0.5 * _noise())
    assert _error(chain.sample(chain.invert(clean)), clean) < 1e-12


def test_each_step_has_its_own_inverse():
    chain = _chain(DDIM(6, 3.0), dtype="float64")
    pair = (_noise(), _noise(offset=5))
    for i in range(6):
        assert _error(chain.undo(i, *chain.step(i, *pair)), pair) < 1e-13


def test_counting_the_steps_backwards_is_no_inverse_for_even_counts():
    """What the released code does: with the parity of the count of steps undone, an odd count is right by chance."""
    for steps, wrong in ((5, False), (6, True)):
        chain = _chain(DDIM(steps, 3.0), Edict(0.93), "float64")
        start = (_noise(), _noise(offset=5))
        pair = chain.sample(start)
        right = chain._ordered
        chain._ordered = lambda i, a, b, right=right, steps=steps: right(steps - 1 - i, a, b)
        error = _error(chain.invert(pair), start)
        assert error > 1e-3 if wrong else error < 1e-12


def test_one_step_of_the_first_half_is_ddim():
    sampler = DDIM(1, 3.0)
    chain = _chain(sampler, Edict(1.0), "float64")
    x_T = _noise()
    first, _ = chain.sample((x_T, x_T))
    expected = sampler(chain.denoiser.model, x_T, chain.denoiser.condition)
    torch.testing.assert_close(first, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_noise_that_does_not_depend_on_x_makes_two_ddim_chains(spacing):
    """Without mixing the halves meet in ε̂ alone; a network that ignores x leaves two chains of DDIM."""
    model = FixedNoise(frames=12, dtype="float64")
    sampler = DDIM(7, 3.0, spacing=spacing)
    starts = (_noise(), _noise(offset=5))
    chain = _chain(sampler, Edict(1.0, max_factor=math.inf), model=model)
    for end, start in zip(chain.sample(starts), starts, strict=True):
        expected = sampler(model, start, chain.denoiser.condition)
        torch.testing.assert_close(end, expected, rtol=1e-9, atol=1e-9)


class FixedNoise(Toy):
    """ε̂ of the prompt and the time only."""

    def denoise(self, x_t, t, condition):
        return super().denoise(torch.zeros_like(x_t), t, condition)


def test_more_steps_come_nearer_to_ddim():
    def distance(steps):
        chain = _chain(DDIM(steps, 2.0), Edict(0.83), "float64")
        x_T = _noise()
        first, second = chain.sample((x_T, x_T))
        x_0 = DDIM(steps, 2.0)(chain.denoiser.model, x_T, chain.denoiser.condition)
        return (first - x_0).square().mean().sqrt(), (first - second).square().mean().sqrt()

    few, many = distance(25), distance(100)
    assert many[0] < 0.5 * few[0]
    assert many[1] < 0.1 * few[1]


@pytest.mark.parametrize("level", [Level(500, 0.4, 0.5), Level(0, 0.999, 1.0), Level(999, 2e-9, 0.006)])
def test_both_splits_are_ddims_step(level):
    x, eps = _noise(), _noise(offset=5)
    x0_hat = (x - math.sqrt(1 - level.alpha_bar) * eps) / math.sqrt(level.alpha_bar)
    expected = math.sqrt(level.alpha_bar_prev) * x0_hat + math.sqrt(1 - level.alpha_bar_prev) * eps
    for max_factor in (1.0, math.inf):
        a, b, c = coupling(level, max_factor)
        torch.testing.assert_close((a + b) * x + c * eps, expected, rtol=1e-9, atol=1e-9)


def test_a_chain_from_pure_noise_stays_in_proportion():
    """ᾱ_T = 2e-9: the factor of the first step would be 1600; split by x̂_0 it is 1."""
    x_T = _noise()
    sampler = DDIM(20, 2.0, spacing="trailing")
    assert coupling(_chain(sampler).levels[0]).a > 1000
    wild, tame = (_chain(sampler, Edict(max_factor=factor), "float64").sample((x_T, x_T)) for factor in (math.inf, 4.0))
    assert max(coupling(level, 4.0).a for level in _chain(sampler).levels) < 2.1
    assert wild[0].std() > 10 * x_T.std()
    assert tame[0].std() < 3 * x_T.std()
    assert _error(tame, tame[::-1]) < 0.5


def test_without_mixing_the_halves_part():
    """Why p < 1: a difference grows by A² in a step."""
    x_T = _noise()
    parted, mixed = (_chain(DDIM(20, 2.0), Edict(p), "float64").sample((x_T, x_T)) for p in (1.0, None))
    assert (parted[0] - parted[1]).std() > 10 * (mixed[0] - mixed[1]).std()


WAYS = {"store": Store(), "checkpoint": Checkpoint(), "auto": Auto(2e-4), "inverse": None}


def _ends(chain, pair, way):
    memory = WAYS[way]
    return chain.sample_by_inverse(pair) if memory is None else chain.sample(pair, memory)


def _loss_of(chain, way):
    def loss(x_T):
        first, second = _ends(chain, (x_T, 0.9 * x_T), way)
        wave_BN = chain.denoiser.model.wave(first)
        return wave_BN.square().mean(1).log() + (second - 0.5).square().mean((1, 2, 3)) + (first * second).mean()

    return loss


@pytest.mark.parametrize("sampler", [DDIM(5, 2.0), DDIM(6, 2.0, spacing="trailing"), DPMSolverPP2M(6, 2.0)])
@pytest.mark.parametrize("way", WAYS)
def test_finite_differences_through_the_whole_chain(way, sampler):
    directional_check(_loss_of(_chain(sampler, dtype="float64"), way), _noise())


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_every_way_back_gives_the_same_gradient(steps, spacing, dtype, rtol):
    chain = _chain(DDIM(steps, 2.0, spacing=spacing), dtype=dtype)
    gradients = {}
    for way in WAYS:
        x_T = _noise(chain.denoiser.model.dtype).requires_grad_()
        ends = _ends(chain, (x_T, x_T), way)
        sum((end - 0.5).square().sum() for end in ends).backward()
        gradients[way] = x_T.grad
    assert torch.equal(gradients["store"], gradients["checkpoint"])
    assert torch.equal(gradients["store"], gradients["auto"])
    error = (gradients["inverse"] - gradients["store"]).norm() / gradients["store"].norm()
    assert error < rtol


@pytest.mark.parametrize(("way", "calls"), [("store", 2), ("checkpoint", 4), ("inverse", 6)])
def test_network_calls_per_step(way, calls):
    chain = _chain(DDIM(5, 2.0))
    x_T = _noise(torch.float32).requires_grad_()
    with count_calls(chain.denoiser.model) as counted:
        sum(end.sum() for end in _ends(chain, (x_T, x_T), way)).backward()
    assert counted.count == 5 * calls


def test_memory_of_the_inverse_does_not_grow_with_the_steps():
    def saved(way, steps):
        chain = _chain(DDIM(steps, 2.0))
        x_T = _noise(torch.float32).requires_grad_()
        with saved_bytes() as meter:
            _ = _ends(chain, (x_T, x_T), way)
        return meter.bytes

    pair = 2 * 2 * 16 * 12 * 8
    assert saved("inverse", 5) == saved("inverse", 20) == pair
    assert saved("checkpoint", 20) > 3 * saved("checkpoint", 5)


def test_only_one_end_may_be_used():
    gradients = []
    for way in ("store", "inverse"):
        chain, x_T = _chain(DDIM(4, 2.0), dtype="float64"), _noise().requires_grad_()
        _ends(chain, (x_T, x_T), way)[0].sum().backward()
        gradients.append(x_T.grad)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_p_follows_the_number_of_steps():
    assert _chain(DDIM(50)).p == pytest.approx(0.93)
    assert _chain(DDIM(20)).p == pytest.approx(0.83, abs=0.005)
    assert _chain(DDIM(20), Edict(0.7)).p == 0.7


@pytest.mark.parametrize("options", [{"p": 0.0}, {"p": 1.1}, {"max_factor": 0.5}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UserError):
        Edict(**options)
