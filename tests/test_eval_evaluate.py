"""The figures of any finished runs, as two tables; where the time went."""

import time

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from ditto.run import CONF
from ditto.types import UserError
from eval import evaluate, measure
from eval.references import HeldOutClips
from eval.stopwatch import Stopwatch
from tests.test_eval_main_job import as_reported, genres, judge, make_run  # noqa: F401 (fixtures)


def options(folder, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"runs={folder}", "bootstrap=5", *overrides])
    with open_dict(cfg):
        cfg.evaluator.text = None  # noise has no words to it
    return cfg


@pytest.fixture
def runs(tmp_path, judge, monkeypatch):  # noqa: F811
    monkeypatch.setattr(HeldOutClips, "__call__", lambda *_: judge.reference)
    monkeypatch.setattr(measure, "measured", as_reported)
    make_run(tmp_path, "aaaa", failed=1)
    make_run(tmp_path, "bbbb", task="melody", method="readout")
    return tmp_path


def test_every_run_has_its_figures_and_every_clip_its_row(runs, capsys):
    evaluate.run(options(runs))
    by_clip, by_run = (pd.read_csv(runs / "evaluation" / f"{name}.csv") for name in ("clips", "runs"))
    assert by_clip.groupby("run").size().to_dict() == {"aaaa": 2, "bbbb": 3}
    assert by_clip["intensity_mse"].tolist()[:2] == [2.0, 3.0]
    one = by_run[(by_run["run"] == "aaaa")].set_index("metric")
    assert (one.loc["intensity_mse", "value"], one.loc["intensity_mse", "n"]) == (2.5, 2)
    assert one.loc["failed", "value"] == 1
    assert {"tag_score_ratio", "seconds_per_step"} <= set(one.index)  # against the clips beside its own
    assert "5 clips of 2 runs" in capsys.readouterr().out


def test_some_runs_only(runs):
    for override, left in {"only=[bb]": "bbbb", "tasks=[intensity]": "aaaa", "methods=readout": "bbbb"}.items():
        assert [one.path.name for one in evaluate.chosen(options(runs, override))] == [left]
    with pytest.raises(UserError, match="no finished run"):
        evaluate.chosen(options(runs, "model_name=paper"))


def test_stopwatch_adds_up_and_names_the_longest_first(monkeypatch):
    clock = iter([0, 1, 10, 13, 20, 21, 30, 35])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    for part in ("short", "long", "short"):
        with watch(part):
            pass
    assert str(watch) == "long 3.0 s (60%), short 2.0 s (40%)"
    with pytest.raises(ValueError, match="x"), watch("long"):
        raise ValueError("x")
    assert watch.seconds["long"] == 8
