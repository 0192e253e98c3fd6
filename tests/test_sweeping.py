"""Sweeps of the command in this process: plans, what is skipped, retried or refused, and how they end."""

import errno
import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from ditto import job, runs
from ditto.outcome import outcomes
from ditto.run import main
from ditto.run_directory import RunDirectory, disk_errors, read_json

TOY = ["-m", "model=toy", "model.frames=16", "sampler.steps=2", "task.steps=1", "progress=false", "pictures=false"]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: main([*TOY, "memory=store", *words])


def plans():
    return [read_json(file) for file in sorted(Path("runs/.sweeps").glob("*/plan.json"))]


def made():
    return {path.name: runs.state(path)[0] for path in runs.run_paths("runs")}


@contextmanager
def before_saving(monkeypatch, happen):
    """`happen(run, clip_id)` just before a clip is saved."""
    save = RunDirectory.save_clip

    def saving(run, clip_id, *rest):
        happen(run, clip_id)
        return save(run, clip_id, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_clip", saving)
        yield


def statuses():
    return [outcome.status for outcome in outcomes()]


def test_a_plan_names_every_run_before_it_is_made(sweep, monkeypatch):
    seen = []

    def look(cfg, *rest):
        seen.append([len(plan["jobs"]) for plan in plans()])
        return execute(cfg, *rest)

    execute = job.execute
    monkeypatch.setattr(job, "execute", look)
    assert sweep("seed=1,2,3") == 0
    assert seen == [[3]] * 3
    (plan,) = plans()
    assert {entry["run"] for entry in plan["jobs"]} == set(made())
    assert [entry["overrides"][-1] for entry in plan["jobs"]] == ["seed=1", "seed=2", "seed=3"]
    config = (Path("runs") / plan["jobs"][0]["run"] / "config.yaml").read_text()
    assert f"sweep: {plan['name']}" in config


def test_the_same_command_is_the_same_sweep_and_makes_nothing_twice(sweep, capsys):
    sweep("seed=1,2")
    times = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/metrics.json")}
    assert sweep("seed=1,2", "retry=true", "batch_size=1") == 0
    assert statuses() == ["skipped", "skipped"]
    assert "2 jobs, 2 need nothing" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/metrics.json")} == times
    assert len(plans()) == 1
    sweep("seed=1,2,3")
    assert statuses() == ["skipped", "skipped", "done"]
    assert len(plans()) == 2


def test_a_run_that_is_asked_for_twice_is_made_once(sweep):
    assert sweep("seed=4", "batch_size=1,2,null") == 0
    assert len(made()) == 1
    assert statuses() == ["done"] * 3


def test_a_failed_job_is_recorded_and_retried_on_request_only(sweep, monkeypatch, capsys):
    def broken(run, options, clips, model):
        if clips[0].seed == 2:
            raise RuntimeError("boom")
        return make(run, options, clips, model)

    import ditto.batches

    make = ditto.batches.make_run
    with monkeypatch.context() as patch:
        patch.setattr(ditto.batches, "make_run", broken)
        assert sweep("seed=1,2,3") == 1
    out = capsys.readouterr().out
    assert "3 runs: 2 done, 1 failed" in out
    assert re.search(r"\(failed\): run \w+ failed: RuntimeError: boom", out)
    failed = next(name for name, status in made().items() if status == "failed")
    assert "boom" in read_json(Path("runs") / failed / "status.json")["traceback"]
    assert sweep("seed=1,2,3") == 1, "a sweep with a failed run in it has not ended well"
    assert "retry=true tries again" in capsys.readouterr().out
    assert sweep("seed=1,2,3", "retry=true") == 0
    assert set(made().values()) == {"done"}


def test_undefined_pairs_are_no_failures(sweep, capsys):
    assert sweep("task=intensity", "method=masking,text_only") == 0
    assert statuses() == ["undefined", "done"]
    assert "1 done, 1 undefined" in capsys.readouterr().out
    run = next(path for path, status in made().items() if status == "undefined")
    assert "choose task=" in runs.state(Path("runs") / run)[1]
    assert sweep("task=intensity", "method=masking,text_only") == 0
    assert statuses() == ["undefined", "skipped"]
    assert main([*TOY[1:], "method=masking"]) == 2, "by itself it is a mistake in the command"


def test_a_full_disk_stops_a_run_and_not_its_sweep_for_good(sweep, monkeypatch, capsys):
    """No retry=true is needed once there is space again."""

    def full(run, clip_id):
        if clip_id.endswith("s2"):
            with disk_errors(run.path):
                raise OSError(errno.ENOSPC, "No space left on device")

    with before_saving(monkeypatch, full):
        assert sweep("seed=1,2,3") == 1
    assert statuses() == ["done", "interrupted", "done"]
    assert "no space left on device" in capsys.readouterr().err
    assert sweep("seed=1,2,3") == 0
    assert statuses() == ["skipped", "done", "skipped"]


def test_a_mistake_in_one_job_leaves_the_others(sweep, capsys):
    assert sweep("seed=1,-2,3") == 2
    assert sorted(statuses()) == ["done", "done", "error"]
    assert "seed=-2: give 0 or more" in capsys.readouterr().out


def test_a_mistake_in_composing_is_found_before_anything_runs(sweep, capsys):
    assert sweep("task=intensity,melodie") == 2
    assert "there is no task=melodie" in capsys.readouterr().err
    assert not made()


def test_a_job_that_became_another_one_refuses(sweep, capsys):
    """A file of conf/ was edited between launching and running: the worker composes something else."""
    code = main([*TOY[1:], "memory=store", "seed=1", "run_id=0123456789abcdef"])
    assert code == 2
    assert "it was planned as run 0123456789abcdef and is now" in capsys.readouterr().err
    assert not made()


def test_ctrl_c_ends_the_sweep_with_what_is_there(sweep, monkeypatch, capsys):
    count = []

    def stop(run, clip_id):
        count.append(clip_id)
        if len(count) == 2:
            raise KeyboardInterrupt

    with before_saving(monkeypatch, stop):
        assert sweep("seed=1,2,3") == 130
    assert statuses() == ["done", "interrupted", "waiting"]
    captured = capsys.readouterr()
    assert "1 done, 1 interrupted, 1 waiting" in captured.out
    assert "the same command goes on" in captured.err
    assert sweep("seed=1,2,3") == 0
    assert set(made().values()) == {"done"}
    assert len(made()) == 3


def test_a_stock_launcher_becomes_the_engine_of_ours(sweep, capsys):
    assert sweep("hydra/launcher=basic", "seed=1,2") == 0
    assert "2 runs: 2 done" in capsys.readouterr().out
    assert plans()[0]["engine"] == "BasicLauncher"


def test_jobs_that_share_their_choices_are_composed_as_hydra_composes_them():
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from ditto.run import CONF, SEARCH
    from ditto.sweeping.composing import Composer

    def contents(config):
        plain = OmegaConf.to_container(config)
        assert plain["hydra"]["job"].pop("override_dirname")
        return plain

    values = [["seed=1"], ["seed=2", 'prompt=["a, b","c"]'], ["sampler.steps=7", "task.control={}"], ["++seed=3"]]
    values += [["+new.key=1"], ["~sampler.steps"], ["hydra.sweep.subdir=x"], ["setting=looping", "task.steps=9"]]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        master = hydra.compose_config("run", ["+experiment=paper_table1", SEARCH], run_mode=RunMode.MULTIRUN)
        composer = Composer(hydra.config_loader, master)
        for more in values:
            job = ["+experiment=paper_table1", "size=smoke", "method=freedom", *more]
            made = contents(composer(job))
            assert made == contents(hydra.config_loader.load_sweep_config(master, job)), more
        assert len(composer.composed) < len(values), "most of them share what was composed"
        first, again = composer(["seed=1"]), composer(["seed=2"])
        assert (first.seed, again.seed) == (1, 2), "a copy each"
        with pytest.raises(HydraException, match="Could not override 'nothing'"):
            composer(["nothing=1"])


def test_every_choice_of_launcher_and_sweeper_composes():
    from hydra import compose, initialize_config_dir
    from hydra.utils import get_class

    from ditto.run import CONF

    for group in ("launcher", "sweeper"):
        for file in sorted((CONF / "hydra" / group).glob("*.yaml")):
            with initialize_config_dir(str(CONF), version_base="1.3"):
                cfg = compose("run", [f"hydra/{group}={file.stem}"], return_hydra_config=True)
            assert get_class(cfg.hydra[group]._target_)


def test_few_runs_are_listed_and_of_many_those_that_failed():
    from ditto.outcome import Outcome
    from ditto.sweeping.summary import FEW, summary

    many = [Outcome(f"{k:016x}", Path(f"nowhere/{k}"), "done") for k in range(FEW)]
    assert f"{39:016x}" in summary(many)
    bad = Outcome("beef", Path("nowhere/beef"), "failed", "out of luck")
    text = summary([*many, bad])
    assert "beef" in text
    assert "out of luck" in text
    assert f"{39:016x}" not in text
    assert text.endswith("41 runs: 40 done, 1 failed")
    assert json.dumps(text)
