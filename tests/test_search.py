"""Searches: what they minimise, one study a task that is replayed from the runs, and their record."""

import json
import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ditto import runs
from ditto.build import build
from ditto.identity import identity
from ditto.objective import Score
from ditto.outcome import Outcome
from ditto.run import CONF, SEARCH, main
from ditto.run_directory import run_id
from ditto.sweeping.search import studies
from ditto.types import UserError
from eval import studies as record

SEARCHES = sorted(path.stem for path in (CONF.parent / "sweeps" / "search").glob("*.yaml"))
BASES = ("common", "inversion")
TUNED = sorted(path.stem for path in (CONF / "method").glob("*_tuned.yaml"))
TOY = ["model=toy", "sampler.steps=2", "frames=32", "prompts_n=1", "objective.level_db=90", "hydra.sweeper.n_trials=3"]


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [*overrides, SEARCH], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


def plain(cfg):
    return OmegaConf.create({key: value for key, value in cfg.items() if key != "hydra"}, flags={"allow_objects": True})


@pytest.mark.parametrize("name", [name for name in SEARCHES if name not in BASES])
def test_every_search_composes_and_searches_options_that_its_method_has(name):
    cfg = composed(f"+search={name}")
    assert cfg.hydra.sweeper._target_ == "ditto.sweeping.search.Search"
    assert cfg.hydra.sweeper.max_failure_rate == 1.0
    sampler = cfg.hydra.sweeper.sampler
    assert sampler._target_.endswith("GridSampler") or sampler.seed == 0, "a study can be repeated"
    assert (cfg.prompts_split, cfg.objective._target_) == ("val", "ditto.objective.Score")
    assert record.searched(name) == list(cfg.hydra.sweeper.params)
    for option in cfg.hydra.sweeper.params:
        assert isinstance(OmegaConf.select(cfg, option), int | float), option
    build(OmegaConf.to_container(cfg.objective), "objective")
    build(OmegaConf.to_container(cfg.method, resolve=True), "method")
    build(OmegaConf.to_container(cfg.task.control, resolve=True), "task.control")


def test_what_is_searched_is_what_eval_tuning_chooses_from():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = compose("tuning").searched
    searched = {name: record.searched(name) for name in SEARCHES if name not in BASES}
    assert searched == {method: [f"method.{of.option}"] for method, of in chosen.items()}


@pytest.mark.parametrize("method", TUNED)
def test_a_tuned_method_is_its_method_with_the_value_of_its_task(method):
    base = method.removesuffix("_tuned")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        of = compose("tuning").searched[base]
    untuned = composed(f"method={method}", "task=brightness").method  # a task that nothing is tuned for
    plainly = composed(f"method={base}", "task=brightness").method
    assert {**untuned, "scale": 1.0} == {**plainly, "scale": 1.0}
    tuned = composed(f"method={method}", "task=brightness", f"++tuned.{base}.{of.tuned}.brightness=0.077").method
    assert OmegaConf.select(tuned, of.option) == 0.077


def test_an_objective_is_no_part_of_a_runs_name():
    ids = {run_id(identity(plain(composed("model=toy", *more)), [])) for more in ([], ["objective=score"])}
    assert len(ids) == 1


def made(folder, clips, status="done", gain=1.0, task="intensity"):
    """A run of these clips (metrics each)."""
    (folder / "audio").mkdir(parents=True)
    wave = 0.02 * np.random.default_rng(0).normal(size=4000)
    for name in (f"clip{k}" for k in range(len(clips))):
        soundfile.write(folder / "audio" / f"{name}.flac", gain * wave, 22050)
        soundfile.write(folder / "audio" / f"{name}.text_only.flac", wave, 22050)
    metrics = {f"clip{k}": clip for k, clip in enumerate(clips)}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    about = {"status": status, "names": {"task": task}, "metric": f"{task}_mse"}
    (folder / "status.json").write_text(json.dumps(about))
    return folder


def clip(value, text_only=40.0, metric="intensity_mse"):
    return {metric: value, f"{metric}_text_only": text_only}


def score(**of):
    metrics = {"intensity": ["intensity_mse"], "both": ["intensity_mse", "melody_accuracy"]}
    return Score(**{"metrics": metrics, "perfect": {"melody_accuracy": 100.0}, "level_db": 9.0, **of})


def test_the_score_is_the_share_of_text_onlys_error(tmp_path):
    assert score()(made(tmp_path / "a", [clip(10.0), clip(30.0)])) == pytest.approx(0.5)
    both = clip(10.0) | clip(55.0, 10.0, "melody_accuracy")
    assert score()(made(tmp_path / "b", [both], task="both")) == pytest.approx((0.25 + 0.5) / 2)
    own = made(tmp_path / "c", [clip(4.0, 16.0, "loudness_mse")], task="loudness")  # no metrics are listed for it
    assert score()(own) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("clips", "of", "why"),
    [
        ([clip(1.0), {"failed": "non-finite gradient"}], {}, "1 clips failed"),
        ([clip(1.0)], {"gain": 9.0}, r"\+19.1 dB against text-only"),
        ([clip(1.0)], {"gain": 0.1}, "-20.0 dB against text-only"),
        ([clip(1.0)], {"status": "failed"}, "not done"),
        ([clip(1.0), clip(math.nan)], {}, "no value"),
        ([clip(1.0, text_only=0.0)], {}, "no value"),
        ([{"intensity_mse": 1.0}], {}, "text_only_beside"),
        ([], {}, "text_only_beside"),
    ],
)
def test_a_run_that_looks_good_and_is_not_has_no_score(tmp_path, capsys, clips, of, why):
    assert math.isnan(score()(made(tmp_path / "run", clips, **of)))
    assert re.search(why, capsys.readouterr().err)


