"""Where tables have figures that are not a run's own means: thresholds, costs, listeners, inversion, reuse."""

import pandas as pd
import pytest

from eval.tables import command
from tests.run_cases import write_run
from tests.table_cases import config, line, long, made, without_sound, written


@pytest.fixture(autouse=True)
def _no_sound(monkeypatch):
    without_sound(monkeypatch)


def optimised(*losses):
    """A clip with this loss after 0, 1, ... steps."""
    return {"intensity_mse": losses[-1], "fad_pc8": 20.0, "tag_score": 0.1, "losses": list(losses)}


def efficiency(folder, **figures):
    """A csv of eval.efficiency: metric -> value, for DITTO at T = 20."""
    about = {"model": "embedded", "task": "intensity", "method": "ditto", "sampler_steps": 20, "memory": "checkpoint"}
    made_on = {"run": "", "device": "another CPU", "commit": "def", "weights": "w"}
    rows = [about | made_on | {"metric": m, "value": v, "low": v, "high": v, "n": 3} for m, v in figures.items()]
    (folder / "results").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "results/efficiency.csv", index=False)


def cells(folder, number, method="ditto", **where):
    """column -> row of the csv."""
    rows = long(folder, number).query("method == @method").set_index("column")
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows


def test_steps_to_the_threshold_leave_out_and_name_clips_that_never_reach_it(tmp_path):
    made(tmp_path, "ditto", [optimised(9.0, 5.0, 1.9, 1.0), optimised(9.0, 2.0, 1.0), optimised(9.0, 8.0, 7.0)])
    text = written(tmp_path, 5, "n=3")["md"]
    found = cells(tmp_path, 5, setting="T=20").loc["steps_to_threshold"]
    assert (float(found["ours"]), found["n"], found["reported"]) == (1.5, "2", 44.466)
    assert "1 of 3 clips of ditto never reach a loss of 2: 002_song_s2" in text


def test_costs_are_those_of_the_efficiency_command(tmp_path):
    made(tmp_path, "ditto", [optimised(9.0, 1.0)] * 2)
    efficiency(tmp_path, seconds_per_step=0.5, mean_gib=0.25, seconds_to_threshold=9.0, seconds_full=40.0)
    written(tmp_path, 5)
    found = cells(tmp_path, 5, setting="T=20")
    assert found["ours"][["seconds_per_step", "memory"]].tolist() == ["0.5", "0.25"]
    assert found.loc["memory"][["device", "commit", "command"]].tolist() == [
        "another CPU",
        "def",
        "python -m eval.efficiency",
    ]
    assert found.loc["fad"]["device"] == "a CPU"
    written(tmp_path, 11)
    latency = cells(tmp_path, 11)
    assert latency["ours"][["latency", "seconds_full"]].tolist() == ["9", "40"]
    assert latency.loc["latency"]["reported"] == "82.192"


def test_without_the_efficiency_csv_its_places_are_empty_and_say_the_command(tmp_path):
    made(tmp_path, "ditto", [optimised(9.0, 1.0)] * 2)
    text = written(tmp_path, 5)["md"]
    assert cells(tmp_path, 5, setting="T=20").loc["memory"]["ours"] == ""
    assert "python -m eval.efficiency" in text.partition("## Missing")[2]


def test_hours_of_training_are_named_where_they_are_not_recorded(tmp_path, monkeypatch):
    made(tmp_path, "ditto", [1.0, 1.0])
    monkeypatch.setattr("eval.tables.training.ROOT", tmp_path)
    text = written(tmp_path, 11)["md"]
    assert "hours of training: baselines/weights/controlnet/config.json does not tell" in text
    assert line(text, "DITTO")[4] == "0"
    folder = tmp_path / "baselines/weights/controlnet"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hours": 0.5, "device": "a CPU"}')
    text = written(tmp_path, 11)["md"]
    assert line(text, "ControlNet")[4] == "0.5"


