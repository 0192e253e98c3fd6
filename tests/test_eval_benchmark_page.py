"""What the benchmark makes of its rounds: gains and verdicts, targets, the files. On the toy model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ditto.models.toy import Toy
from ditto.types import UserError
from eval.benchmark import command, measure, page
from eval.benchmark.figures import Figure, find, ratio
from eval.benchmark.lever_table import verdict
from eval.benchmark.measure import Measured, Results
from eval.benchmark.rows import lever_rows
from eval.benchmark.step import Seen
from eval.benchmark.table import COLUMNS, table
from eval.benchmark.targets import target_rows
from eval.benchmark.variants import ALL, NONE, REFERENCE, Lever, Variant
from tests.benchmark_cases import settings


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
