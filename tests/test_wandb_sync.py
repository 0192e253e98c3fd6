"""W&B runs rebuilt from run directories alone."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

from ditto.loggers import evaluation, mode, service
from ditto.loggers.sync import sync
from ditto.types import UserError
from tests.wandb_cases import faked, made
from tests.wandb_reader import offline_folders, read


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    yield
    service.end()


def without_clock(values):
    return {key: value for key, value in values.items() if key not in ("_runtime", "_timestamp", "_wandb/runtime")}


def comparable(seen):
    """What a dashboard shows, without times of upload and addresses of tables."""
    rows = [without_clock(row) for row in seen.rows if "clip_table/path" not in row]
    summary = {
        k: v for k, v in without_clock(seen.summary).items() if not k.startswith("clip_table/") or k.endswith("rows")
    }
    return rows, summary, seen.config, seen.axes, list(seen.run.tags), seen.run.run_group


def test_rebuilt_from_its_directory_a_run_is_what_its_mirror_made_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = made(tmp_path / "runs", "sweep=night", "pictures=false")
    assert sync([path], "ditto", None, False, online=False) == [(path.name, "synced already")]
    for name in ("mirrored", "logged.offline"):
        (path / "wandb" / f"{name}.json").unlink()
    assert sync([path], "ditto", None, False, online=False) == [(path.name, "uploaded")]
    mirrored, rebuilt = (comparable(read(folder)) for folder in offline_folders(path))
    assert mirrored == rebuilt
    assert sync([path], "ditto", None, False, online=False) == [(path.name, "synced already")]
    assert sync([path], "other", None, True, online=False) == [(path.name, "would be uploaded")]


def test_runs_without_any_wandb_files_are_uploaded_and_a_broken_one_ends_nothing(tmp_path):
    good, broken, running, last = (faked(tmp_path / name) for name in ("good", "broken", "running", "last"))
    (broken / "config.yaml").write_text("{")
    (running / "status.json").write_text(json.dumps({"status": "running"}))
    outcomes = dict(sync([good, broken, running, last], "ditto", None, False, online=False))
    assert outcomes.pop("broken").startswith("failed: ")
    assert outcomes == {"good": "uploaded", "running": "not finished (running)", "last": "uploaded"}
    seen = read(offline_folders(last)[0])
    assert seen.summary["control/error"] == pytest.approx(100 - 61.0)
    assert seen.summary["control/ratio"] == pytest.approx(39 / 80)
    assert [x for x, _ in seen.curve("optimisation/step", "optimisation/loss")] == list(range(8))


def test_a_dry_run_writes_nothing(tmp_path):
    path = faked(tmp_path / "a")
    assert sync([path], "ditto", None, True) == [("a", "would be uploaded")]
    assert not (path / "wandb").exists()


def test_without_a_key_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(mode, "has_key", lambda: False)
    with pytest.raises(UserError, match="wandb login"):
        sync([faked(tmp_path / "a")], "ditto", None, False)


def test_online_a_run_is_continued_and_then_skipped(tmp_path, monkeypatch):
    asked = []

    class Online:
        def __init__(self):
            self.summary = {}

        project, entity, starting_step = "ditto", "me", 0
        settings = type("Settings", (), {"mode": "online"})

        def __getattr__(self, name):
            return lambda *_, **__: None

    monkeypatch.setattr(mode, "has_key", lambda: True)
    monkeypatch.setattr(mode, "reachable", lambda: True)
    monkeypatch.setattr(wandb, "init", lambda **options: asked.append(options) or Online())
    path = faked(tmp_path / "a")
    assert sync([path], "ditto", "me", False) == [("a", "uploaded")]
    assert (asked[0]["id"], asked[0]["resume"], asked[0]["mode"], asked[0]["entity"]) == ("a", "allow", "online", "me")
    assert sync([path], "ditto", None, False) == [("a", "synced already")]
    (path / "status.json").write_text((path / "status.json").read_text().replace("1.0", "2.0"))
    assert sync([path], "ditto", None, True) == [("a", "would be uploaded")], "made again since"


def test_what_falls_offline_on_the_way_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(mode, "has_key", lambda: True)
    answers = iter([True, False])
    monkeypatch.setattr(mode, "reachable", lambda: next(answers))
    ((_, outcome),) = sync([faked(tmp_path / "a")], "ditto", None, False)
    assert outcome.startswith("failed: ConnectionError")


def test_figures_of_an_evaluation_go_into_the_summaries(tmp_path, monkeypatch):
    path = faked(tmp_path / "a")
    (tmp_path / "evaluation").mkdir()
    rows = (
        "run,task,method,metric,value,n\na,melody,ditto,fad_pc8,0.5,3\na,melody,ditto,seam_db,,3\ngone,,,fad_pc8,1,3\n"
    )
    (tmp_path / "evaluation" / "runs.csv").write_text(rows)
    sync([path], "ditto", None, False, online=False)
    assert read(offline_folders(path)[0]).summary["eval/fad_pc8"] == 0.5

    written = {}

    class Api:
        def run(self, place):
            if place.endswith("gone"):
                raise ValueError("no such run")
            return type("Run", (), {"summary": written.setdefault(place, {})})

    monkeypatch.setattr(wandb, "Api", Api)
    assert evaluation.main(["--runs-dir", str(tmp_path), "--project", "p", "--entity", "me"]) == 1
    assert written == {"me/p/a": {"eval/fad_pc8": 0.5}}


@pytest.mark.parametrize(("outcome", "code"), [("uploaded", 0), ("failed: boom", 1)])
def test_the_command_hands_over_finished_runs_and_ends_with_1_where_one_failed(monkeypatch, capsys, outcome, code):
    from ditto.runs import __main__ as command

    runs = [SimpleNamespace(path=Path("runs") / name, status=name) for name in ("done", "failed", "running")]
    chosen, asked = [], []
    monkeypatch.setattr(command, "select", lambda *words: chosen.append(words) or runs)
    monkeypatch.setattr(
        "ditto.loggers.sync.sync",
        lambda paths, *rest: asked.append((paths, *rest)) or [(path.name, outcome) for path in paths],
    )
    options = ["--project", "p", "--entity", "me", "--dry-run", "--runs-dir", "there"]
    assert command.main(["sync-wandb", "run=0123", *options]) == code
    assert chosen == [("there", ["run=0123"])]
    assert asked == [([Path("runs/done")], "p", "me", True)]
    assert f"done: {outcome}" in capsys.readouterr().out
