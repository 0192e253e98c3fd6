"""python -m ditto.runs: filters, comparison, export, what failed and how to make it again."""

import subprocess
import sys
import time

import pandas as pd
import pytest

from ditto import atomic, runs
from ditto.run_directory import RunDirectory
from ditto.runs.__main__ import main
from ditto.runs.compare import cells, clip_values, comparison, remarks, same_clips
from ditto.runs.durations import spell
from ditto.runs.filters import moment_of, select
from ditto.runs.pair import differing_options, metrics_side_by_side
from ditto.runs.reading import flat, read_run
from tests.run_directories import CLIPS, begin, make, save_clips

CONFIG = "seed: 0\nsampler:\n  steps: {}\n  eta: 0.0\nmethod:\n  lr: {}\nruns_dir: {}\nprompt:\n- a song\n- another\n"


@pytest.fixture
def some(tmp_path):
    """Runs by a short name: two settings of ditto and one of freedom on melody, ditto on intensity, a failed one."""
    about = {
        "slow": ("melody", "ditto", 50, 0.1, 1.0),
        "fast": ("melody", "ditto", 20, 0.1, 3.0),
        "freedom": ("melody", "freedom", 50, 1.0, 4.0),
        "loud": ("intensity", "ditto", 50, 0.1, 5.0),
    }
    made = {
        name: make(
            tmp_path,
            {"a": name},
            value,
            names={"task": task, "method": method},
            config=CONFIG.format(steps, lr, name),
        )
        for name, (task, method, steps, lr, value) in about.items()
    }
    failed = RunDirectory(tmp_path, {"a": "failed"})
    with failed.lock():
        begin(failed, {"task": "melody", "method": "freedom"}, CONFIG.format(50, 9.0, "x"))
        failed.stop("failed", "RuntimeError: boom", "Traceback ... boom")
    undefined = RunDirectory(tmp_path, {"a": "undefined"})
    with undefined.lock():
        begin(undefined, {"task": "melody", "method": "masking"})
        undefined.stop("undefined", "masking has no meaning for melody")
    jobs = [{"run": run.id, "overrides": [f"task={name}"]} for name, run in {**made, "failed": failed}.items()]
    atomic.write_json(
        tmp_path / ".sweeps/night/plan.json",
        {"name": "night", "command": ["-m", "task=melody", "prompt=a b"], "jobs": jobs[1:], "started": 1.0},
    )
    return tmp_path, {**made, "failed": failed, "undefined": undefined}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], "slow fast freedom loud failed"),
        (["task=melody", "method=ditto"], "slow fast"),
        (["method=ditto,freedom", "status=done", "task=mel*"], "slow fast freedom"),
        (["method!=ditto"], "freedom failed"),
        (["status=failed"], "failed"),
        (["status=undefined"], "undefined"),
        (["sampler.steps=50", "task=melody"], "slow freedom failed"),
        (["sampler.steps!=50"], "fast"),
        (["method.lr=1"], "freedom"),
        (["sweep=night"], "fast freedom loud failed"),
        (["sweep=n*", "sampler.eta=0"], "fast freedom loud failed"),
        (["sweep=day"], ""),
        (["since=1h"], "slow fast freedom loud failed"),
        (["before=1h"], ""),
        (["since=2020-01-31", "task=intensity"], "loud"),
    ],
)
def test_filters_choose(some, words, names):
    folder, made = some
    assert {run.id for run in select(folder, words)} == {made[name].id for name in names.split()}
    assert set(runs.summary(folder, words).get("run", [])) == {made[name].id for name in names.split()}


def test_a_run_is_found_by_the_first_letters_of_its_id(some):
    folder, made = some
    assert [run.id for run in select(folder, [f"run={made['undefined'].id[:8]}"])] == [made["undefined"].id]


