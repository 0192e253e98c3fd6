"""The command on the toy model: files, skipping, sweeps, kill -9 and resume, two launchers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import soundfile
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file

from ditto import job, runs
from tests.conftest import TOY


def read(path):
    return json.loads(path.read_text())


def without_times(metrics):
    timing = ("seconds", "peak_memory_gib")
    return {clip: {k: v for k, v in values.items() if k not in timing} for clip, values in metrics.items()}


def test_run_writes_everything_and_is_skipped_the_second_time(go, tmp_path, capsys):
    code, (path,) = go("prompt=[a calm song, a fast song]", "pictures=true", "seed=5")
    assert code == 0
    metrics, history = read(path / "metrics.json"), read(path / "history.json")
    assert [(m["prompt"], m["seed"], m["steps"]) for m in metrics.values()] == [
        ("a calm song", 5, 2),
        ("a fast song", 6, 2),
    ]
    for clip, values in metrics.items():
        assert values["intensity_mse"] < values["intensity_mse_text_only"]
        assert len(history[clip]["loss"]) == 2
        assert soundfile.info(path / f"audio/{clip}.flac").samplerate == 22050
        assert (path / f"audio/{clip}.text_only.flac").exists()
        assert (path / f"pictures/{clip}.png").read_bytes().startswith(b"\x89PNG")
    with safe_open(path / "x_T.safetensors", "pt") as file:
        assert json.loads(file.metadata()["clip_ids"]) == list(metrics)
        assert file.get_tensor("x_T").shape == (2, 1, 16, 32)
    assert {"commit", "packages", "device", "weights"} <= set(read(path / "environment.json"))
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}, "Hydra must leave nothing"

    before = (path / "metrics.json").stat().st_mtime_ns
    capsys.readouterr()
    code, _ = go("prompt=[a calm song, a fast song]", "pictures=true", "seed=5")
    assert code == 0
    assert "already done" in capsys.readouterr().out
    assert (path / "metrics.json").stat().st_mtime_ns == before
    go("prompt=[a calm song, a fast song]", "seed=5", "overwrite=true")
    assert (path / "metrics.json").stat().st_mtime_ns > before


def test_the_same_clips_are_the_same_run_wherever_they_come_from(go, tmp_path):
    Path("prompts.txt").write_text("# two songs\na calm, slow song\n\na fast song's end\n")
    go("prompts_file=prompts.txt")
    code, paths = go("""prompt=["a calm, slow song", "a fast song's end"]""", "batch_size=1", "device=cpu")
    assert code == 0
    assert len(paths) == 1


def test_an_ordinary_prompt_needs_no_second_quoting(go):
    code, (path,) = go("prompt=rock, 120 bpm: it's {loud} (very) & 100%")
    assert code == 0
    assert next(iter(read(path / "metrics.json").values()))["prompt"] == "rock, 120 bpm: it's {loud} (very) & 100%"


def test_sweep_makes_a_run_per_combination_and_goes_on_after_a_failure(go, capsys):
    code, paths = go("-m", "method=ditto,text_only", "seed=0,1", "task=intensity,inpainting", "model.frames=64")
    out = capsys.readouterr().out
    assert code == 2, "the gap does not fit the toy's clip"
    assert "8 runs: 4 done, 4 error" in out
    assert sum(runs.state(path)[0] == "done" for path in paths) == 4
    assert all("gap_s" in runs.state(path)[1] for path in paths if runs.state(path)[0] == "failed")
    table = runs.load_runs("runs").set_index("method").intensity_mse
    assert table["ditto"].mean() < table["text_only"].mean()


def test_outpainting_in_rounds_lengthens_the_clip(go):
    code, (path,) = go("task=outpainting", "task.control.overlap_s=0.1", "task.control.repeats=2")
    assert code == 0
    clip = next(iter(read(path / "metrics.json")))
    overlap, length = round(0.1 * 22050 / 256) * 256, 32 * 256
    assert soundfile.info(path / f"audio/{clip}.flac").frames == 3 * length - 2 * overlap
    assert "x_T_1" in load_file(path / "x_T.safetensors")
    assert read(path / "metrics.json")[clip]["steps"] == 4


def test_an_error_of_ours_is_recorded_with_its_traceback_and_tried_again(go, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr("ditto.optimization.Ditto.__call__", broken)
        code, (path,) = go()
    assert code == 1
    assert "RuntimeError: boom" in capsys.readouterr().err
    assert "broken" in read(path / "status.json")["traceback"]
    assert go("retry=false")[0] == 1
    assert "failed earlier" in capsys.readouterr().err
    assert go()[0] == 0
    assert runs.state(path)[0] == "done"


def test_interrupt_keeps_finished_clips(go, monkeypatch):
    made = []

    def interrupt(run, clip_id, *rest):
        if made:
            raise KeyboardInterrupt
        made.append(clip_id)
        return save(run, clip_id, *rest)

    save = job.RunDirectory.save_clip
    with monkeypatch.context() as patch:
        patch.setattr(job.RunDirectory, "save_clip", interrupt)
        code, (path,) = go("prompt=[a, b, c]", "batch_size=1")
    assert code == 130
    assert runs.state(path)[0] == "interrupted"
    assert (path / "clips" / f"{made[0]}.json").exists()
    assert go("prompt=[a, b, c]", "batch_size=1")[0] == 0
    assert len(read(path / "metrics.json")) == 3


def test_a_run_that_is_asked_to_stop_when_it_is_done_stays_done(go, monkeypatch):
    def interrupt(run, *rest):
        finish(run, *rest)
        raise KeyboardInterrupt

    finish = job.RunDirectory.finish
    with monkeypatch.context() as patch:
        patch.setattr(job.RunDirectory, "finish", interrupt)
        code, (path,) = go()
    assert code == 130
    assert runs.state(path)[0] == "done"


def test_killed_run_goes_on_and_equals_an_uninterrupted_one(go, tmp_path, capsys):
    many = ["prompt=[a, b, c, d]", "batch_size=1", "task.steps=60"]
    command = [sys.executable, "-m", "ditto.run", *TOY, *many]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        first = _first_clip(tmp_path / "runs", process)
        process.send_signal(signal.SIGSTOP)
        code, (path,) = go(*many)  # a second launcher of the same run leaves it alone
        assert code == 0
        assert f"busy, pid {process.pid}" in capsys.readouterr().out
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (path / "metrics.json").exists()
    assert runs.state(path)[0] == "killed"
    untouched = first.stat().st_mtime_ns
    assert untouched
    assert go(*many)[0] == 0
    assert go(*many, "runs_dir=whole")[0] == 0
    whole = tmp_path / "whole" / path.name
    assert without_times(read(path / "metrics.json")) == without_times(read(whole / "metrics.json"))
    assert load_file(path / "x_T.safetensors")["x_T"].equal(load_file(whole / "x_T.safetensors")["x_T"])


def _first_clip(folder, process):
    for _ in range(2400):
        found = sorted(folder.glob("*/clips/*.json"))
        if found:
            return found[0]
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.05)
    raise AssertionError("no clip was finished within two minutes")


def test_retrained_weights_of_a_method_make_another_run(tmp_path):
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from ditto.identity import identity
    from ditto.run import CONF

    def made(*overrides):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("run", ["model=toy", *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        return identity(cfg, [])

    assert "readout.safetensors" in made("method=readout")["method_weights"]
    assert "method_weights" not in made("method=freedom")
    hashes = []
    for content in ("one", "another"):
        (tmp_path / "heads.safetensors").write_text(content)
        hashes.append(made("method=readout", f"method.weights={tmp_path}")["method_weights"]["heads.safetensors"])
    assert hashes[0] != hashes[1]


def test_a_length_in_seconds_is_the_same_run_as_in_frames(go, capsys):
    code, (first,) = go("method=text_only", "seconds=0.5")
    assert code == 0
    (sound,) = (first / "audio").glob("*.flac")
    assert soundfile.info(sound).frames == 43 * 256
    assert go("method=text_only", "frames=43")[1] == [first]
    assert "already done" in capsys.readouterr().out
    assert OmegaConf.load(first / "config.yaml").frames == 43
    code, _ = go("method=text_only", "frames=43", "seconds=0.5")
    assert code == 2
    assert "keep one of them" in capsys.readouterr().err


def test_the_models_own_length_in_seconds_changes_nothing(go):
    code, plain = go("method=text_only")
    assert code == 0
    assert go("method=text_only", f"seconds={32 * 256 / 22050}")[1] == plain


def test_a_length_that_the_model_cannot_make_is_refused(go, capsys):
    code, paths = go("method=text_only", "+model.stride=4", "frames=34")
    assert (code, paths) == (2, [])
    assert "makes multiples of 4: set frames=32" in capsys.readouterr().err
    assert go("method=text_only", "+model.stride=4", "frames=36")[0] == 0
