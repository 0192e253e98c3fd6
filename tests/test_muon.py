"""Muon: the step is orthogonal, of AdamW's size, and goes down; what is no matrix is AdamW's; a checkpoint goes on."""

from functools import partial

import torch
from torch import nn

from ditto.training import optimizers
from ditto.training.muon import MuonAdamW, hidden_weights, orthogonalise
from ditto.training.optimizers import adamw

muon = partial(optimizers.muon, hidden_lr=4.0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.GroupNorm(2, 6), nn.SiLU(), nn.Conv2d(6, 4, 3))


def train(net: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 2, 9, 9, generator=generator)
    target = torch.randn(8, 4, 5, 5, generator=generator)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (net(x) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_singular_values_come_near_one_and_singular_vectors_stay() -> None:
    torch.manual_seed(0)
    left, right = torch.linalg.qr(torch.randn(24, 24))[0], torch.linalg.qr(torch.randn(60, 60))[0][:, :24]
    matrix = left @ torch.diag(torch.logspace(0, -2, 24)) @ right.T
    for given in (matrix, matrix.T):
        made = orthogonalise(given).float()
        values = torch.linalg.svdvals(made)
        assert values.min() > 0.5
        assert values.max() < 1.3
    inner = torch.diagonal(left.T @ orthogonalise(matrix).float() @ right)
    assert inner.min() > 0.5  # the same directions, with the same signs


def test_a_step_has_the_rms_of_adamw() -> None:
    net = network()
    before = net[0].weight.detach().clone()
    train(net, MuonAdamW(net.parameters(), hidden_weights(net), lr=0.01, weight_decay=0.0, hidden_lr=1.0), 1)
    rms = (net[0].weight.detach() - before).square().mean().sqrt()
    assert 0.1 * 0.01 < rms < 0.3 * 0.01  # 0.2 of the learning rate
    again = network()
    train(again, MuonAdamW(again.parameters(), hidden_weights(again), lr=0.01, weight_decay=0.0, hidden_lr=3.0), 1)
    torch.testing.assert_close(again[0].weight.detach() - before, 3 * (net[0].weight.detach() - before))


def test_norms_and_biases_are_those_of_adamw() -> None:
    made = []
    for make in (adamw, muon):
        net = network()
        train(net, make(net, 0.01, 0.01), 1)
        made.append([p.detach().clone() for p in net.parameters()])
    pairs = list(zip(*made, strict=True))
    assert all(torch.equal(a, b) for a, b in pairs if a.ndim == 1)
    assert not any(torch.equal(a, b) for a, b in pairs if a.ndim > 1)


def test_it_goes_down_and_decays() -> None:
    net = network()
    losses = train(net, muon(net, 0.01, 0.01), 40)
    assert losses[-1] < 0.8 * losses[0]
    still = nn.Linear(3, 3, bias=False)
    before = still.weight.detach().clone()
    optimiser = MuonAdamW(still.parameters(), hidden_weights(still), lr=0.1, weight_decay=0.5, hidden_lr=1.0)
    still.weight.grad = torch.zeros_like(before)
    optimiser.step()
    torch.testing.assert_close(still.weight.detach(), before * 0.95)


def test_a_stopped_training_goes_on_to_the_same_weights() -> None:
    through, stopped = network(), network()
    train(through, muon(through, 0.01, 0.01), 1)
    whole = muon(through, 0.01, 0.01)
    train(through, whole, 6)
    train(stopped, muon(stopped, 0.01, 0.01), 1)
    first = muon(stopped, 0.01, 0.01)
    train(stopped, first, 3)
    second = muon(stopped, 0.01, 0.01)
    second.load_state_dict(first.state_dict())
    train(stopped, second, 3)
    for a, b in zip(through.parameters(), stopped.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_channels_last_kernels_take_the_same_step() -> None:
    plain, last = network(), network().to(memory_format=torch.channels_last)
    train(plain, muon(plain, 0.01, 0.0), 1)
    train(last, muon(last, 0.01, 0.0), 1)
    torch.testing.assert_close(plain[3].weight, last[3].weight.contiguous(), atol=2e-4, rtol=0.0)
