"""What a model costs: the counters count what happens, on shapes as on values; tables say where figures come from."""

import copy
import math
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ditto.build import build
from ditto.memory import GIB
from ditto.run import CONF
from ditto.types import UserError
from eval.efficiency.live import LiveTensors
from eval.efficiency.passes import observe
from eval.models import command, counted, page, support, support_page, table
from eval.models.counted import counted_rows, flops, held_bytes
from eval.models.pieces import pieces
from eval.models.shapes import shapes_only, without_values

ROOT = CONF.parent


@pytest.fixture
def options():
    """Those of the command, for the toy model, with nothing measured."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("models", ["models=[toy]", "measure=none", "precision=float32", "sampler_steps=3"])
    return OmegaConf.to_container(cfg, resolve=True) | {"progress": False}


@pytest.fixture
def case(options):
    return command._case(options, "toy", ["memory=checkpoint"], "cpu")


def small(family):
    """The small networks of conf/models_support.yaml; clips of 1.28 s (stable_audio_open: 1.49 s)."""
    size = OmegaConf.to_container(OmegaConf.load(CONF / "models_support.yaml"), resolve=True)["models"][family][
        "config"
    ]
    size["network"] |= {"sample_size": 32}
    return size


def tiny(family):
    """A family's model with small networks."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [f"model={family}", "device=cpu", "precision=float32"])
    return build(OmegaConf.to_container(cfg.model, resolve=True) | {"config": small(family)}, "model")


def figures(rows):
    return {row["metric"]: row["value"] for row in rows}


def test_operations_are_those_of_the_formulas():
    linear, conv = nn.Linear(8, 16, bias=False), nn.Conv1d(4, 6, 3, padding=1, bias=False).requires_grad_(False)
    assert flops(lambda: linear(torch.zeros(5, 8))) == 2 * 5 * 8 * 16
    x = torch.zeros(2, 4, 10, requires_grad=True)
    forward = 2 * (2 * 10) * 4 * 6 * 3
    assert flops(lambda: conv(x)) == forward
    assert (
        flops(lambda: torch.autograd.grad(conv(x).sum(), x)) == 2 * forward
    )  # weights are frozen: no gradient of them
    q = torch.zeros(1, 2, 7, 4, device="meta")
    assert flops(lambda: F.scaled_dot_product_attention(q, q, q)) == 2 * (2 * 7 * 7 * 4 * 2)


def test_fused_attention_keeps_no_attention_weights():
    q = torch.zeros(1, 1, 512, 4, device="meta", requires_grad=True)
    held = {}
    for fused in (True, False):
        with shapes_only(fused), LiveTensors() as live:
            result = F.scaled_dot_product_attention(q, q, q)
            held[fused] = live.now
        assert result.shape == q.shape
    assert held[False] > 512 * 512 * 4
    assert held[True] <= 512 * 4 * 4 + 2 * 512 * 4  # its output, and a number a query


def test_shapes_leave_the_model_alone_and_share_what_it_shares():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.append(model[0])
    before = copy.deepcopy(model.state_dict())
    ghost = without_values(model)
    assert {tensor.device.type for tensor in ghost.state_dict().values()} == {"meta"}
    assert ghost[0] is ghost[2]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", ["musicldm_random", "audioldm2_music_random", "stable_audio_open_random"])
def test_shapes_say_what_the_networks_do(family, case):
    """Operations and memory counted without values are those of the same work with values, on a CPU."""
    model = tiny(family)
    made = [pieces(case, one, model.encode(["a"]), model.encode([""])) for one in (model, without_values(model))]
    for name in ("call", "wave"):
        work = [partial(getattr(parts, name), parts.latent()) for parts in made]
        with sdpa_kernel(SDPBackend.MATH):  # the kernel of CPUs has no formula
            real, ghost = map(flops, work)
        assert real == ghost > 1e5
        real, ghost = (held_bytes(getattr(parts, name), parts) for parts in made)
        assert real == pytest.approx(ghost, rel=0.02)


