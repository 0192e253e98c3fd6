"""The benchmark: its variants, what is counted and timed of a step. On the toy model."""

from itertools import pairwise

import pytest
import torch

from ditto.build import build
from ditto.models.embedded import random_weights
from ditto.models.toy import Toy
from ditto.types import UserError
from eval.benchmark.bare import Bare, bare_seconds, operations
from eval.benchmark.clock import Clock
from eval.benchmark.matmul import matmul_rate
from eval.benchmark.slow import Contiguous, ParameterGradients, Slow, TwoCalls, WaitEveryCall, replaced
from eval.benchmark.step import Seen, step_seconds, watch
from eval.benchmark.variants import ALL, NONE, REFERENCE, Lever, Models, asked, levers, variants
from eval.efficiency.passes import observe
from eval.models.counted import Operations
from tests.benchmark_cases import CPU, settings

SMALL_UNET = {
    "patch": (16, 16),
    "channels": (32, 32),
    "attention": (False, True),
    "cross_width": 32,
    "norm_groups": 8,
}


@pytest.fixture(scope="module")
def made():
    """The variants of the whole smoke run, by their names."""
    options = settings()
    return {name: one for one in variants(options, levers(options), Models()) for name in one.names}


def test_every_lever_has_a_prediction_with_a_number_and_what_takes_it_away():
    found = levers(settings())
    assert {"bf16_weights", "channels_last", "cfg_one_batch", "frozen_parameters", "memory_auto"} <= {
        lever.name for lever in found
    }
    for lever in found:
        assert any(letter.isdigit() for letter in lever.prediction), lever.name
        assert lever.slow or set(lever.on) != set(lever.off), lever.name
        assert lever.slow is None or isinstance(build(lever.slow, "slow"), Slow)


def test_no_lever_has_all_taken_away_and_all_levers_none():
    chosen = [Lever("a", "1x", on=("a=1",), off=("a=0",)), Lever("b", "1x", slow={"_target_": "b"})]
    extra = [*chosen, Lever("c", "1x", on=("c=1",), off=("c=0",), in_all=False, alone=False, warmup=2)]
    found = asked({"batch_sizes": [2], "variants": {"x": ["a=2"]}, "only": None, "reference": []}, extra)
    assert (found[NONE].overrides, len(found[NONE].slow)) == (["a=0", "c=0"], 1)
    assert (found[ALL].overrides, found[ALL].slow) == (["c=0", "a=1"], [])
    assert found["only a"].overrides == ["c=0", "a=1"]
    assert len(found["only a"].slow) == 1
    assert found["all but b"].slow == [{"_target_": "b"}]
    assert found["all and c"].overrides == ["a=1", "c=1"]
    assert found["all and c"].warmup == 2
    assert "only c" not in found  # its `alone` is false
    assert found["x"].overrides[-1] == "a=2"
    assert list(asked({"batch_sizes": [], "variants": {}, "only": ["all but"], "reference": []}, extra)) == [
        "all but a",
        "all but b",
    ]


def test_a_lever_is_measured_on_the_models_and_devices_that_have_it():
    options = settings("only=[lever,only]", "batch_sizes=[]", "variants={}")
    options["levers"] = {
        "kernel": {"with": ["+model.kernel=fast"], "models": ["embedded"], "prediction": "2x"},
        "graphs": {
            "with": ["precision=bf16"],
            "without": ["precision=float32"],
            "prediction": "2x",
            "devices": ["cuda"],
        },
    }
    there = levers(options)
    assert [lever.devices for lever in there] == [("cpu", "cuda"), ("cuda",)]
    assert [name for one in variants(options, there, Models()) for name in one.names] == [NONE, ALL, "only graphs"]


def test_of_levers_that_share_an_option_the_one_that_is_on_wins():
    first = Lever("auto", "1x", on=("memory=auto",), off=("memory=checkpoint",))
    second = Lever("host", "1x", on=("memory=host",), off=("memory=checkpoint",), in_all=False)
    found = asked({"batch_sizes": [], "variants": {}, "only": None, "reference": []}, [first, second])
    assert second.together == (ALL, "all and host")
    last = {name: one.overrides[-1] for name, one in found.items() if name != REFERENCE}
    assert last[NONE] == last["all but auto"] == "memory=checkpoint"
    assert last[ALL] == last["only auto"] == "memory=auto"
    assert last["all and host"] == last["only host"] == "memory=host"


def test_what_is_the_same_under_two_names_is_measured_once(made):
    assert made["checkpoint"] is made["all but memory_auto"]
    assert made["float32"] is made["all but bf16_weights"]
    assert made[ALL].options["sampler"]["guidance_interval"] == [0, 1]
    assert made[REFERENCE].options["sampler"]["dynamic_threshold"] is None
    assert made[REFERENCE].options["precision"] == "float32"
    assert type(made[REFERENCE].changes[0]) is Contiguous
    assert made["all levers, 2 clips"].batch_size == 2


def test_variants_share_a_model_unless_a_permanent_change_parts_them(made):
    assert made[ALL].model is made["all but cfg_one_batch"].model
    assert made[ALL].model is not made["all but channels_last"].model
    assert made[ALL].model is not made["float32"].model


def test_a_model_or_size_that_is_not_there_is_a_mistake_of_the_user():
    with pytest.raises(UserError, match="size=huge: choose auto, smoke"):
        settings("size=huge")
    with pytest.raises(UserError, match="rounds=0"):
        settings("rounds=0")
    options = settings("models=[nothing]", "only=[all levers]")
    with pytest.raises(UserError, match="there is no model=nothing"):
        variants(options, levers(options), Models())