def listening(folder, name, standin):
    about = {"standin": standin, "judge": "who judged", "model": "embedded", "device": "a CPU", "commit": "abc"}
    pair = {"task": "intensity", "method": "ditto vs freedom", "weights": "w", "run": "r", "n": 8}
    rows = [pair | about | {"metric": m, "value": v, "low": v - 1, "high": v + 1} for m, v in
            {"wins_percent": 60.0, "average_difference": 5.0}.items()]  # fmt: skip
    (folder / "results").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "results" / f"{name}.csv", index=False)


def test_the_stand_in_of_the_listening_test_is_named_in_the_title_of_its_columns(tmp_path):
    listening(tmp_path, "listening_standin", standin=True)
    text = written(tmp_path, 4)["md"]
    assert "wins, % (automatic stand-in, no listeners) ↑" in text
    assert "Nobody has listened yet" in text
    assert line(text, "DITTO against FreeDoM")[1:3] == ["60 [59, 61]", "71"]
    listening(tmp_path, "listening", standin=False)
    text = written(tmp_path, 4)["md"]
    assert "wins, % ↑" in text
    assert "stand-in" not in text


def test_a_stand_in_under_the_name_of_ratings_is_not_taken_for_them(tmp_path):
    listening(tmp_path, "listening", standin=True)
    assert "python -m eval.listening.standin" in command.missing(config(tmp_path, "tables=[4]"))


def inverted(folder, method, w, value, steps=20):
    clips = [{"reconstruction_mse": value, "reconstruction_db": 1.0}] * 2
    overrides = {"method": method, "task.steps": steps, "sampler.guidance_scale": w}
    write_run(folder, f"{method}-{w}", "paper_table7", overrides, clips)


def test_inversion_has_its_own_n_and_k_and_wants_runs_of_the_same_size(tmp_path):
    inverted(tmp_path, "null_text", 4, 0.2)
    inverted(tmp_path, "ditto_from_inversion", 4, 0.1)
    text = written(tmp_path, 7)["md"]
    assert "6 s: n = 2 recordings, K = 20 optimisation steps, T = 20." in text
    assert "**0.1** [0.1, 0.1] | **0.0025**" in text
    found = cells(tmp_path, 7, method="null_text", setting="6s w=4").loc["reconstruction_mse"]
    assert (found["ours"], float(found["reported"]), found["run"]) == ("0.2", 0.0055, "null_text-4")
    missing = [line for line in command.missing(config(tmp_path, "tables=[7]")) if "recordings=6s" in line]
    assert all("task.steps=20" in line for line in missing)
    assert any(
        "sampler.guidance_scale=4" in line and line.endswith("method=added_noise,ddim_inversion") for line in missing
    )


def reused(folder, method, prompts, source, loss, task="intensity"):
    overrides = {"method": method, "task": task, "method.prompts": prompts, "method.run": source, "prompts_n": 2}
    name = f"{task}-{method}-{prompts}-{str(source).rpartition('/')[2]}"
    write_run(folder, name, "paper_table10", overrides, [{"loss": loss, "losses": [loss, loss]}] * 2)


def test_reuse_shows_both_noises_and_wants_what_the_source_allows(tmp_path):
    reused(tmp_path, "reuse", "fixed", "/else/where/aaaa", 10.0)
    reused(tmp_path, "reuse", "fixed", None, 30.0)
    made(tmp_path, "ditto", [1.0, 1.0], task="melody", name="bbbb", metric="melody_accuracy")
    text = written(tmp_path, 10)["md"]
    assert "intensity: n = 2 clips, B = 2 samples of each; x_T* of run aaaa." in text
    assert line(text, "DDPM from x_T*, its prompt")[1:3] == ["10 [10, 10]", "13.8316"]
    assert line(text, "DDPM from fresh noise, its prompt")[1:3] == ["30 [30, 30]", ""]
    missing = command.missing(config(tmp_path, "tables=[10]"))
    said = "\n".join(missing)
    assert "task=intensity size=here method.prompts=random" in said
    assert "runs/aaaa" in said or f"{tmp_path}/aaaa" in said
    assert f"method.run={tmp_path}/bbbb" in said  # melody: optimised, not yet reused
    assert "+experiment=methods task=structure method=ditto" in said  # first of all an x_T*
