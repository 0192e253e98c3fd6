"""The benchmark: its variants, what is counted and timed of a step, gains and verdicts, the files. On the toy model."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.build import build
from ditto.models.embedded import random_weights
from ditto.models.toy import Toy
from ditto.run import CONF
from ditto.types import UserError
from eval.benchmark import command, measure, page
from eval.benchmark.bare import Bare, bare_seconds, operations
from eval.benchmark.clock import Clock
from eval.benchmark.figures import Figure, find, ratio
from eval.benchmark.lever_table import verdict
from eval.benchmark.matmul import matmul_rate
from eval.benchmark.measure import Measured, Results
from eval.benchmark.rows import lever_rows
from eval.benchmark.slow import Contiguous, ParameterGradients, Slow, TwoCalls, WaitEveryCall, replaced
from eval.benchmark.step import Seen, step_seconds, watch
from eval.benchmark.table import COLUMNS, table
from eval.benchmark.targets import target_rows
from eval.benchmark.variants import ALL, NONE, REFERENCE, Lever, Models, Variant, asked, levers, variants
from eval.efficiency.passes import observe
from eval.models.counted import Operations

CPU = torch.device("cpu")
SMALL_UNET = {
    "patch": (16, 16),
    "channels": (32, 32),
    "attention": (False, True),
    "cross_width": 32,
    "norm_groups": 8,
}


def settings(*overrides):
    small = ["size=smoke", "device=cpu", "progress=false", "docs=null"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return command.sized(OmegaConf.to_container(compose("benchmark", [*small, *overrides]), resolve=True))


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
    assert 0.8 * other.peak < seen.peak <= other.peak


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


def fake(name, seconds, failed="", batch=1):
    options = {"task": {"steps": 70}, "model": {}, "device": "cpu"}
    variant = Variant("toy", "ditto", 20, "store", batch, options, models=None, names=[name])
    vars(variant)["model"] = Toy()
    return Measured(variant, Seen(), steps=list(seconds), failed=failed)


def test_gains_are_ratios_of_neighbours_in_time():
    lever = Lever("a", "1x")
    both = [fake(ALL, [1.0, 2.0, 4.0]), fake("all but a", [2.0, 4.0, 8.0]), fake(NONE, [9.0]), fake("only a", [3.0])]
    gains = {str(one["metric"]): one for _, one in lever_rows([lever], both)}
    together = gains["gain_together"]
    assert (together["value"], together["low"], together["high"], together["n"]) == (2.0, 2.0, 2.0, 3)
    assert gains["gain_alone"]["value"] == 3.0
    both[1].failed = "out of memory"
    assert [name for name, _ in lever_rows([lever], both)] == ["a"]


def test_a_lever_may_be_held_to_another_variant():
    lever = Lever("a", "1x", in_all=False, over="checkpoint")
    three = [fake(ALL, [1.0]), fake("checkpoint", [3.0]), fake("all and a", [2.0])]
    ((_, gain),) = lever_rows([lever], three)
    assert gain["value"] == 1.5


def test_gains_of_batches_are_per_clip():
    lever = Lever("batches", "1x", in_all=False)
    both = [fake(ALL, [1.0, 1.0]), fake("all and batches", [2.0, 2.0], batch=4)]
    ((_, gain),) = lever_rows([lever], both)
    assert gain["value"] == 2.0


def gain(value, low, high):
    return Figure(value, low, high, (low, value, high))


@pytest.mark.parametrize(
    ("found", "kept", "words"),
    [
        (gain(1.5, 1.4, 1.6), True, "kept: pays"),
        (gain(1.5, 1.4, 1.6), False, "off: pays"),
        (gain(1.1, 1.0, 1.2), True, "kept: within the spread"),
        (gain(0.5, 0.4, 0.6), False, "off: slower here"),
        (Figure(1.5, 1.5, 1.5, (1.5,)), True, "kept: one round does not tell"),
        (None, True, "kept: not measured here"),
    ],
)
def test_a_lever_pays_where_it_gives_more_than_the_spread(found, kept, words):
    assert verdict(Lever("a", "1x", kept=kept), found) == words
    assert verdict(Lever("a", "1x", kept=kept, why="because"), found) == f"{words}; because"


def made_up(model, device, **figures):
    rows = [
        {"model": model, "device": device, "variant": variant, "metric": metric, "value": value}
        for metric, values in figures.items()
        for variant, value in values.items()
    ]
    frame = pd.DataFrame(rows).assign(low=np.nan, high=np.nan)
    frame["rounds"] = frame["value"].map("{:g}".format)
    return frame


def test_targets_are_met_missed_or_not_measured_here():
    times = {"doodl, checkpoint": 5.0, "checkpoint": 2.0, ALL: 2.2}
    speedup = {ALL: 1.9, f"{ALL}, 4 clips": 2.5, "float32": 9.0}
    here = made_up("embedded", "EPYC (2 cores)", seconds_per_step=times, speedup=speedup, overhead={ALL: 1.2})
    verdicts = {row[0]: row[3:] for row in target_rows(here)}
    assert verdicts["overhead of the loop"] == ["1.2", ALL, "**missed**"]
    assert verdicts["per clip, over the plain reference"] == ["2.5", "all levers, 4 clips", "met"]
    assert verdicts["`memory=auto`'s step over checkpoint's"][-1] == "**missed**"
    assert verdicts["DOODL's step over DITTO's"][::2] == ["2.5 [2.5, 2.5]", "met"]
    assert verdicts["seconds a step, one clip (H100)"][-1] == "not measured here"

    seconds = {ALL: 0.08}
    there = made_up("paper_random", "NVIDIA H100 80GB HBM3", seconds_per_step=seconds, speedup=speedup)
    verdicts = {row[0]: row[-1] for row in target_rows(there)}
    assert verdicts["seconds a step, one clip (H100)"] == "met"
    assert verdicts["clips per hour, over the plain reference (H100)"] == "**missed**"
    assert verdicts["per clip, over the plain reference"] == "not measured here"
    assert verdicts["DOODL's step over DITTO's"] == "not measured here"


def test_a_ratio_is_formed_in_each_round():
    assert ratio(Figure(0, rounds=(2.0, 8.0)), Figure(0, rounds=(1.0, 2.0, 3.0))).value == 3.0
    assert ratio(None, Figure(1.0)) is None


def test_rounds_are_interleaved_and_end_in_time(monkeypatch):
    done, kept = [], []
    monkeypatch.setattr(measure, "_warm_up", lambda one, _: done.append(f"warm {one.variant.names[0]}"))
    monkeypatch.setattr(measure, "_timed", lambda one, _: done.append(one.variant.names[0]))
    options = {"rounds": 3, "minutes": 0, "progress": False, "matmul": 16}
    both = [fake(name, []).variant for name in "AB"]
    measure.measure(both, options, lambda results: kept.append(len(done)))
    assert done == ["warm A", "warm B", "A", "B", "A", "B"]  # two rounds whatever the minutes, and no third
    assert kept == [2, 4, 6]
    measure.measure(both, {**options, "minutes": 1}, lambda results: None)
    assert len(done) == 6 + 8


def test_a_variant_that_fails_is_told_and_costs_the_others_nothing(monkeypatch, capsys):
    def warm_up(one, _):
        if one.variant.names[0] == "A":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(measure, "_warm_up", warm_up)
    monkeypatch.setattr(measure, "_timed", lambda one, _: one.steps.append(1.0))
    options = {"rounds": 1, "minutes": 1, "progress": False, "matmul": 16}
    results = measure.measure([fake(name, []).variant for name in "AB"], options, lambda results: None)
    assert [(one.failed, one.steps) for one in results.measured] == [("out of memory", []), ("", [1.0])]
    assert "left out: toy: A, out of memory" in capsys.readouterr().err
    with pytest.raises(UserError, match="none of the variants"):
        measure.measure([fake("A", []).variant], options, lambda results: None)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A whole run of some variants, its folder and the docs that it filled."""
    folder = tmp_path_factory.mktemp("benchmark")
    docs = folder / "speed.md"
    docs.write_text("# Speed\n\nby hand\n<!-- benchmark-smoke:begin -->\nold\n<!-- benchmark-smoke:end -->\nand this\n")
    options = settings("rounds=2")
    names = {"variants": {k: options["variants"][k] for k in ("checkpoint", "doodl, checkpoint")}}
    few = {k: v for k, v in options["levers"].items() if k in ("memory_auto", "cfg_one_batch", "batches")}
    options |= {"results": str(folder / "results"), "docs": str(docs), **names, "levers": few}
    return command.run(options), docs, options


