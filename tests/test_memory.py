"""The memory policies: one gradient, to the bit; what each keeps; how often the network is called."""

import gc
import weakref
from functools import partial

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from baselines.edict import Edict
from ditto.memory import GIB, Auto, Checkpoint, Host, Revolve, Store, count_calls, saved_bytes
from ditto.memory.again import Ledger, Step
from ditto.models.toy import Toy
from ditto.sampling import DDIM, DDPM, DPMSolverPP2M, noise
from ditto.types import UserError

SEEDS = (0, 1)
LATENT = 2 * 16 * 32 * 4  # bytes, of two clips


def _run(memory, sampler=None, prompts=("a", "b"), hook=None):
    """Loss gradient at x_T, bytes saved and calls made."""
    toy = Toy()
    x_T = noise(range(len(prompts)), toy.shape).requires_grad_()
    with count_calls(toy) as calls:
        with saved_bytes() as meter:
            x_0 = (sampler or DDIM(10, 2.0))(toy, x_T, toy.encode(list(prompts)), memory=memory, seeds=SEEDS, hook=hook)
        x_0.square().sum().backward()
    return x_T.grad, meter.bytes, calls.count


def _kept(memory, steps=10):
    return _run(memory, DDIM(steps, 2.0))[1]


def _one_step(guidance_scale=2.0):
    toy = Toy()
    x = noise(SEEDS, toy.shape).requires_grad_()
    with saved_bytes() as meter:
        _ = DDIM(1, guidance_scale)(toy, x, toy.encode(["a", "b"]))
    return meter.bytes


def policies():
    budgets = [0.0, *(_one_step() * share / GIB for share in (0.3, 3.4)), 100.0]
    return [Checkpoint(), Host(), *map(Revolve, (1, 3, 30)), *map(Auto, budgets)]


CHAINS = {
    "one step": DDIM(1, 2.0),
    "interval and threshold": DDIM(6, 2.0, guidance_interval=(0.0, 0.6), dynamic_threshold=0.9),
    "stochastic": DDIM(5, 2.0, eta=0.8),
    "ddpm": DDPM(5, 2.0),
    "multistep": DPMSolverPP2M(6, 2.0),
}


def _push(context):
    """A hook that changes the step."""
    return context.step_from(context.x_t, context.eps_of(context.x_t)) - 0.1 * context.x0_hat.tanh()


def _push_by_gradient(context):
    """And one that differentiates inside of its step."""
    eps = context.eps_of(context.x_t)
    x0_hat = context.x0_from(context.x_t, eps)
    (grad,) = torch.autograd.grad(x0_hat.square().sum(), context.x_t, create_graph=True)
    return context.step_from(context.x_t, eps) - 0.1 * grad


@pytest.mark.parametrize("chain", CHAINS)
def test_gradients_are_identical_to_the_bit(chain):
    expected = _run(Store(), CHAINS[chain])[0]
    for memory in policies():
        assert torch.equal(expected, _run(memory, CHAINS[chain])[0]), memory


def test_steps_with_hooks():
    expected = _run(Store(), DDIM(5, 2.0), hook=_push)[0]
    assert not torch.equal(expected, _run(Store(), DDIM(5, 2.0))[0])
    for memory in policies():
        assert torch.equal(expected, _run(memory, DDIM(5, 2.0), hook=_push)[0]), memory


def test_auto_takes_steps_that_differentiate_inside():
    """PyTorch's checkpoint does not, and the samplers' hooks do that without an outer gradient."""
    expected = _run(Store(), DDIM(4, 2.0), hook=_push_by_gradient)[0]
    for budget in (0.0, _one_step() * 2.5 / GIB, 100.0):
        assert torch.equal(expected, _run(Auto(budget), DDIM(4, 2.0), hook=_push_by_gradient)[0]), budget


def test_edicts_pair_of_latents():
    toy = Toy(dtype="float64")
    ends = []
    for memory in [Store(), *policies()]:
        x_T = noise([0], toy.shape, dtype=torch.float64).requires_grad_()
        chain = Edict().chain(toy, DDIM(4, 2.0), toy.encode(["a"]), toy.encode([""]))
        first, second = chain.sample((x_T, x_T), memory)
        (first.square() + second.sin()).sum().backward()
        ends.append(x_T.grad)
    assert all(torch.equal(ends[0], other) for other in ends[1:])


def test_a_policy_serves_one_chain_after_another_and_two_at_once():
    toy = Toy()
    c = toy.encode(["a"])
    for memory in [Revolve(2), Auto(_one_step() * 2.5 / GIB), Auto(100.0)]:
        grads = []
        for _ in range(3):
            x, y = (noise([seed], toy.shape).requires_grad_() for seed in (0, 1))
            x_0, y_0 = (DDIM(5, 2.0)(toy, start, c, memory=memory) for start in (x, y))
            grads.append(torch.autograd.grad((x_0 * y_0).sum(), (x, y)))
        x_t, y_t = x, y
        denoise = partial(_half_step, toy, c)
        for i in range(5):  # the steps of two chains take turns
            x_t, y_t = (memory.run(denoise, z, i=i, steps=5) for z in (x_t, y_t))
        turns = torch.autograd.grad((x_t * y_t).sum(), (x, y))
        a, b = x, y
        for _ in range(5):
            a, b = denoise(a), denoise(b)
        assert all(map(torch.equal, turns, torch.autograd.grad((a * b).sum(), (x, y)))), memory
        assert all(map(torch.equal, grads[0], grads[1]))
        assert all(map(torch.equal, grads[0], grads[2]))


