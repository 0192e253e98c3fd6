"""Blocks that are run again in the backward pass: the same gradients from less memory."""

import torch
from torch import nn

from ditto.memory import saved_bytes
from ditto.models.recompute import recompute_in_backward

BLOCKS, WIDTH = 6, 32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)) for _ in range(BLOCKS)]
    return nn.Sequential(*blocks).requires_grad_(False)


def gradient(net: nn.Module) -> tuple[torch.Tensor, int]:
    x = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with saved_bytes() as meter:
        y = net(x)
    return torch.autograd.grad(y.square().sum(), x)[0], meter.bytes


def test_the_same_gradient_with_less_kept():
    plain, kept = gradient(network())
    net = network()
    recompute_in_backward(net)
    again, kept_again = gradient(net)
    assert torch.equal(plain, again)
    assert kept_again <= BLOCKS * 8 * WIDTH * 4 < kept / 3, "each block keeps its input and no more"


def test_each_block_runs_twice_and_once_without_gradients():
    net, calls = network(), []
    for block in net:
        block.register_forward_hook(lambda *_: None)
        block[1].register_forward_hook(lambda *_: calls.append(1))
    recompute_in_backward(net)
    gradient(net)
    assert len(calls) == 2 * BLOCKS
    calls.clear()
    with torch.no_grad():
        net(torch.zeros(1, WIDTH))
    assert len(calls) == BLOCKS


def test_keyword_arguments_and_tuples_pass_through():
    class Block(nn.Module):
        def forward(self, x, *, scale=None, extra=None):
            return (x * scale).sin(), extra

    block = Block()
    recompute_in_backward([block])
    x = torch.ones(3, requires_grad=True)
    y, extra = block(x, scale=torch.tensor(2.0), extra="kept")
    assert extra == "kept"
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], 2 * torch.full((3,), 2.0).cos())


def test_what_is_given_by_keyword_or_in_a_tuple_is_seen_by_the_meter():
    class Block(nn.Module):
        def forward(self, x, *, more):
            return x.sin() * more[0].sin() * more[1]["deep"].sin()

    block = Block()
    recompute_in_backward([block])
    x, first, second = (torch.ones(7, requires_grad=True) for _ in range(3))
    with saved_bytes() as meter:
        block(x, more=(first, {"deep": second}))
    assert meter.bytes == 3 * 7 * 4