def test_a_run_leaves_a_table_and_a_page(written):
    path, _, _ = written
    frame = pd.read_csv(path.with_suffix(".csv"))
    assert list(frame.columns) == list(COLUMNS)
    reference = frame[frame["variant"] == REFERENCE].set_index("metric")
    assert reference["n"]["seconds_per_step"] == 2
    assert len(reference["rounds"]["seconds_per_step"].split()) == 2
    assert reference["value"]["gflops"] > 0
    speedup = find(frame.fillna({"rounds": ""}), "speedup", ALL)
    seconds = (find(frame.fillna({"rounds": ""}), "seconds_per_clip_step", name) for name in (REFERENCE, ALL))
    assert speedup.value == pytest.approx(ratio(*seconds).value, rel=1e-2)
    assert {"gain_alone", "gain_together"} <= set(frame["metric"])

    text = path.read_text()
    for words in (
        "## Targets",
        "## model=toy",
        "### Levers",
        "plain reference",
        "cfg one batch",
        "DOODL's step",
        "load",
    ):
        assert words in text
    assert str(path.parent) not in text  # links are relative
    assert "nan" not in text


def test_the_summary_goes_between_the_markers_of_the_size(written):
    path, docs, options = written
    text = docs.read_text()
    assert "by hand" in text
    assert "and this" in text
    assert "\nold\n" not in text
    assert f"(results/{path.name})" in text
    assert "memory auto" in text
    before = docs.read_text()
    frame = pd.read_csv(path.with_suffix(".csv")).fillna({"rounds": ""})
    page.write_summary(frame, {**options, "only": ["reference"]}, path)
    page.write_summary(frame, {**options, "size": "gpu"}, path)
    assert docs.read_text() == before