def _half_step(toy, condition, x):
    return x - 0.5 * toy.denoise(x, torch.tensor([300]), condition).tanh()


@pytest.mark.parametrize("memory", [Revolve(3), Auto(_one_step() * 2.5 / GIB), Auto(0.0)])
def test_a_graph_that_is_kept_gives_the_same_gradient_again(memory):
    toy = Toy()
    x_T = noise([0], toy.shape).requires_grad_()
    loss = DDIM(6, 2.0)(toy, x_T, toy.encode(["a"]), memory=memory).square().sum()
    (first,) = torch.autograd.grad(loss, x_T, retain_graph=True)
    assert torch.equal(first, torch.autograd.grad(loss, x_T)[0])


@pytest.mark.parametrize("memory", [Revolve(3), Auto(0.0)])
def test_a_latent_that_was_changed_in_place_is_an_error_not_a_wrong_gradient(memory):
    toy = Toy()
    x_T = noise([0], toy.shape).requires_grad_()
    loss = DDIM(6, 2.0)(toy, x_T, toy.encode(["a"]), memory=memory).square().sum()
    with torch.no_grad():
        x_T.add_(1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_step_that_is_not_pure_is_an_error():
    x, calls = torch.randn(5, requires_grad=True), []

    def step(x):
        calls.append(1)
        return x.exp().sin() if len(calls) == 1 else x.exp()

    y = Auto(0.0).run(step, x)
    with pytest.raises(RuntimeError, match="pure"):
        y.sum().backward()


@pytest.mark.parametrize("memory", policies())
def test_checkpoints_inside_of_a_step(memory):
    """Networks with `recompute=true` have blocks that are run again by themselves."""

    def step(x, block):
        return block(torch.sigmoid, block(torch.exp, x.sin()).cos()).exp()

    def gradient(memory, block):
        x = torch.linspace(-1, 1, 50).requires_grad_()
        y = x
        for i in range(6):
            y = memory.run(partial(step, block=block), y, i=i, steps=6)
        return torch.autograd.grad(y.sum(), x)[0]

    inner = partial(checkpoint, use_reentrant=False)
    assert torch.equal(gradient(Store(), lambda f, x: f(x)), gradient(memory, inner))


def test_calls_are_counted_with_recomputation():
    assert _run(Store())[2] == 10
    assert _run(Checkpoint())[2] == _run(Host())[2] == 20
    assert _run(Auto(100.0))[2] == 10
    assert _run(Auto(0.0))[2] == 20
    assert [_run(Revolve(latents))[2] for latents in (30, 10, 4, 1)] == [20, 20, 27, 65]


def test_auto_spends_its_budget_and_no_more():
    chain = 10 * _one_step()
    for share in (0.15, 0.3, 0.5, 0.9):
        kept = _kept(Auto(chain * share / GIB))
        assert 0.9 * share * chain < kept <= share * chain
    assert _kept(Auto(0.0)) == _kept(Checkpoint()) == 10 * LATENT
    assert _kept(Auto(100.0)) == _kept(Store()) + 10 * LATENT


def test_auto_spends_its_budget_where_steps_differ():
    """The later steps of the default sampler are not guided, and keep half."""
    sampler = DDIM(10, 2.0, guidance_interval=(0.0, 0.5))
    chain = _run(Store(), sampler)[1]
    for share in (0.3, 0.6):
        assert 0.9 * share < _run(Auto(share * chain / GIB), sampler)[1] / chain <= share


def test_auto_is_never_called_more_often_than_checkpoint_and_runs_a_part_of_a_step():
    calls = [_run(Auto(_one_step() * n / GIB))[2] for n in (0, 0.5, 1, 3, 5, 7, 9, 11)]
    assert calls == sorted(calls, reverse=True)
    assert calls[0] == 20
    assert calls[-1] == 10
    x, made = torch.randn(100, requires_grad=True), []

    def step(x):
        for _ in range(10):
            made.append(1)
            x = x.exp()
        return x

    ledger = Ledger(budget=7 * 400)  # the input and six of ten results
    y = Step(step, (x,), ledger).run(x)
    assert ledger.kept.bytes == 7 * 400
    made.clear()
    y.sum().backward()
    assert len(made) == 4


@pytest.mark.parametrize("memory", [Auto(0.0), Auto(500 / GIB), Auto(1.0), Host(), Revolve(1), Checkpoint()])
def test_running_again_leaves_nothing(memory):
    """A hook that returns an operation's own result would tie it to the graph, and both to each other for ever."""
    x, seen = torch.randn(100, requires_grad=True), []

    def step(x):
        y = x.exp()
        seen.append(weakref.finalize(y.untyped_storage(), int))
        return y.exp().sin()

    y = memory.run(step, x)
    y.sum().backward()
    with saved_bytes():
        z = step(x)
    del y, z
    assert len(seen) >= 2
    assert not any(one.alive for one in seen)


def test_what_ran_again_is_not_kept_for_longer_than_it_is_used():
    x = torch.randn(100, requires_grad=True)
    step = Step(lambda x: x.exp().sin().exp(), (x,), Ledger(budget=0))
    y = step.run(x)
    torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert len(step.kept) == step.forgotten == 3
    assert [kept().tensor for kept in step.kept] == [None] * 3


def test_auto_accounts_for_a_batch():
    auto = Auto(1.0)
    _run(auto)
    assert auto.kept_bytes(1) == auto.chain_bytes == _kept(Store()) + 10 * LATENT
    assert auto.kept_bytes(3, 2.0) == 6 * auto.chain_bytes
    auto.budget_gib = 4 * auto.step_bytes / GIB
    assert auto.kept_bytes(1) == 4 * auto.step_bytes
    assert auto.kept_bytes(8) == 8 * (auto.step_bytes + 10 * LATENT)


def test_what_fitted_once_is_not_watched_again(monkeypatch):
    auto = Auto(100.0)
    expected = _run(auto)
    monkeypatch.setattr("ditto.memory.auto.Step", None)
    again = _run(auto)
    assert torch.equal(expected[0], again[0])
    assert again[1:] == (_kept(Store()), 10)
    with pytest.raises(TypeError):
        _run(auto, prompts=("a",))  # another size


def test_checkpointing_keeps_latents_only():
    assert _kept(Checkpoint()) <= 12 * LATENT < _kept(Store())


def test_a_fixed_number_of_latents_is_kept_for_any_length():
    kept = {steps: _kept(Revolve(5), steps) for steps in (5, 20, 50)}
    assert kept == {5: 5 * LATENT, 20: 5 * LATENT, 50: 5 * LATENT}


@pytest.mark.parametrize("memory", [Store(), Checkpoint(), Host(), Revolve(2), Auto(1.0)])
def test_nothing_is_recorded_without_gradients(memory):
    toy = Toy()
    x_T = noise([0], toy.shape).requires_grad_()
    with torch.no_grad(), count_calls(toy) as calls:
        assert not DDIM(5)(toy, x_T, toy.encode(["a"]), memory=memory).requires_grad
    assert calls.count == 5


def test_latents_on_the_host_are_those_of_the_device(monkeypatch):
    """Without a GPU: the CPU taken for a device whose tensors have to go."""
    from ditto.memory import policies as module

    expected = _run(Store())[0]
    assert _kept(Host()) == 10 * LATENT
    monkeypatch.setattr(module, "_on_host", lambda tensor: False)
    assert _kept(Host()) == 0
    assert torch.equal(expected, _run(Host())[0])


@pytest.mark.parametrize("memory", [Revolve(3), Auto(0.0), Auto(_one_step() * 2.5 / GIB), Auto(100.0)])
def test_nothing_is_left_of_a_chain_that_is_forgotten(memory):
    """At once, not when the garbage collector comes."""
    toy, seen = Toy(), []

    def watch(i, x_t, x0_hat):
        seen.append(weakref.finalize(x_t.untyped_storage(), int))

    gc.disable()
    try:
        for backward in (True, False):
            x_T = noise([0], toy.shape).requires_grad_()
            x_0 = DDIM(6, 2.0)(toy, x_T, toy.encode(["a"]), memory=memory, callback=watch)
            if backward:
                x_0.sum().backward()
            del x_0, x_T
    finally:
        gc.enable()
    assert len(seen) == 12
    assert not any(one.alive for one in seen)


@pytest.mark.parametrize(("policy", "value"), [(Auto, -1), (Revolve, 0)])
def test_settings_without_sense_are_refused(policy, value):
    with pytest.raises(UserError, match="memory"):
        policy(value)


def test_saved_bytes_counts_a_storage_once_and_no_weights():
    weight = torch.nn.Parameter(torch.randn(100, 100), requires_grad=False)
    x = torch.randn(7, 100, requires_grad=True)
    with saved_bytes() as meter:
        _ = torch.nn.functional.linear(x, weight)
    assert meter.bytes == 0
    with saved_bytes() as meter:
        y = x.exp()  # keeps its result
        _ = y * y.view(-1).view(7, 100)
    assert meter.bytes == 7 * 100 * 4


def test_counting_restores_the_model_after_an_error():
    toy = Toy()
    with pytest.raises(RuntimeError), count_calls(toy):
        raise RuntimeError
    assert "denoise" not in vars(toy)
    with count_calls(toy) as outer, count_calls(toy) as inner:
        toy.denoise(noise([0], toy.shape), torch.tensor([5]), toy.encode(["a"]))
    assert outer.count == inner.count == 1
