"""The main job's table from made-up run directories: what is read, paired, counted and left out."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from hydra import compose, initialize_config_dir

from ditto.run import CONF
from ditto.types import UserError
from eval import finished, main_job, measure, tags
from eval.embedders.musicnn import Musicnn
from eval.fad import Statistics
from eval.measure import Judges
from eval.paired import Judge
from eval.references import HeldOutClips, Reference

GENRES = ("jazz", "pop", "rock")


def embeddings(n, seed=0, shift=0.0):
    return list(shift + np.random.default_rng(seed).normal(size=(n, 3, 200)))


@pytest.fixture(scope="module")
def genres():
    return tags.fit(embeddings(60), [GENRES[i % 3] for i in range(60)], decay=0.1)


@pytest.fixture
def judge(genres, monkeypatch):
    monkeypatch.setattr(tags, "load", lambda: genres)
    reference = Reference(Statistics.of(embeddings(200, seed=1)), "200 test clips", Musicnn().name)
    return Judge.of(Musicnn(), reference, components=4, draws=40, seed=0)


def make_run(folder, name, task="intensity", method="ditto", clips=3, failed=0, when=1.0):
    """A run directory as `ditto.run_directory` leaves it; the last `failed` clips have no result."""
    (folder / name / "audio").mkdir(parents=True)
    names = {"task": task, "method": method, "model": "embedded", "sampler": "ddim"}
    metrics, history = {}, {}
    for k in range(clips):
        clip = f"{k:03d}_a-{GENRES[k % 3]}-song_s{k}"
        about = {"prompt": f"a {GENRES[k % 3]} song", "seed": k, "seconds": 9.0, "batch_size": clips, "steps": 4}
        about |= {"stopped": None, "model_calls": 80, "peak_memory_gib": 2.0 + k, "loss": 1.0}
        values = {"intensity_mse": 2.0 + k, "intensity_mse_text_only": 40.0 + k, "loss_text_only": 40.0}
        metrics[clip] = {"failed": "NaN", **about} if k >= clips - failed else {**values, **about}
        history[clip] = {
            "loss": [40.0, 9.0, 3.0, 2.0][: 2 if k else 4],
            "seconds": [0.5, 0.4, 0.4, 0.4],
            "stopped": None,
        }
        for suffix in ("", ".text_only"):
            noise = 0.1 * np.random.default_rng(k + len(suffix)).normal(size=16_000)
            soundfile.write(folder / name / "audio" / f"{clip}{suffix}.flac", noise, 16_000)
    files = {"status": {"status": "done", "names": names, "finished": when}, "metrics": metrics, "history": history}
    files["environment"] = {"model": "embedded", "device": "a CPU", "commit": "abc"}
    for file, value in files.items():
        (folder / name / f"{file}.json").write_text(json.dumps(value))


def as_reported(one, cache):
    """What a run says of itself instead of measuring noise: the clips have no tune and no config."""
    table = one.clips.set_index("clip")[["intensity_mse"]]
    return table.assign(failed=None)


def options(folder, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("main_job", [f"runs={folder}", "tasks=[intensity]", *overrides])


def cell(table, method, metric):
    return table[(table["method"] == method) & (table["metric"] == metric)].squeeze()


def test_text_only_beside_is_paired(tmp_path, judge):
    make_run(tmp_path, "aaaa")
    table = main_job.table(finished.collect(options(tmp_path)), Judges(judge, tmp_path / "cache", control=as_reported))
    assert cell(table, "ditto", "intensity_mse")["value"] == pytest.approx(3.0)
    assert cell(table, "text_only", "intensity_mse")["value"] == pytest.approx(41.0)
    row = cell(table, "ditto", "intensity_mse")
    assert row["low"] <= row["value"] <= row["high"]
    assert (row["n"], row["model"], row["device"], row["commit"], row["run"]) == (3, "embedded", "a CPU", "abc", "aaaa")
    assert cell(table, "ditto", "seconds_per_step")["value"] == 0.4
    assert cell(table, "ditto", "peak_memory_gib")["value"] == 4.0
    assert cell(table, "ditto", "failed")["value"] == 0
    assert not len(cell(table, "text_only", "seconds_per_step"))  # the cost of a run is not that of its neighbour
    assert set(table["metric"]) >= {"tag_score", "tag_accuracy", "tag_score_ratio"}
    assert "loss" not in set(table["metric"])
    assert "fad" not in set(table["metric"])  # 3 windows: no figure rather than a meaningless one


def test_a_failed_clip_is_counted_and_in_no_mean(tmp_path, judge):
    make_run(tmp_path, "aaaa", failed=1)
    table = main_job.table(finished.collect(options(tmp_path)), Judges(judge, tmp_path / "cache", control=as_reported))
    assert cell(table, "ditto", "intensity_mse")["value"] == pytest.approx(2.5)
    assert cell(table, "ditto", "intensity_mse")["n"] == 2
    assert cell(table, "ditto", "failed")["value"] == 1


def test_picks_the_largest_then_the_newest_and_a_run_of_text_only(tmp_path):
    make_run(tmp_path, "old", clips=3, when=1.0)
    make_run(tmp_path, "new", clips=3, when=2.0)
    make_run(tmp_path, "small", clips=2, when=3.0)
    make_run(tmp_path, "plain", method="text_only", clips=2)
    found = {one.method: one for one in finished.collect(options(tmp_path))}
    assert found["ditto"].path.name == "new"
    assert found["text_only"].path.name == "plain"
    assert not found["text_only"].beside


def test_missing_runs_are_named(tmp_path, capsys):
    make_run(tmp_path, "aaaa")
    finished.collect(options(tmp_path, "tasks=[intensity,melody]"))
    assert "+experiment=main_job_melody" in capsys.readouterr().err
    with pytest.raises(UserError, match="no finished run of melody"):
        finished.collect(options(tmp_path, "tasks=[melody]"))


def test_fad_forms_by_size(judge):
    def forms(n):
        return [name for name, _ in judge.distances(embeddings(n))]

    assert (forms(2), forms(4), forms(70)) == ([], ["fad_pc4"], ["fad_pc4", "fad"])


def test_ratio_is_one_for_the_same_clips_and_above_for_worse(judge):
    clips = embeddings(20, seed=2)
    rows = {row["metric"]: row for row in judge.fad_rows(clips, clips)}
    assert rows["fad_pc4_ratio"]["value"] == rows["fad_pc4_ratio"]["low"] == rows["fad_pc4_ratio"]["high"] == 1.0
    worse = {row["metric"]: row for row in judge.fad_rows(embeddings(20, seed=2, shift=1.0), clips)}
    assert worse["fad_pc4_ratio"]["low"] > 1.0
    assert rows["fad_pc4"]["low"] <= rows["fad_pc4"]["value"] <= rows["fad_pc4"]["high"]


def test_loss_picture(tmp_path):
    make_run(tmp_path, "aaaa")
    assert main_job.loss_picture(finished.collect(options(tmp_path)), tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 5000


def test_command_writes_table_and_picture(tmp_path, judge, monkeypatch):
    make_run(tmp_path / "runs", "aaaa")
    monkeypatch.setattr(HeldOutClips, "__call__", lambda *_: judge.reference)
    monkeypatch.setattr(measure, "measured", as_reported)
    main_job.run(options(tmp_path / "runs", f"results={tmp_path}/results", "bootstrap=10"))
    table = pd.read_csv(tmp_path / "results/main_job.csv")
    assert list(table.columns[:7]) == ["task", "method", "metric", "value", "low", "high", "n"]
    assert {"model", "device", "commit"} <= set(table.columns)
    assert (tmp_path / "results/main_job_loss.png").exists()


class Lengths:
    """A text judge whose score of a pair is the number of words of its prompt, and a tenth of the clip's peak."""

    column, about = "words", {"judge": "words", "hash": "abc"}

    def scores(self, prompts, clips):
        return np.array([len(p.split()) + abs(wave).max() / 10 for p, (_, wave, _) in zip(prompts, clips, strict=True)])