def test_a_second_run_of_a_day_does_not_overwrite_the_first(written):
    path, _, options = written
    assert path.stem.endswith("-smoke")
    again = command._stem(options, str(pd.read_csv(path.with_suffix(".csv"))["device"].iloc[0]))
    assert again.name == f"{path.stem}-2"
    assert command._stem({**options, "name": "mine"}, "cpu") == Path(options["results"]) / "mine"


def test_an_interrupted_run_keeps_its_rounds(tmp_path, monkeypatch):
    def second_round(one, options, steps=[]):  # noqa: B006
        steps.append(one)
        if len(steps) > 2:
            raise KeyboardInterrupt
        one.steps.append(1.0)

    monkeypatch.setattr(measure, "_timed", second_round)
    options = settings("only=[reference,no lever]")
    with pytest.raises(KeyboardInterrupt):
        command.run({**options, "results": str(tmp_path)})
    (path,) = tmp_path.glob("*.csv")
    frame = pd.read_csv(path)
    assert list(frame["n"][frame["metric"] == "seconds_per_step"]) == [1, 1]
    assert path.with_suffix(".md").exists()


def test_a_failed_variant_has_a_row_that_says_why():
    results = Results([fake("A", [], failed="out of memory"), fake("B", [1.0])])
    results.rates = {torch.float32: [1e9]}
    frame = table(results, [], {"device": "here", "busy": False})
    (row,) = frame[frame["metric"] == "failed"].to_dict("records")
    assert (row["variant"], row["note"]) == ("A", "out of memory")
