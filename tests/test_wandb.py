"""What a dashboard is given of a run, read back from W&B's offline files."""

import math
import subprocess
import sys

import pytest
import wandb

from ditto import job
from ditto.build import build
from ditto.loggers import service
from ditto.run import main
from tests.wandb_cases import PROMPTS, TOY, config_of, made, mean, only_run, read_json
from tests.wandb_reader import offline_folders, read


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(run directory, its W&B run) of three clips in two batches; two of them with curves, sound and picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        path = made(
            tmp_path_factory.mktemp("runs") / "r",
            "sweep=night",
            "objective=score",
            "objective.level_db=99",
            "logger.curves=2",
            "logger.media=2",
        )
    (folder,) = offline_folders(path)
    return path, read(folder)


@pytest.fixture(scope="module", autouse=True)
def no_service_left():
    yield
    service.end()


def test_id_group_job_type_tags_and_config_are_the_runs(run):
    path, seen = run
    assert seen.run.run_id == path.name
    assert (seen.run.run_group, seen.run.job_type, seen.run.project) == ("night", "ditto", "ditto")
    assert sorted(seen.run.tags) == ["intensity", "toy"]
    config = {key: value for key, value in seen.config.items() if key != "_wandb"}
    assert config == {**config_of(path), "run_id": path.name, "comparison": "intensity ditto"}
    assert seen.exit_code == 0


def test_every_step_has_the_means_of_its_batch_on_an_axis_of_its_own(run):
    path, seen = run
    history = list(read_json(path / "history.json").values())
    for name in ("loss", "metric", "gradient_norm"):
        batches = [history[:2], history[2:]]
        wanted = [mean([clip[name][k] for clip in batch]) for batch in batches for k in range(3)]
        curve = seen.curve("optimisation/step", f"optimisation/{name}")
        assert [x for x, _ in curve] == list(range(6))
        assert [y for _, y in curve] == pytest.approx(wanted)
        assert seen.axes[f"optimisation/{name}"] == "optimisation/step"


def test_only_the_first_clips_have_curves_of_their_own(run):
    path, seen = run
    history = read_json(path / "history.json")
    names = {key for row in seen.rows for key in row if key.startswith("clip_")} - {"clip_table"}
    named = {name.split("/")[1] for name in names if not name.startswith("clip_table")}
    assert named == set(list(history)[:2])
    for clip in named:
        assert seen.curve("clip/step", f"clip_loss/{clip}") == list(enumerate(history[clip]["loss"]))
    assert seen.axes["clip_loss/*"] == seen.axes["clip_metric/*"] == "clip/step"


def test_the_curve_over_all_clips_is_their_mean_step_by_step(run):
    path, seen = run
    history = read_json(path / "history.json").values()
    wanted = [mean([clip["loss"][k] for clip in history]) for k in range(3)]
    assert [y for _, y in seen.curve("curve/step", "curve/loss")] == pytest.approx(wanted)


def test_the_summary_is_the_means_of_metrics_json(run):
    path, seen = run
    clips = list(read_json(path / "metrics.json").values())
    names = [name for name, value in clips[0].items() if isinstance(value, float) and name != "seconds"]
    assert {"intensity_mse", "intensity_mse_text_only", "loss"} <= set(names)
    for name in names:
        assert seen.summary[name] == pytest.approx(mean([clip[name] for clip in clips]))
    error, beside = (mean([clip[name] for clip in clips]) for name in ("intensity_mse", "intensity_mse_text_only"))
    assert seen.summary["control/error"] == pytest.approx(error)
    assert seen.summary["control/ratio"] == pytest.approx(error / beside)
    assert seen.summary["seconds_per_clip"] == pytest.approx(mean([clip["seconds"] for clip in clips]))
    score, why = build(config_of(path)["objective"], "objective").judge(path)
    assert why == ""
    assert seen.summary["objective"] == pytest.approx(score)
    assert (seen.summary["clips"], seen.summary["clips_failed"], seen.summary["status"]) == (3, 0, "done")
    assert not any(key.startswith(("optimisation/", "clip/", "curve/")) for key in seen.summary)


