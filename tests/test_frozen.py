"""Frozen convolutions keep no input: the same gradients, to the bit, from less memory."""

import copy
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from ditto.memory import Auto, Checkpoint, saved_bytes
from ditto.models.frozen import forget_inputs, remember_inputs

KINDS = {
    "1d": (lambda: nn.Conv1d(4, 6, 5, stride=2, padding=2), (2, 4, 33)),
    "2d": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 9, 8)),
    "dilated": (lambda: nn.Conv1d(4, 6, 3, dilation=3, bias=False), (2, 4, 33)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 6, 8, stride=4, padding=2), (2, 4, 9)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (2, 4, 9, 8)),
    "weight norm": (lambda: weight_norm(nn.Conv1d(4, 6, 3)), (2, 4, 33)),
    "circular": (lambda: nn.Conv1d(4, 6, 3, padding=1, padding_mode="circular"), (2, 4, 33)),
    "same": (lambda: nn.Conv1d(4, 6, 5, padding="same"), (2, 4, 33)),
}


@pytest.fixture(autouse=True)
def what_is_not_written_is_not_a_number():
    """So that an input that is read after all makes the gradient NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def frozen(kind):
    torch.manual_seed(0)
    make, shape = KINDS[kind]
    return make().requires_grad_(False), torch.randn(shape)


def gradient(module, x):
    x = x.clone().requires_grad_()
    with saved_bytes() as meter:
        y = module(x * 2)
    return torch.autograd.grad(y.square().sum(), x)[0], meter.bytes


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_gradient(kind, dtype, layout):
    module, x = frozen(kind)
    if x.dim() != 4 and layout == torch.channels_last:
        return
    module, x = module.to(dtype), x.to(dtype).contiguous(memory_format=layout)
    expected, before = gradient(module, x)
    forget_inputs(module)
    again, kept = gradient(module, x)
    assert torch.equal(expected, again)
    exempt = kind in ("weight norm", "circular", "same")
    assert kept == (before if exempt else 0)
    remember_inputs(module)
    assert gradient(module, x)[1] == before


def test_the_input_is_gone():
    module, x = frozen("2d")
    forget_inputs(module)
    held = x.requires_grad_().exp().sin()  # keeps exp(x), and nothing keeps its result
    seen = weakref.finalize(held.untyped_storage(), int)
    y = module(held)
    del held
    assert not seen.alive
    assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


def test_a_convolution_that_learns_keeps_its_input():
    module, x = frozen("2d")
    module.requires_grad_(True)
    module(x).square().sum().backward()
    expected, module.weight.grad = module.weight.grad, None
    forget_inputs(module)
    module(x).square().sum().backward()
    assert torch.equal(module.weight.grad, expected)
    assert gradient(module, x)[1] > 0


@pytest.mark.parametrize(
    ("memory", "most"), [(Checkpoint(), 600), (Auto(0.0), 600), (Auto(1.1e-6), 1104), (Auto(1.0), None)]
)
def test_under_the_memory_policies(memory, most):
    module = nn.Sequential(nn.Conv1d(3, 8, 3), nn.SiLU(), nn.Conv1d(8, 3, 3), nn.Tanh()).requires_grad_(False)
    x = torch.linspace(-1, 1, 150).view(2, 3, 25)
    expected = gradient(module, x)[0]
    forget_inputs(module)
    again, kept = gradient(lambda x: memory.run(module, x), x)
    assert torch.equal(expected, again)
    full = x.nbytes + 2 * 8 * 23 * 4 + 2 * 3 * 21 * 4  # the latent, and what SiLU and tanh ask for
    assert kept == min(full, most or full)


def test_copies_have_convolutions_of_their_own():
    module, x = frozen("1d")
    forget_inputs(module)
    forget_inputs(module)  # again is no harm
    other = copy.deepcopy(module)
    nn.init.zeros_(other.weight)
    nn.init.zeros_(other.bias)
    assert other(x).abs().max() == 0
    assert module(x).abs().max() > 0