def test_a_recording_has_a_level_of_its_own(tmp_path):
    run = made(tmp_path / "run", [clip(20.0)], gain=9.0)
    assert math.isnan(score()(run))
    assert score(own_level=["intensity"])(run) == pytest.approx(0.5)


def test_a_run_without_a_number_is_a_failed_trial_and_not_a_bad_one(tmp_path):
    assert float(Outcome("a", tmp_path, "done", objective=0.5)) == 0.5
    with pytest.raises(ValueError, match="nothing to minimise"):
        float(Outcome("a", tmp_path, "done"))


def test_a_list_asks_for_studies_and_an_interval_is_a_dimension():
    asked = ["+search=freedom", "task=intensity,melody", "method.repeats=1,2", "method.rate=interval(0.1,1)"]
    assert list(studies(asked)) == [
        ["+search=freedom", f"task={task}", f"method.repeats={repeats}", "method.rate=interval(0.1,1)"]
        for task in ("intensity", "melody")
        for repeats in (1, 2)
    ]


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Search on the toy model in an empty directory; returns the exit code and (task, rate) -> when it was made."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main(["-m", "+search=freedom", *TOY, *arguments])
        configs = [(path, OmegaConf.load(path / "config.yaml")) for path in runs.run_paths("runs")]
        return code, {(cfg.task.name, cfg.method.rate): made_at(path) for path, cfg in configs}

    return call


def made_at(path):
    return (path / "metrics.json").stat().st_mtime_ns


def test_the_same_command_repeats_no_trial_and_makes_the_one_that_is_missing(search, tmp_path, capsys):
    code, first = search("task=intensity,brightness")
    assert code == 0
    assert sorted(task for task, _ in first) == ["brightness"] * 3 + ["intensity"] * 3
    assert len({rate for _, rate in first}) == 3, "every study begins with the same trials"
    assert search("task=intensity,brightness") == (0, first)
    gone = runs.run_paths("runs")[0]
    shutil.rmtree(gone)
    _, again = search("task=intensity,brightness")
    assert set(again) == set(first)
    assert sum(again[trial] != first[trial] for trial in first) == 1
    _, further = search("task=intensity", "hydra.sweeper.n_trials=4")
    assert {trial: further[trial] for trial in again} == again
    assert len(further) == 7
    said = capsys.readouterr().out
    assert "task=brightness: method.rate=" in said

    cfg = OmegaConf.create({"runs": "runs", "results": "out", "model_name": "toy", "objective": score_config()})
    table = pd.read_csv(record.run(cfg)["freedom"])
    assert list(table["task"]) == ["brightness"] * 3 + ["intensity"] * 4
    assert list(table["trial"]) == [0, 1, 2, 0, 1, 2, 3]
    assert set(zip(table["task"], table["rate"].round(4), strict=True)) == {(t, round(r, 4)) for t, r in further}
    assert table["score"].notna().all()
    assert set(table["state"]) == {"done"}


def score_config():
    return {**OmegaConf.load(CONF / "objective" / "score.yaml"), "level_db": 90.0}


class Odd(Score):
    """An objective without a value for about every second run."""

    def __call__(self, path):
        return 1.0 if int(path.name, 16) % 2 else math.nan


def test_a_ladder_is_tried_value_by_value(search):
    ladder = "hydra.sweeper.params={method.rate:'choice(0.1,0.4,0.2)'}"
    code, made = search("task=intensity", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=9", ladder)
    assert (code, sorted(rate for _, rate in made)) == (0, [0.1, 0.2, 0.4])


def test_a_trial_without_a_score_ends_no_study(search, capsys):
    code, made = search("task=intensity", "objective._target_=tests.test_search.Odd")
    assert (code, len(made)) == (0, 3)
    assert "score 1" in capsys.readouterr().out


def test_a_study_without_any_score_is_told_in_the_summary(search, capsys):
    code, made = search("task=intensity", "objective.level_db=0.0")
    assert (code, len(made)) == (2, 3)
    said = capsys.readouterr()
    assert "dB against text-only" in said.err
    assert re.search(r"no trial of \+search=freedom .* has a score", said.out)
    assert "3 done" in said.out


def test_no_search_no_record(tmp_path):
    cfg = {"runs": str(tmp_path), "results": str(tmp_path), "model_name": "toy", "objective": score_config()}
    with pytest.raises(UserError, match="no search left trials"):
        record.run(OmegaConf.create(cfg))
