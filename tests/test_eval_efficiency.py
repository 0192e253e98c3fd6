"""The cost of a step: what is measured, in which order, and what is said where something is missing. Toy model."""

import math
import time

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from ditto.memory import Auto, saved_bytes
from ditto.method import generate
from ditto.types import UserError
from eval.efficiency import busy, command, rounds
from eval.efficiency.cases import Case, cases
from eval.efficiency.live import allocated
from eval.efficiency.page import generated, growth
from eval.efficiency.passes import Observed, Timed, observe, time_pass
from eval.efficiency.rows import case_rows
from eval.efficiency.table import COLUMNS
from eval.efficiency.thresholds import Reached, finished, reached, steps_to
from eval.figures import figure2, figure5
from tests.run_cases import options as composed
from tests.run_cases import write_run

CPU = torch.device("cpu")
SMALL = ["model_name=toy", "sampler_steps=[2,3]", "rounds=1", "progress=false", "device=cpu"]
SEEN = Observed(calls=40, evaluations=64.0, calls_outside=20, peak=2**20, mean=2**19, saved=2**18, latent=2**10)


class Sleeper:
    """Text-only, and a rest."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __call__(self, request):
        time.sleep(self.seconds)
        return generate(request)


def settings(*overrides, folder=".", name="efficiency"):
    return OmegaConf.to_container(composed(name, folder, *SMALL, *overrides), resolve=True)


def sleeping(seconds):
    (case,) = cases(settings("methods=[text_only]", "sampler_steps=[2]"))
    method = {"_target_": "tests.test_eval_efficiency.Sleeper", "seconds": seconds}
    return Case(*("toy", "sleeper", 2, "checkpoint", 1), {**case.options, "method": method})


def test_every_live_tensor_is_counted_once_and_only_while_it_lives():
    x = torch.randn(1000, requires_grad=True)
    with allocated(CPU) as memory:
        y = x
        for _ in range(5):
            y = y.sigmoid()  # keeps its result
        view = y.view(10, 100)
        assert memory.now == 5 * 4000
        view.sum().backward()
        held = memory.now
        del y, view
        x.grad = None
    assert held < 5 * 4000
    assert memory.now == 0
    assert 5 * 4000 < memory.peak <= 9 * 4000


def test_what_was_there_before_does_not_count():
    weight = torch.randn(100, 100)
    with allocated(CPU) as memory:
        _ = weight.t()[:50].detach()
    assert memory.peak == 0


def test_meters_nest_so_that_autos_own_does_not_hide_its_first_step():
    x = torch.randn(100, requires_grad=True)
    auto = Auto(1.0)
    with saved_bytes() as meter:
        _ = auto.run(torch.sigmoid, x)
    assert meter.bytes == auto.step_bytes == 800  # what sigmoid keeps, and what the step begins with


@pytest.mark.parametrize(("method", "factor"), [("ditto", 2), ("doodl", 4), ("doodl_inverse", 6)])
def test_calls_of_an_optimisation_step_are_counted(method, factor):
    (case,) = cases(settings(f"methods=[{method}]", "sampler_steps=[3]"))
    seen = observe(case)
    assert seen.calls == 3 * factor
    assert seen.evaluations > seen.calls  # guidance asks for two conditions at once
    assert 0 < seen.mean < seen.peak
    assert seen.saved > 0


def test_a_checkpointed_chain_grows_by_a_latent_a_step_and_a_stored_one_by_more():
    chosen = {"policies": {"checkpoint": ["memory=checkpoint"], "store": ["memory=store"]}, "methods": ["ditto"]}
    seen = {(case.policy, case.sampler_steps): observe(case) for case in cases({**settings(), **chosen})}
    latent = seen["checkpoint", 2].latent
    assert latent == 16 * 32 * 4
    assert seen["checkpoint", 3].saved - seen["checkpoint", 2].saved == latent
    assert seen["store", 3].saved - seen["store", 2].saved > 10 * latent


def test_a_slower_method_is_measured_slower():
    fast, slow = (time_pass(sleeping(seconds), 1).seconds for seconds in (0.0, 0.3))
    assert slow >= 0.3
    assert fast < slow


def test_rounds_are_interleaved_and_the_warm_up_is_not_timed(monkeypatch):
    done = []
    monkeypatch.setattr(rounds, "observe", lambda case: done.append(f"warm {case.name[0]}") or SEEN)
    monkeypatch.setattr(
        rounds, "time_pass", lambda case, steps: done.append(case.name[0]) or Timed(float(len(done)), [])
    )
    kept = []
    both = [Case("toy", name, 2, "store", 1, {}) for name in "AB"]
    measured = rounds.measure(both, 2, 1, lambda so_far: kept.append(len(so_far)), progress=False)
    assert done == ["warm A", "warm B", "A", "B", "A", "B"]
    assert [one.seconds for one in measured[0].timed] == [3.0, 5.0]
    assert len(kept) == 6


def test_a_method_without_meaning_for_the_task_is_named_and_left_out(capsys):
    chosen = cases(settings("methods=[masking,text_only]", "sampler_steps=[2]"))
    measured = rounds.measure(chosen, 0, 1, lambda _: None, progress=False)
    assert [one.case.method for one in measured] == ["text_only"]
    assert "left out: masking T=2" in capsys.readouterr().err
    with pytest.raises(UserError, match="none of these methods"):
        rounds.measure(chosen[:1], 0, 1, lambda _: None, progress=False)


def figures(found):
    timed = [Timed(9.0, [1.0, 3.0]), Timed(10.0, [4.0, 4.0])]
    case = Case("toy", "ditto", 20, "checkpoint", 1, {"method": {"steps": 70}})
    return {str(one["metric"]): one for one in case_rows(case, SEEN, timed, found)}


def test_times_are_medians_over_rounds_with_quartiles():
    rows = figures(None)
    step = rows["seconds_per_step"]
    assert (step["value"], step["low"], step["high"], step["n"]) == (3.0, 2.5, 3.5, 2)
    assert rows["seconds_outside"]["value"] == 3.5  # 9 - 4 and 10 - 8
    assert rows["seconds_full"]["value"] == 70 * 3.0 + 3.5
    assert rows["calls_full"]["value"] == 70 * 40 + 20
    assert "steps_to_threshold" not in rows


def test_clips_that_never_reach_the_threshold_are_counted_not_averaged():
    rows = figures(Reached("abc", np.array([3.0, math.inf, 5.0]), failed=1))
    assert (rows["steps_to_threshold"]["value"], rows["steps_to_threshold"]["n"]) == (4.0, 2)
    assert (rows["never_reached"]["value"], rows["never_reached"]["n"]) == (1, 3)
    assert (rows["failed"]["value"], rows["failed"]["n"]) == (1, 4)
    assert rows["seconds_to_threshold"]["value"] == 12.0
    assert rows["seconds_to_threshold"]["run"] == "abc"
    none = figures(Reached("abc", np.array([math.inf]), failed=0))
    assert none["never_reached"]["value"] == 1
    assert "steps_to_threshold" not in none


def test_the_step_whose_loss_is_at_most_the_threshold():
    assert steps_to([9.0, 3.0, 2.0, 1.0], 2.0) == 2
    assert steps_to([9.0], 2.0) == math.inf


def test_steps_to_the_threshold_come_from_the_runs_that_fit(tmp_path, capsys):
    clips = [{"losses": [9.0, 2.0]}, {"losses": [9.0, 8.0]}, {"failed": "NaN"}]
    wanted = {"method": "ditto", "task": "intensity"}
    for name, change in {
        "fits": {},
        "early": {"method.threshold": 3.0},
        "fast": {"method.optimizer.lr": 0.1},
        "val": {},
        "long": {"sampler.steps": 50},
    }.items():
        lost = clips if name == "fits" else [*clips, {"losses": [0.0]}]
        write_run(tmp_path, name, "methods", {**wanted, **change}, lost)
    config = tmp_path / "val/config.yaml"
    config.write_text(config.read_text().replace("prompts_split: test", "prompts_split: val"))
    chosen = settings("model_name=embedded", "methods=[ditto]", "sampler_steps=[20,30]", folder=tmp_path)
    short, other = cases(chosen)
    found = reached(short, finished(chosen), "test")
    assert (found.run, found.failed, found.steps.tolist()) == ("fits", 1, [1.0, math.inf])
    assert reached(other, finished(chosen), "test") is None
    command._reached([short, other], chosen)
    said = capsys.readouterr().err
    assert "+experiment=methods model=embedded task=intensity method=ditto_stop" in said
    assert "sampler.steps=30" in said
    assert "sampler.steps=20" not in said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("methods=[nope]", "there is no method=nope: choose one of .*ditto"),
        ("task_name=nope", "there is no task=nope"),
        ("methods=[]", "nothing to measure"),
        ("overrides=['sampler.nope=1']", "nope"),
    ],
)
def test_mistakes_are_one_line(override, said):
    with pytest.raises(UserError, match=said):
        cases(settings(override))
    with pytest.raises(UserError, match="rounds=-1: give a whole number, 0 or more"):
        command.run(composed("efficiency", ".", *SMALL, "rounds=-1"))


def test_command_writes_table_page_and_figure(tmp_path):
    cfg = composed("efficiency", tmp_path, *SMALL, "methods=[text_only,ditto,doodl]")
    command.run(cfg)
    table = pd.read_csv(tmp_path / "results/efficiency.csv")
    assert tuple(table.columns) == COLUMNS
    of_ditto = set(table[table["method"] == "ditto"]["metric"])
    assert {"seconds_per_step", "seconds_full", "calls_per_step", "peak_gib", "mean_gib", "saved_gib"} <= of_ditto
    assert "seconds_per_clip" in set(table[table["method"] == "text_only"]["metric"])
    assert table[table["metric"] == "seconds_per_step"]["n"].tolist() == [1] * 4
    page = (tmp_path / "results/efficiency.md").read_text()
    assert "| mean memory, doodl / ditto, T = 2 |" in page
    assert "Growth of the peak of memory with T. ditto: " in page
    written = figure5.draw(dict(cfg), tmp_path / "figure5.png")
    assert [path.name for path in written] == ["figure5.png", "figure5.csv"]
    assert written[0].stat().st_size > 10_000


def test_ctrl_c_keeps_the_rows_so_far(tmp_path, monkeypatch):
    calls = iter([Timed(1.0, [1.0])])

    def interrupted(case, steps):
        try:
            return next(calls)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(rounds, "time_pass", interrupted)
    monkeypatch.setattr(rounds, "observe", lambda case: SEEN)
    with pytest.raises(KeyboardInterrupt):
        command.run(composed("efficiency", tmp_path, *SMALL, "methods=[ditto]"))
    table = pd.read_csv(tmp_path / "results/efficiency.csv")
    assert table[table["metric"] == "seconds_per_step"]["sampler_steps"].tolist() == [2]
    assert set(table["sampler_steps"]) == {2, 3}


def test_memory_of_the_policies_is_measured_untimed_and_drawn(tmp_path):
    cfg = composed("memory_policies", tmp_path, *SMALL, "rounds=0", "sampler_steps=[2]")
    table = command.run(cfg)
    assert set(table["memory"]) == {"checkpoint", "store", "auto, 0.5 GiB"}
    assert "seconds_per_step" not in set(table["metric"])
    assert figure2.draw(dict(cfg), tmp_path / "figure2.png")[0].stat().st_size > 10_000


@pytest.mark.parametrize(
    ("draw", "made_by"), [(figure2.draw, "python -m eval.memory"), (figure5.draw, "python -m eval.efficiency")]
)
def test_figures_name_the_command_that_measures_what_they_show(draw, made_by, tmp_path):
    with pytest.raises(UserError, match=made_by):
        draw({"results": str(tmp_path)}, tmp_path / "figure.png")


def made_up(**values):
    """Rows of DITTO and DOODL at T = 20 and 50: metric -> values by (method, T)."""
    where = {"model": "toy", "task": "intensity", "memory": "checkpoint", "batch_size": 1, "n": 3, "run": ""}
    where |= {"device": "a CPU", "threads": 1, "torch": "2", "precision": "float32", "commit": "abc", "weights": "w"}
    rows = [
        {**where, "method": method, "sampler_steps": T, "metric": metric, "value": value}
        for metric, given in values.items()
        for (method, T), value in given.items()
    ]
    return pd.DataFrame(rows).assign(low=np.nan, high=np.nan, load=0.1, busy=False)


def test_ratios_stand_beside_the_papers():
    seconds = {("ditto", 20): 1.0, ("doodl", 20): 2.5, ("ditto", 50): 2.0, ("doodl", 50): 6.0}
    lines = generated(made_up(seconds_per_step=seconds), {"name": "efficiency"})
    assert "| s per step, doodl / ditto, T = 20 | 2.5 | 2.25 |" in lines
    assert "| s per step, ditto, T = 50 / T = 20 | 2 | 2.41 |" in lines
    assert not any("busy" in line for line in lines)


def test_growth_of_memory_is_said_in_latents():
    ends = {("ditto", 20): 1.0, ("ditto", 50): 1.6}
    frame = made_up(peak_gib=ends, saved_gib=ends, latent_gib=dict.fromkeys(ends, 0.01))
    (line,) = growth(frame)
    assert "ditto: 2.00 latents (10.2 MiB each) a sampling step, +60.0 % from T = 20 to 50" in line


def test_a_busy_machine_is_said(monkeypatch):
    monkeypatch.setattr(busy.os, "getloadavg", lambda: (5.0, 0.0, 0.0))
    assert busy.others(own_threads=2) == 3.0
    assert busy.is_busy(0.3 * busy.cores())
    assert not busy.is_busy(0.2 * busy.cores())


@pytest.mark.gpu
def test_allocated_memory_of_a_gpu():
    device = torch.device("cuda")
    before = torch.empty(2**20, device=device)
    with allocated(device) as memory:
        x = torch.empty(2**20, device=device)
        assert memory.now == x.nbytes
        del x
        assert memory.now == 0
        assert memory.peak == before.nbytes