def test_sound_and_pictures_of_the_first_clips_are_the_runs_own_files(run):
    path, seen = run
    (folder,) = offline_folders(path)
    clips = list(read_json(path / "metrics.json"))
    for key, kind, pattern in (
        ("media/audio", "audio", "audio/{}.flac"),
        ("media/text_only", "audio", "audio/{}.text_only.flac"),
        ("media/picture", "filenames", "pictures/{}.png"),
    ):
        shown = seen.summary[f"{key}/{kind}"]
        names = [item if isinstance(item, str) else item["path"] for item in shown]
        assert len(names) == 2
        for name, clip in zip(names, clips, strict=False):
            assert name in seen.files
            kept, mirrored = path / pattern.format(clip), folder / "files" / name
            assert mirrored.read_bytes() == kept.read_bytes()
            assert mirrored.stat().st_ino == kept.stat().st_ino, "stored twice"


def test_the_table_has_a_row_a_clip_to_be_compared_side_by_side(run):
    path, seen = run
    assert seen.summary["clip_table/nrows"] == 3
    table = read_json(seen.stored["clip_table.table.json"])
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    metrics = read_json(path / "metrics.json")
    assert [(row["clip"], row["prompt"], row["seed"]) for row in rows] == [
        (clip, values["prompt"], values["seed"]) for clip, values in metrics.items()
    ]
    assert [row["intensity_mse"] for row in rows] == pytest.approx([v["intensity_mse"] for v in metrics.values()])
    assert [row["audio"] is not None for row in rows] == [True, True, False]
    assert (rows[0]["picture"]["_type"], rows[0]["audio"]["_type"]) == ("image-file", "audio-file")
    for clip, row in list(zip(metrics, rows, strict=True))[:2]:
        assert seen.stored[row["audio"]["path"]].read_bytes() == (path / f"audio/{clip}.flac").read_bytes()
        assert seen.stored[row["picture"]["path"]].is_relative_to(path), "kept with the run, not in the user's home"


def test_a_resumed_run_goes_on_in_its_wandb_run_and_repeats_no_step(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    saved, save, asked, init = [], job.RunDirectory.save_clip, [], wandb.init
    monkeypatch.setattr(wandb, "init", lambda **options: asked.append(options) or init(**options))

    def interrupt(directory, clip_id, *rest):
        if len(saved) == 2:  # the second batch is optimised, and lost
            raise KeyboardInterrupt
        saved.append(clip_id)
        return save(directory, clip_id, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(job.RunDirectory, "save_clip", interrupt)
        assert main([*TOY, PROMPTS, f"runs_dir={tmp_path}", "pictures=false"]) == 130
    path = only_run(tmp_path)
    made(tmp_path, "pictures=false")
    first, second = (read(folder) for folder in offline_folders(path))
    assert first.run.run_id == second.run.run_id == path.name
    assert [options["resume"] for options in asked] == ["allow", "allow"]
    steps = [x for part in (first, second) for x, _ in part.curve("optimisation/step", "optimisation/loss")]
    assert steps == list(range(6))
    assert first.summary["status"] != "done"
    assert second.summary["status"] == "done"
    assert not first.curve("curve/step", "curve/loss")
    assert len(second.curve("curve/step", "curve/loss")) == 3


def test_switched_off_it_does_nothing_and_does_not_even_import_wandb(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ditto.loggers import WandbMirror as Mirror; m = Mirror();"
        "m.start('a', Path('.'), {}); m.step({}); m.clip('a', {}); m.close('done'); assert 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_flag_turns_it_off(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = made(tmp_path, "logger=none", "pictures=false", "task.steps=1")
    assert not (path / "wandb").exists()
    assert math.isfinite(next(iter(read_json(path / "metrics.json").values()))["loss"])