def test_recomputation_costs_a_forward_pass_and_keeps_less(case):
    from ditto.models.pretrained.musicldm import random_weights

    found = []
    for recompute in (False, True):
        model = random_weights(small("musicldm_random"), precision="float32", recompute=recompute)
        ghost = pieces(case, without_values(model), model.encode(["a"]), model.encode([""]))
        found.append(figures([*counted._flop_rows(ghost, 20), *counted._memory_rows(ghost, case)]))
    plain, again = found
    # The products inside attention have two gradients, hence somewhat more than one forward pass of operations.
    assert 3 * plain["gflop_call"] < plain["gflop_call_backward"] < 3.4 * plain["gflop_call"]
    blocks = again["gflop_call_backward"] - plain["gflop_call_backward"]
    # Less than a forward pass: the last convolution of a block keeps nothing (ditto/models/frozen.py): no second run.
    assert 0.7 * plain["gflop_call"] < blocks < plain["gflop_call"]
    assert again["saved_call_gib"] < 0.5 * plain["saved_call_gib"]
    assert again["saved_wave_gib"] < 0.5 * plain["saved_wave_gib"]


def test_a_step_is_what_the_method_does(options):
    """One optimisation step of DITTO itself and its last sampling, counted while they run."""
    case = command._case(options, "musicldm_random", [], "cpu")
    case.options["model"]["config"] = small("musicldm_random")
    expected = figures(counted_rows(case))
    case.control  # noqa: B018  made before the counting
    outside = case.sampler_steps * expected["gflop_call"] + expected["gflop_wave"]
    with sdpa_kernel(SDPBackend.MATH):
        real = flops(lambda: case.run(case.made(1), case.control)) / 1e9
    assert real == pytest.approx(expected["gflop_step"] + outside, rel=0.02)
    assert observe(case).peak / GIB == pytest.approx(expected["peak_gib"], rel=0.1)


def test_the_latents_of_a_chain(case):
    found = figures(counted_rows(case))
    assert found["latents_gib"] == 4 * 16 * 32 * 4 / GIB  # T + 1 of [1, 16, 32], float32
    assert found["clip_seconds"] == pytest.approx(32 * 256 / 22050)
    assert (found["latent_channels"], found["latent_bins"], found["latent_columns"]) == (1, 16, 32)


def test_the_command_counts_and_times(options, tmp_path):
    options |= {"results": str(tmp_path), "measure": "calls", "rounds": 2, "device": "cpu"}
    frame = command.run(options)
    assert set(frame["how"]) == {"counted", "measured"}
    timed = frame[frame["metric"] == "seconds_call_backward"].iloc[0]
    assert timed["n"] == 2
    assert 0 < timed["low"] <= timed["value"] <= timed["high"]
    assert set(frame[frame["how"] == "counted"]["device"]) == {table.META}
    assert frame["commit"].astype(bool).all()
    assert len(pd.read_csv(tmp_path / "models.csv")) == len(frame)
    assert len(command.run(options)) == len(frame), "the same rows again, not twice"


def test_steps_are_timed_by_the_method_itself(options, tmp_path):
    frame = command.run(options | {"results": str(tmp_path), "measure": "steps", "rounds": 2, "device": "cpu"})
    found = figures(frame[frame["how"] == "measured"].to_dict("records"))
    assert found["seconds_step"] > 0
    assert found["peak_gib"] > 0
    assert found["model_calls_step"] == 6  # T = 3, each computed twice