@pytest.mark.parametrize("word", ["bogus=1", "since=soon", "since=1x", "=3", "task=", "since=2026-99-01"])
def test_a_filter_that_means_nothing_is_one_line(some, capsys, word):
    assert main([word, "--runs-dir", str(some[0])]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_moments():
    assert moment_of("2d", now=1e6) == 1e6 - 172800
    assert moment_of("1.5h", now=1e6) == 1e6 - 5400
    assert moment_of("2026-11-23") == time.mktime((2026, 11, 23, 0, 0, 0, 0, 0, -1))


def test_the_configuration_read_in_sections_is_the_whole(some):
    _, made = some
    config = read_run(made["fast"].path).config
    assert config["prompt"] == ["a song", "another"]
    assert (config["seed"], config["sampler.steps"], config["method.lr"], config["runs_dir"]) == (0, 20, 0.1, "fast")
    assert flat({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "d": [1]}


def test_methods_side_by_side(some):
    folder, made = some
    chosen = cells(select(folder))
    values = clip_values(chosen)
    table = comparison(values)
    row = table.loc[("melody", "toy", "intensity_mse")]
    assert row["freedom"] == "4 (2)"
    assert row["text-only beside"] == "8 (2)"
    assert row["ditto"] == "3 (2)", "of two settings with as many clips the newest is shown, and they are not pooled"
    assert any("ditto (of 2, run " + made["fast"].id[:6] in line for line in remarks(chosen, values))
    assert table.loc[("intensity", "toy", "intensity_mse"), "freedom"] == "-"
    by_steps = comparison(clip_values(cells(select(folder, ["method=ditto", "task=melody"]), by="sampler.steps")))
    assert list(by_steps[["20", "50"]].iloc[0]) == ["3 (2)", "1 (2)"]


def test_runs_that_differ_in_their_clips_alone_are_one_cell(tmp_path):
    make(tmp_path, {"a": 1}, 1.0, config="seed: 0\nprompts_n: 2\nmethod:\n  lr: 1\n")
    other = make(tmp_path, {"a": 2}, 3.0, config="seed: 8\nprompts_n: 4\nmethod:\n  lr: 1\n")
    metrics = atomic.read_json(other.path / "metrics.json")
    moved = {clip: {**values, "seed": values["seed"] + 8} for clip, values in metrics.items()}
    status = other.status
    atomic.write_json(other.path / "metrics.json", moved)
    del status["files"]
    atomic.write_json(other.path / "status.json", status)
    chosen = cells(select(tmp_path))
    assert comparison(clip_values(chosen))["ditto"].tolist() == ["2 (4)"]
    make(tmp_path, {"a": 3}, 5.0, names={"method": "freedom"})
    values = clip_values(cells(select(tmp_path)))
    assert any("--same-clips" in line for line in remarks(chosen, values))
    assert comparison(same_clips(values))[["ditto", "freedom"]].iloc[0].tolist() == ["1 (2)", "5 (2)"]


def test_two_runs_side_by_side(some, capsys):
    folder, made = some
    slow, fast = read_run(made["slow"].path), read_run(made["fast"].path)
    assert differing_options(slow, fast) == {"sampler.steps": (50, 20)}, "runs_dir changes nothing that is made"
    frame = metrics_side_by_side(slow, fast)
    errors = frame[frame.metric == "intensity_mse"]
    assert errors["clip"].tolist() == [*CLIPS, "mean of 2"]
    assert errors["b - a"].tolist() == [2.0, 2.0, 2.0]
    assert main(["compare", slow.id[:8], fast.id[:8], "--runs-dir", str(folder)]) == 0
    assert "sampler.steps  50 -> 20" in capsys.readouterr().out
    assert main(["compare", slow.id[:8], "--runs-dir", str(folder)]) == 2
    assert main(["compare", slow.id[:8], "none", "--runs-dir", str(folder)]) == 2


def test_export(some, tmp_path, capsys):
    folder, made = some
    file = tmp_path / "out.csv"
    assert main(["export", str(file), "--runs-dir", str(folder), "task=melody"]) == 0
    table = pd.read_csv(file)
    assert set(table["run"]) == {made[name].id for name in ("slow", "fast", "freedom", "failed")}
    assert table.set_index("run").loc[made["slow"].id, "mean"] == 1.0
    assert table.set_index("run").loc[made["fast"].id, "sweep"] == "night"
    assert main(["export", str(file), "--clips", "--runs-dir", str(folder), "method=freedom"]) == 0
    clips = pd.read_csv(file)
    assert clips["clip"].tolist() == [0, 1]
    assert clips["intensity_mse"].tolist() == [4.0, 4.0]
    assert main(["export", "out.txt", "--runs-dir", str(folder)]) == 2
    capsys.readouterr()


def test_what_failed_and_the_command_that_makes_it_again(some, capsys):
    folder, made = some
    assert main(["failed", "--runs-dir", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "1 failed: RuntimeError: boom" in text
    assert made["failed"].id in text
    assert "1 of them again: python -m ditto.run -m task=melody 'prompt=a b' retry=true" in text
    assert main(["failed", "method=ditto", "--runs-dir", str(folder)]) == 0
    assert capsys.readouterr().out == "nothing failed\n"


def test_show_tells_how_it_ended(some, capsys):
    folder, made = some
    assert main(["show", made["failed"].id, "--runs-dir", str(folder)]) == 0
    assert "Traceback ... boom" in capsys.readouterr().out
    assert main(["show", made["fast"].id, "--runs-dir", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "a small one, abc" in text
    assert "night" in text


def test_an_interrupted_run_tells_how_many_clips_it_has(tmp_path):
    run = RunDirectory(tmp_path, {})
    with run.lock():
        begin(run)
        save_clips(run, CLIPS[:1])
        row = runs.summary(tmp_path).iloc[0]
    assert (row.status, row.clips) == ("running", "1/2")


def test_upload_hands_over_the_finished_runs_that_are_meant(some, monkeypatch, capsys):
    folder, made = some
    asked = []

    def sync(paths, project, entity, dry_run):
        asked.append(([path.name for path in paths], project, entity, dry_run))
        return [(path.name, "uploaded") for path in paths]

    monkeypatch.setattr("ditto.loggers.sync.sync", sync)
    words = ["sync-wandb", "method=freedom", "--project", "p", "--dry-run", "--runs-dir", str(folder)]
    assert main(words) == 0
    assert asked == [([made["freedom"].id], "p", None, True)]
    assert f"{made['freedom'].id}: uploaded" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_ends_it_quietly(some):
    words = [sys.executable, "-m", "ditto.runs", "--runs-dir", str(some[0])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    process.stdout = None
    assert process.communicate()[1] == ""


def test_no_runs_is_no_error(tmp_path, capsys):
    for words in ([], ["failed"], ["compare"], ["verify"], ["task=melody"], ["sampler.steps=5"]):
        assert main([*words, "--runs-dir", str(tmp_path / "none")]) == 0
    assert main(["watch", "--runs-dir", str(tmp_path / "none")]) == 2
    assert "no sweep in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (3725, "1 h 02 min"), (200000, "2 d 07 h")],
)
def test_durations_in_words(seconds, words):
    assert spell(seconds) == words
