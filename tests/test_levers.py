"""Levers of speed and memory: every fast path gives what the plain one gives, within the tolerance of the precision.

That is the plain path's own distance from the same chain in float64.
"""

import copy
import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from baselines.readout_heads import features_of
from ditto.memory import Auto, Checkpoint, Memory, Store, count_calls, saved_bytes
from ditto.models import compiled
from ditto.models.embedded import CONFIG, PACKAGED, Embedded, load, random_weights
from ditto.models.unet import SpectrogramUNet
from ditto.noise import noise
from ditto.run import CONF
from ditto.sampling import DDIM
from ditto.types import UserError

NETWORK = {"patch": [16, 8], "channels": [16, 32], "attention": [False, True], "cross_width": 32, "norm_groups": 8}
PRECISIONS = ["float32", "bf16"]
TINY = NETWORK | {"channels": [32], "attention": [True]}  # what is compiled costs seconds a level
STEPS = 3


def small(network: dict[str, Any] = NETWORK, **options: Any) -> Embedded:
    return random_weights(network, precision=options.pop("precision", "float32"), **options)


def chain(model: Embedded, memory: Memory) -> tuple[Tensor, Tensor]:
    """x_0 and the gradient of its energy by x_T, of a guided chain."""
    x_T = noise([0], (1, 160, 64)).requires_grad_()
    x_0 = DDIM(steps=STEPS, guidance_scale=2.0)(model, x_T, model.encode(["a calm song"]), memory=memory)
    return x_0.detach(), torch.autograd.grad(x_0.square().sum(), x_T)[0]


def assert_as_exact(fast: Sequence[Tensor], plain: Sequence[Tensor], exact: Sequence[Tensor]) -> None:
    for one, other, true in zip(fast, plain, exact, strict=True):
        assert 0 < (one - true).norm() <= 1.5 * (other - true).norm() < 0.3 * true.norm()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_fused_attention_is_plain_attention(precision: str) -> None:
    plain, fused, chosen = (small(precision=precision, attention=kind) for kind in ("plain", "fused", "auto"))
    expected = chain(plain, Checkpoint())
    made = chain(fused, Checkpoint())
    assert_as_exact(made, expected, chain(small(precision="float64"), Checkpoint()))
    assert not torch.equal(made[1], expected[1]), "another kernel rounds otherwise"
    assert torch.equal(chain(chosen, Checkpoint())[1], expected[1]), "a CPU takes the plain one"


def test_fused_attention_keeps_no_weights_of_pairs() -> None:
    def kept(kind: str, frames: int) -> int:
        model = small(attention=kind)
        with saved_bytes() as meter:
            model.denoise(noise([0], (1, 160, frames)).requires_grad_(), torch.tensor([500]), model.encode([""]))
        return meter.bytes

    assert kept("fused", 512) == pytest.approx(4 * kept("fused", 128), rel=0.1)
    assert kept("plain", 512) > 1.5 * kept("fused", 512)


@pytest.mark.gpu
def test_on_a_gpu_attention_is_fused() -> None:
    model, fused = small().to("cuda"), small(attention="fused").to("cuda")
    x_t, t = noise([0], (1, 160, 64)).to("cuda"), torch.tensor([500], device="cuda")
    assert torch.equal(model.denoise(x_t, t, model.encode([""])), fused.denoise(x_t, t, fused.encode([""])))


def test_recomputed_blocks_keep_less_and_give_the_same() -> None:
    plain, again = small(), small(recompute=True)
    kept = []
    for model in (plain, again):
        with saved_bytes() as meter:
            made = chain(model, Store())
        kept.append((meter.bytes, made))
    assert torch.equal(kept[0][1][1], kept[1][1][1])
    assert kept[1][0] < kept[0][0] / 2


@pytest.fixture(scope="module")
def traced() -> Iterator[Embedded]:
    """Compiled without a compiler: traced and differentiated as ever, but run by PyTorch's own kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
        yield small(TINY, compile="default")


def graphs(model: Embedded) -> int:
    """How many were compiled of the middle block's forward pass."""
    forward = type(model.network.net.mid_block).forward
    return len(torch._dynamo.eval_frame._debug_get_cache_entry_list(forward.__code__))


def test_what_is_not_compiled_runs_as_it_did(traced: Embedded) -> None:
    plain, before = small(TINY), graphs(traced)
    x_t, t, condition = noise([0], (1, 160, 64)), torch.tensor([500]), plain.encode(["rock"])
    with torch.no_grad():
        assert torch.equal(traced.denoise(x_t, t, condition), plain.denoise(x_t, t, condition))
    assert graphs(traced) == before
    traced.denoise(x_t.requires_grad_(), t, condition)
    assert graphs(traced) == before + 1
    seen = features_of(traced, x_t, t, condition)  # whose hooks came after the compiling
    for one, other in zip(seen, features_of(plain, x_t, t, condition), strict=True):
        torch.testing.assert_close(one, other)


def test_the_compiled_network_is_the_network_under_every_memory_policy(traced: Embedded) -> None:
    plain, exact, before = small(TINY), small(TINY, precision="float64"), graphs(traced)
    for memory in Store(), Checkpoint(), Auto(budget_gib=1e-4):
        with count_calls(plain) as calls, saved_bytes() as kept:
            expected = chain(plain, memory)
        with count_calls(traced) as fast_calls, saved_bytes() as fast_kept:
            made = chain(traced, memory)
        assert_as_exact(made, expected, chain(exact, memory))
        assert fast_calls.count == calls.count
        assert fast_kept.bytes <= 1.1 * kept.bytes
    assert graphs(traced) == before + 1, "the same graph forward, again in backward, and for every policy"