def test_what_the_file_says_counts_and_a_clip_without_one_is_counted_and_named(tmp_path, judge, capsys):
    make_run(tmp_path, "aaaa", clips=4, failed=1)
    (one,) = finished.collect(options(tmp_path, "methods=[ditto]"))

    def from_files(one, cache):
        table = pd.DataFrame({"intensity_mse": [10.0, 20.0, np.nan]}, index=list(one.clips["clip"]))
        return table.assign(failed=pd.Series([None, None, "x.flac is truncated"], index=table.index, dtype=object))

    rows = {line["metric"]: line for line in measure.control_rows(one, Judges(judge, tmp_path, control=from_files))}
    assert (rows["intensity_mse"]["value"], rows["intensity_mse"]["n"]) == (15.0, 2)
    assert rows["failed"]["value"] == 2
    err = capsys.readouterr().err
    assert "x.flac is truncated" in err
    assert "aaaa" in err


def test_text_score_is_paired_with_the_clips_beside(tmp_path, judge):
    make_run(tmp_path, "aaaa")
    text_only, one = finished.collect(options(tmp_path))
    judges = Judges(judge, tmp_path / "cache", Lengths(), as_reported)
    rows = {line["metric"]: line for line in measure.rows(one, text_only, judges)}
    assert rows["words"]["value"] == pytest.approx(3 + np.mean([abs(wave).max() / 10 for wave in waves(one)]), abs=1e-4)
    change = np.mean([abs(a).max() - abs(b).max() for a, b in zip(waves(one), waves(text_only), strict=True)]) / 10
    assert rows["words_change"]["value"] == pytest.approx(change, abs=1e-4)
    assert rows["words"]["reference"] == "judge words; hash abc"
    assert "words_change" not in {line["metric"] for line in measure.rows(text_only, text_only, judges)}


def waves(one):
    return [soundfile.read(file)[0] for file in one.files]