@pytest.mark.parametrize(
    ("name", "forward", "recomputed", "sounds"),
    [(REFERENCE, 4, 4, 1), ("checkpoint", 4, 4, 1), ("store", 4, 0, 1), ("doodl, checkpoint", 8, 8, 2)],
)
def test_what_a_step_must_call_is_counted(made, name, forward, recomputed, sounds):
    seen = watch(made[name])
    assert (len(seen.forward), seen.recomputed, len(seen.sounds)) == (forward, recomputed, sounds)
    assert len(seen.forward[0][0]) == 2  # CFG in one batch
    assert all(first[1][0] >= second[1][0] for first, second in pairwise(seen.forward))  # t falls


def test_what_is_kept_for_the_bare_calls_is_not_counted_as_memory(made):
    seen, other = watch(made["checkpoint"]), observe(made["checkpoint"])
    assert seen.saved == other.saved
    # Not by a single latent; what a first call leaves in caches is some 100 bytes.
    assert 0.8 * other.peak < seen.peak < other.peak + other.latent


@pytest.mark.parametrize("name", ["checkpoint", "store", "doodl, checkpoint"])
def test_operations_of_the_calls_are_those_of_the_step(made, name):
    seen = watch(made[name])
    counted = operations(made[name], seen).step(seen)
    with Operations() as counter:
        watch(made[name])
    assert counted == pytest.approx(counter.total, rel=1e-3)
    assert counted > 1e6


def test_operations_grow_with_the_clips(made):
    one, two = (watch(made[name]) for name in ("checkpoint", "all levers, 2 clips"))
    two.recomputed = one.recomputed  # as if it were checkpointed too
    counted = operations(made["checkpoint"], one)
    assert counted.step(two) == pytest.approx(2 * counted.step(one))


def test_the_bare_cost_is_that_of_the_calls():
    seen = Seen(forward=[()] * 20, recomputed=15, sounds=[()])
    assert Bare(1.0, 2.0, 3.0, 10.0, 20.0).step(seen) == 15 * 1 + 20 * 5 + 30
    assert Bare(9.0, 2.0, 3.0, 10.0, 20.0).step(seen) == 15 * 2 + 20 * 5 + 30  # what records is compiled


def test_bare_calls_are_made_on_what_the_step_gave(made):
    seen, got = watch(made["checkpoint"]), []
    with replaced(made["checkpoint"].model, "denoise", lambda denoise: lambda *a: got.append(a[0]) or denoise(*a)):
        bare = bare_seconds(made["checkpoint"], seen, 2)
    assert len(got) == 4  # two without gradients, two with
    assert torch.equal(got[0], seen.forward[0][0])
    assert torch.equal(got[3].detach(), seen.forward[2][0])
    assert min(bare.forward, bare.forward_grad, bare.backward, bare.wave, bare.wave_backward) > 0


def test_steps_end_before_the_last_sampling(made):
    calls = []
    with replaced(made["store"].model, "denoise", lambda denoise: lambda *a: calls.append(1) or denoise(*a)):
        seconds = step_seconds(made["store"], 2)
    assert len(calls) == 2 * 4
    assert 0 < seconds < 10


def test_every_pass_has_the_same_method_so_that_a_policy_knows_its_last_chain(made):
    """`auto` does not watch a chain that fitted the last time: the first chain is slower than all others of a run."""
    variant = made[ALL]
    step_seconds(variant, 1)
    memory = variant.made_once.memory
    assert memory.chain_bytes > 0
    step_seconds(variant, 1)
    assert variant.made_once.memory is memory


def test_the_clock_tells_seconds_between_marks():
    clock = Clock(CPU)
    for _ in range(3):
        clock.mark()
    assert len(clock.seconds()) == 3
    assert min(clock.seconds()) >= 0
    assert matmul_rate(64, torch.float32, CPU) > 1e6


def called(model, x_2B):
    condition = model.encode(["a song", ""])
    return model.denoise(x_2B, torch.tensor([500, 500]), condition)


def test_two_calls_give_what_one_gives():
    model, calls = Toy(), []
    x_2B = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    one = called(model, x_2B)
    with (
        replaced(model, "denoise", lambda denoise: lambda *a: calls.append(len(a[0])) or denoise(*a)),
        TwoCalls()(model),
    ):
        torch.testing.assert_close(called(model, x_2B), one)
    assert calls == [1, 1]
    assert "denoise" not in vars(model)


def test_waiting_changes_no_value():
    model = Toy()
    x_2B = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    with WaitEveryCall()(model):
        waited = called(model, x_2B)
    assert torch.equal(waited, called(model, x_2B))


def test_weights_get_gradients_only_where_nobody_froze_them():
    model, x = Toy(), torch.randn(1, 1, 16, 32, requires_grad=True)

    def backward():
        called(model, torch.cat([x, x])).sum().backward(inputs=[x])

    with ParameterGradients()(model):
        backward()
        assert model.first.grad is not None
    assert model.first.grad is None
    assert not model.first.requires_grad
    backward()
    assert model.first.grad is None


def test_contiguous_changes_the_layout_and_not_the_result():
    model, other = (random_weights(SMALL_UNET, precision="float32") for _ in range(2))
    Contiguous().change(other)
    layouts = []
    for one in (model, other):
        one.network.net.conv_in.register_forward_hook(lambda _, inputs, out: layouts.append(out.is_contiguous()))
    x_2B = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(called(model, x_2B), called(other, x_2B), rtol=1e-3, atol=1e-4)
    assert layouts == [False, True]