def test_what_fails_is_told_and_has_no_number(options, tmp_path, monkeypatch, capsys):
    def fail(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(command, "counted_rows", fail)
    frame = command.run(options | {"results": str(tmp_path)})
    assert list(frame["metric"]) == ["failed"]
    assert math.isnan(frame["value"].iloc[0])
    assert "toy could not be counted: out of memory" in capsys.readouterr().err
    assert "out of memory" in "\n".join(page.cost_lines(frame))


@pytest.mark.parametrize(("wrong", "said"), [({"measure": "all"}, "measure=all"), ({"models": []}, "nothing to do")])
def test_mistakes_are_one_line(options, wrong, said):
    with pytest.raises(UserError, match=said):
        command.run(options | wrong)


def _rows(model, device, value, how="measured", metric="seconds_step"):
    row = dict.fromkeys(table.COLUMNS, "") | {"model": model, "device": device, "how": how, "metric": metric}
    row |= {"value": value, "low": value, "high": value, "n": 3, "recompute": False, "busy": False, "commit": "abc"}
    return [row]


def test_rows_of_other_devices_stay(tmp_path):
    path = tmp_path / "models.csv"
    table.keep(_rows("a", "GPU 1", 1.0), path)
    table.keep(_rows("a", "GPU 2", 2.0), path)
    frame = table.keep(_rows("a", "GPU 1", 3.0), path)
    assert dict(zip(frame["device"], frame["value"], strict=True)) == {"GPU 1": 3.0, "GPU 2": 2.0}
    assert table.read(path)["value"].tolist() == frame["value"].tolist()


def test_the_page_says_what_was_measured_where():
    frame = pd.DataFrame(
        [
            *_rows("a", table.META, 12.0, "counted", "gflop_call"),
            *_rows("a", "GPU 1", 0.25),
            *_rows("a", "GPU 2", 0.125),
        ]
    )
    text = "\n".join(page.cost_lines(frame))
    assert "counted on shapes alone" in text
    for device, value in (("GPU 1", "0.25"), ("GPU 2", "0.125")):
        section = text.split(f"measured: {device}")[1].split("measured:")[0]
        assert value in section
    assert "no GPU was at hand" in "\n".join(page.cost_lines(frame[frame["how"] == "counted"]))


def test_every_combination_is_tried_and_judged(tmp_path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = OmegaConf.to_container(compose("models_support"), resolve=True)
    few = {"models": {"toy": {}}, "tasks": ["intensity", "outpainting"], "seconds": 4.0, "progress": False}
    frame = support.run(options | few | {"methods": ["ditto", "masking", "controlnet"], "results": str(tmp_path)})
    found = frame.set_index(["method", "task"])["outcome"]
    assert found["ditto", "intensity"] == found["ditto", "outpainting"] == found["masking", "outpainting"] == "ok"
    assert found["masking", "intensity"] == "undefined"
    assert found["controlnet", "intensity"] == "needs"
    reason = frame[frame["outcome"] == "needs"]["reason"].iloc[0]
    assert "belongs to" in reason
    assert str(ROOT) not in reason
    text = "\n".join(support_page.support_lines(frame))
    assert "| `masking` | – | all |" in text
    assert "| `controlnet` | none | – |" in text
    assert "not to this model" in text


def test_a_cell_names_the_models_where_not_all_do():
    assert support_page.cell({"a": "ok", "b": "ok"}) == "all"
    assert support_page.cell({"a": "ok", "b": "failed"}) == "a"
    assert support_page.cell({"a": "undefined", "b": "undefined"}) == "–"
    assert support_page.cell({"a": "needs", "b": "undefined"}) == "none"


def test_every_method_is_in_the_table_of_support_or_a_variant_of_one():
    listed = OmegaConf.load(CONF / "models_support.yaml").methods
    for path in (CONF / "method").glob("*.yaml"):
        name = path.stem
        assert any(name == one or name.startswith(f"{one}_") for one in listed), (
            f"conf/models_support.yaml lacks {name}"
        )


@pytest.mark.parametrize(
    ("name", "block", "lines"),
    [("models", "costs", page.cost_lines), ("models_support", "support", support_page.support_lines)],
)
def test_the_page_is_that_of_the_tables(name, block, lines):
    """No figure of docs/models.md was typed by hand."""
    file = ROOT / "results" / f"{name}.csv"
    frame = table.read(file) if name == "models" else pd.read_csv(file, keep_default_na=False)
    text = Path(ROOT / "docs" / "models.md").read_text()
    assert "\n".join(lines(frame)) in text.split(f"<!-- {block}:begin -->")[1].split(f"<!-- {block}:end -->")[0]


def test_the_models_of_the_command_are_all_but_those_without_weights():
    listed = set(OmegaConf.load(CONF / "models.yaml").models)
    there = {path.stem for path in (CONF / "model").glob("*.yaml")}
    assert listed == {"embedded"} | {name for name in there if name.endswith("_random")}
