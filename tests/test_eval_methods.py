"""The table of all methods from made-up run directories: what counts, what is left out and why, and the page."""

import math

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.run import CONF, SEARCH
from ditto.types import UserError
from eval import comparable, finished, measure, methods, orders
from eval.asked import differences, flat
from eval.methods_page import generated, write_page
from eval.page import markers
from eval.references import HeldOutClips
from tests.test_eval_main_job import as_reported, genres, judge, make_run  # noqa: F401 (fixtures)

OPTIONS = ["tasks=[intensity]", "methods=[text_only,freedom,ditto,ditto_stop]", "n=3", "bootstrap=10"]


def made(folder, name, *overrides, method="ditto", **about):
    """A run directory with the configuration that the run command would leave there."""
    make_run(folder, name, method=method, **about)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", ["+experiment=methods", f"method={method}", *overrides, SEARCH])
    OmegaConf.set_struct(cfg, False)
    del cfg["names"]  # Hydra's own words
    (folder / name / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))


def options(folder, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("methods", [f"runs={folder}", *OPTIONS, *overrides])
    return OmegaConf.to_container(cfg, resolve=True)


def found(folder, *overrides):
    return {one.method: one for one in comparable.collect(options(folder, *overrides))}


def test_a_run_counts_by_its_settings_not_its_name(tmp_path, capsys):
    made(tmp_path, "full")
    made(tmp_path, "stopped", "method.threshold=2.0")
    made(tmp_path, "fast", "method.optimizer.lr=0.1", when=9.0)
    kept = found(tmp_path, "defined.ditto_stop=[intensity]")
    assert {name: one.path.name for name, one in kept.items()} == {
        "text_only": "full",
        "ditto": "full",
        "ditto_stop": "stopped",
    }
    said = capsys.readouterr().err
    assert "run fast (ditto on intensity), method.optimizer.lr=0.1, not 0.005" in said
    assert "missing: python -m ditto.run -m +experiment=methods task=intensity method=text_only,freedom" in said


def test_runs_of_other_prompts_samplers_or_targets_are_not_mixed_in(tmp_path, capsys):
    made(tmp_path, "test")
    made(tmp_path, "val", "prompts_split=val", when=5.0)
    made(tmp_path, "short", "sampler.steps=10", when=6.0)
    made(tmp_path, "loud", "task.control.high_db=-10", when=7.0)
    made(tmp_path, "few", clips=2, when=8.0)
    assert found(tmp_path)["ditto"].path.name == "test"
    said = capsys.readouterr().err
    assert "sampler.steps=10, not 20" in said
    assert "task.control.high_db=-10, not -16.0" in said
    assert "run val" not in said  # tuning runs are many


def test_the_newest_of_equals_and_the_first_clips_of_a_longer_run(tmp_path):
    made(tmp_path, "old", clips=3, when=1.0)
    made(tmp_path, "new", clips=5, when=2.0)
    kept = found(tmp_path)["ditto"]
    assert kept.path.name == "new"
    assert len(kept.clips) == 3


def test_other_weights_than_most_are_left_out(tmp_path, capsys):
    made(tmp_path, "a")
    made(tmp_path, "b", method="freedom")
    made(tmp_path, "c", "method.threshold=2.0")
    (tmp_path / "b" / "environment.json").write_text('{"weights": "others"}')
    assert set(found(tmp_path)) == {"text_only", "ditto", "ditto_stop"}
    assert "run b (freedom on intensity), other weights" in capsys.readouterr().err


def test_another_memory_budget_counts_and_is_said(tmp_path, capsys):
    made(tmp_path, "a", "memory.budget_gib=4")
    assert found(tmp_path)["ditto"].path.name == "a"
    assert "memory.budget_gib=4, not 12.0" in capsys.readouterr().err


def test_nothing_there_is_one_error(tmp_path):
    with pytest.raises(UserError, match="no finished run of the experiment methods"):
        comparable.collect(options(tmp_path))


def test_undefined_pairs_are_not_missing(tmp_path):
    pairs = comparable.wanted(options(tmp_path, "tasks=[outpainting,melody]", "methods=[masking,ditto]"))
    assert pairs == [("outpainting", "masking"), ("outpainting", "ditto"), ("melody", "ditto")]


def test_differences_ignore_memory_and_options_that_are_new():
    asked = flat({"method": {"rate": 1.0, "new": 2, "memory": {"budget": 12}}})
    had = flat({"method": {"rate": 1.0, "memory": {"budget": 4}}})
    assert differences(had, asked, ("method",)) == []
    assert differences(flat({"method": {"rate": 1.0, "gone": 3}}), asked, ("method",)) != []
    assert differences({}, asked, ("method",)) == ["no such configuration"]


def test_the_clip_alone_is_judged_not_what_it_is_stitched_to(tmp_path):
    make_run(tmp_path, "a", task="outpainting")
    audio = tmp_path / "a" / "audio"
    for file in list(audio.glob("*_s?.flac")):
        (audio / f"{file.stem}.raw.flac").write_bytes(file.read_bytes())
    one = finished.collect(
        {"runs": tmp_path, "tasks": ["outpainting"], "methods": ["ditto"], "model_name": "embedded"}
    )[0]
    assert all(file.name.endswith(".raw.flac") for file in one.files)
    assert all(file.name.endswith(".text_only.flac") for file in one.beside_text_only().files)


def rows(task, metric, **values):
    """Rows of the table: method -> (value, half width of the interval)."""
    return [
        {"task": task, "method": m, "metric": metric, "value": v, "low": v - w, "high": v + w, "n": 8}
        for m, (v, w) in values.items()
    ]


def test_orders_agree_with_ranks_worked_by_hand():
    paper = pd.DataFrame(rows("intensity", "intensity_mse", a=(1, 0), b=(2, 0), c=(3, 0)))[
        ["task", "method", "metric", "value"]
    ]
    ours = pd.DataFrame(rows("intensity", "intensity_mse", a=(10, 1), b=(30, 2), c=(20, 1), d=(0, 0)))
    (one,) = orders.compare(ours, paper)
    assert (one.paper, one.ours) == (("a", "b", "c"), ("a", "c", "b"))
    assert one.kendall == pytest.approx(1 / 3)
    assert one.spearman == pytest.approx(0.5)
    assert (one.clear, one.unclear) == (("c before b",), ())
    wide = pd.DataFrame(rows("intensity", "intensity_mse", a=(10, 1), b=(30, 9), c=(20, 9)))
    assert next(orders.compare(wide, paper)).unclear == ("c before b",)
    two = next(orders.compare(ours[ours["method"].isin(["a", "b"])], paper))
    assert math.isnan(two.kendall)


def test_higher_is_better_for_accuracy():
    paper = pd.DataFrame(rows("melody", "melody_accuracy", a=(10, 0), b=(80, 0), c=(90, 0)))
    (one,) = orders.compare(paper, paper[["task", "method", "metric", "value"]])
    assert one.paper == one.ours == ("c", "b", "a")
    assert one.kendall == one.spearman == 1.0


def test_the_papers_figures_under_our_names():
    paper = orders.reported().set_index(["task", "method", "metric"])["value"]
    assert paper["intensity", "ditto", "intensity_mse"] == 4.758
    assert paper["outpainting", "masking", "fad"] == 0.716  # overlap 2 s
    assert "inversion" not in paper.index.levels[0]  # its own page: eval.inversion
    assert paper["intensity", "doodl_stop", "seconds_per_clip"] == 206.897
    assert paper["intensity_melody", "controlnet", "melody_accuracy"] == 45.2
    assert paper.index.is_unique


def test_the_page_keeps_what_is_written_by_hand(tmp_path):
    table = pd.DataFrame(
        rows("intensity", "intensity_mse", text_only=(40, 9), freedom=(20, 4), ditto=(0.5, 0.1))
        + rows("intensity", "fad_pc8_ratio", freedom=(1.2, 0.1), ditto=(0.9, 0.1))
    ).assign(device="a CPU", commit="abc", weights="w", reference="")
    page = tmp_path / "methods.md"
    write_page(table, options(tmp_path), page)
    page.write_text(page.read_text() + "Why FreeDoM is slower.\n")
    write_page(table.assign(commit="def"), options(tmp_path), page)
    text = page.read_text()
    assert text.endswith("Why FreeDoM is slower.\n")
    assert "def" in text
    assert "abc" not in text
    assert [text.count(marker) for marker in markers("methods")] == [1, 1]
    lines = generated(table, options(tmp_path))
    assert "| ditto | **0.5** [0.4, 0.6] | **0.9** [0.8, 1] | 8 |" in lines
    assert "| freedom | 20 [16, 24] | 1.2 [1.1, 1.3] | 8 |" in lines
    assert "| text_only | 40 [31, 49] | 1 | 8 |" in lines


def test_command_writes_table_page_and_picture(tmp_path, judge, monkeypatch):  # noqa: F811
    made(tmp_path / "runs", "a")
    made(tmp_path / "runs", "b", method="freedom")
    monkeypatch.setattr(HeldOutClips, "__call__", lambda *_: judge.reference)
    monkeypatch.setattr(measure, "measured", as_reported)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("methods", [f"runs={tmp_path}/runs", f"results={tmp_path}/results", *OPTIONS, "fad_components=1"])
    methods.run(cfg)
    table = pd.read_csv(tmp_path / "results/methods.csv")
    assert ",".join(table.columns) == "task,method,metric,value,low,high,n,reference,model,device,commit,weights,run"
    assert set(table["method"]) == {"text_only", "ditto", "freedom"}
    costs = {"seconds_per_clip", "seconds_per_step", "model_calls", "peak_memory_gib", "steps", "failed"}
    assert costs <= set(table[table["method"] == "freedom"]["metric"])
    assert "### intensity" in (tmp_path / "results/methods.md").read_text()
    assert (tmp_path / "results/methods.png").stat().st_size > 4_000  # an empty page: some 200


def test_an_error_of_zero_has_a_place_on_the_pictures_logarithmic_axis():
    from eval.methods_picture import floored

    found = pd.DataFrame({"value": [2.0, 0.0], "low": [1.0, 0.0], "high": [3.0, 0.0]}, index=["text_only", "masking"])
    assert floored(found, "overlap_mse").loc["masking"].tolist() == [0.002] * 3
    assert floored(found, "overlap_mse").loc["text_only"].tolist() == [2.0, 1.0, 3.0]
    assert floored(found, "melody_accuracy").equals(found)