@pytest.mark.slow
def test_gradients_to_the_condition_and_a_copys_own_weights(traced: Embedded) -> None:
    plain = small(TINY)
    x_t, t = noise([0], (1, 160, 64)), torch.tensor([500])

    def by_tokens(model: Embedded) -> Tensor:
        condition = model.encode(["rock"])
        tokens = condition.tensors["tokens_BLD"].requires_grad_()
        return torch.autograd.grad(model.denoise(x_t, t, condition).square().sum(), tokens)[0]

    torch.testing.assert_close(by_tokens(traced), by_tokens(plain), atol=1e-4, rtol=1e-3)
    other, expected = copy.deepcopy(traced), copy.deepcopy(plain)
    for model in (other, expected):
        torch.nn.init.constant_(model.network.net.conv_in.bias, 0.5)
    torch.testing.assert_close(by_tokens(other), by_tokens(expected), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(by_tokens(other), by_tokens(traced), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_compiled_kernels_are_the_packaged_network(precision: str) -> None:
    """With its trained weights: the network as one graph passed this with random ones, and had a wrong gradient."""
    x_t, t = torch.cat([noise([0], Embedded.shape)] * 2).requires_grad_(), torch.tensor([500, 500])
    direction, made = noise([1, 2], Embedded.shape), []
    for options in {"precision": precision, "compile": "default"}, {"precision": precision}, {"precision": "float32"}:
        model = load(**options)  # type: ignore[arg-type]
        both = model.encode(["a calm song"]).cat(model.encode([""]))
        y = model.network(x_t.to(model.dtype), t, *model.text_inputs(both)).float()
        made.append((y.detach(), torch.autograd.grad((y * direction).sum(), x_t)[0]))
    for one, other, true in zip(*made, strict=True):
        assert (one - true).norm() <= 1.2 * (other - true).norm() + 1e-4 * true.norm() < 0.03 * true.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("mode", compiled.MODES)
def test_compiled_on_a_gpu(mode: str) -> None:
    plain, fast = small(device="cuda"), small(device="cuda", compile=mode)
    x_t, t, condition = noise([0], (1, 160, 64)).to("cuda"), torch.tensor([500], device="cuda"), plain.encode(["rock"])
    for _ in range(4):  # CUDA graphs are recorded in the second call and replayed in the third
        x_t = x_t.detach().requires_grad_()
        made, expected = (model.denoise(x_t, t, condition) for model in (fast, plain))
        torch.testing.assert_close(made, expected, atol=1e-3, rtol=1e-3)
        gradients = [torch.autograd.grad(y.square().sum(), x_t)[0] for y in (made, expected)]
        torch.testing.assert_close(*gradients, atol=1e-2, rtol=1e-2)


def test_wrong_options_say_what_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="choose auto, plain, fused"):
        small(attention="flash")
    with pytest.raises(UserError, match="choose default, reduce-overhead, max-autotune"):
        small(compile="fast")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"no-such-compiler: install it"):
        small(compile="default")


def test_a_fused_optimiser_makes_the_same_steps() -> None:
    target, ways = noise([1], (1, 4, 8)), []
    for fused in (False, True):
        x_T = noise([0], (1, 4, 8)).requires_grad_()
        optimizer = torch.optim.Adam([x_T], lr=5e-3, fused=fused)
        for _ in range(20):
            optimizer.zero_grad()
            (x_T - target).square().sum().backward()
            optimizer.step()
        ways.append(x_T.detach())
    torch.testing.assert_close(ways[1], ways[0], atol=1e-6, rtol=1e-6)


def test_what_depends_on_the_text_alone_is_not_worth_keeping() -> None:
    """Keys and values of the text, its projection, embeddings of time and class: of 2 forward passes and a backward."""
    own = json.loads((PACKAGED / CONFIG).read_text())["network"]
    paper: Any = OmegaConf.to_container(OmegaConf.load(CONF / "network" / "paper.yaml").network)
    assert constant_share(own) == pytest.approx(0.0018, abs=0.0001)
    assert constant_share({k: v for k, v in paper.items() if k != "_target_"}) == pytest.approx(0.0003, abs=0.0001)


def constant_share(network: dict[str, Any]) -> float:
    with torch.device("meta"):
        net = SpectrogramUNet(**network).to("meta").requires_grad_(False)
        x_t, t = torch.zeros(2, 1, 160, 512, requires_grad=True), torch.zeros(2, dtype=torch.int64)
        text = torch.zeros(2, 32, 384), torch.ones(2, 32), torch.zeros(2, 384)
        with FlopCounterMode(display=False) as forward:
            y = net(x_t, t, *text)
        with FlopCounterMode(display=False) as backward:
            y.sum().backward(inputs=[x_t])
    ends = ("attn2.to_k", "attn2.to_v", "encoder_hid_proj", ".time_embedding", ".class_embedding", "time_emb_proj")
    counts = forward.get_flop_counts().items()
    constant = sum(sum(operations.values()) for name, operations in counts if name.endswith(ends))
    assert constant > 0
    return 2 * constant / (2 * forward.get_total_flops() + backward.get_total_flops())
