"""Tuned rates: chosen from made-up runs of the search, written where methods read them, part of a run's identity."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ditto.identity import identity
from ditto.run import CONF
from ditto.run_directory import run_id
from ditto.types import UserError
from eval import tuning

GRIDS = OmegaConf.load(CONF / "tuned" / "grid.yaml")
TASKS = sorted(GRIDS.freedom.rate)
OPTIONS = {
    "readout": "lr",
    "ditto": "optimizer.lr",
    "added_noise": "strength",
    "ddim_inversion": "inversion_guidance_scale",
}


def make_run(
    folder, rate, values, *, method="freedom", task="intensity", split="val", failed=0, gain=1.0, when=1.0, **of
):
    """A finished run of two clips; `values`: metric -> (value, text-only)."""
    path = folder / f"{method}-{task}-{rate}-{split}-{when}"
    (path / "audio").mkdir(parents=True)
    names = {"task": task, "method": method, "model": "embedded", "sampler": "ddim"}
    metrics, wave = {}, 0.02 * np.random.default_rng(0).normal(size=8000)
    for k in range(2):
        about = {"prompt": "a song", "seed": k, "seconds": 1.0, "loss": 1.0}
        measured = {
            n: v for name, pair in values.items() for n, v in zip((name, f"{name}_text_only"), pair, strict=True)
        }
        metrics[f"clip{k}"] = {"failed": "non-finite gradient at step 3", **about} if k < failed else measured | about
        soundfile.write(path / "audio" / f"clip{k}.flac", np.clip(gain * wave, -1, 1), 22050)
        soundfile.write(path / "audio" / f"clip{k}.text_only.flac", wave, 22050)
    config = {"method": of, "prompts_split": split, "prompts_n": 2, "task": {"name": task}}
    config = OmegaConf.create(config)
    OmegaConf.update(config, f"method.{OPTIONS.get(method, 'rate')}", rate)
    (path / "config.yaml").write_text(OmegaConf.to_yaml(config))
    status = {"status": "done", "names": names, "finished": when, "files": {"metrics.json": []}}
    files = {"status": status, "metrics": metrics, "history": {name: {} for name in metrics}}
    files["environment"] = {"model": "embedded", "device": "a CPU", "commit": "abc", "weights": "w"}
    for file, value in files.items():
        (path / f"{file}.json").write_text(json.dumps(value))


def options(folder, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(
            "tuning",
            [f"runs={folder}", f"results={folder}/out", f"tuned_file={folder}/tuned.yaml", "least=1", *overrides],
        )


def chosen(folder, *overrides):
    result = tuning.run(options(folder, *overrides))
    best = result[result["chosen"]]
    return dict(zip(zip(best["method"], best["task"], strict=True), best["setting"], strict=True))


def intensity(folder, scores, **about):
    for rate, value in scores.items():
        make_run(folder, rate, {"intensity_mse": (value, 40.0)}, **about)


def test_lowest_error_wins_and_all_rates_are_in_the_table(tmp_path, capsys):
    intensity(tmp_path, {0.1: 30.0, 0.2: 9.0, 0.5: 20.0})
    assert chosen(tmp_path) == {("freedom", "intensity"): 0.2}
    table = pd.read_csv(tmp_path / "out/tuning.csv")
    assert list(table["setting"]) == [0.1, 0.2, 0.5]
    assert set(table["option"]) == {"rate"}
    assert list(table["chosen"]) == [False, True, False]
    assert {"method", "task", "metric", "value", "n", "weights", "commit"} <= set(table.columns)
    assert table["score"][1] == pytest.approx(9 / 40)
    assert capsys.readouterr().err == ""


def test_an_accuracy_counts_by_its_error_and_a_sum_by_the_mean_ratio(tmp_path):
    for rate, share in {1.0: 20.0, 10.0: 60.0, 100.0: 10.0}.items():
        make_run(tmp_path, rate, {"melody_accuracy": (share, 10.0)}, task="melody", method="guidance_gradients")
    both = {0.02: ((20.0, 40.0), (10.0, 10.0)), 0.06: ((10.0, 40.0), (55.0, 10.0)), 0.18: ((4.0, 40.0), (0.0, 10.0))}
    for rate, (mse, share) in both.items():  # ratios 0.75, 0.375, 0.606
        values = {"intensity_mse": mse, "melody_accuracy": share}
        make_run(tmp_path, rate, values, task="intensity_melody", method="readout")
    assert chosen(tmp_path) == {("guidance_gradients", "melody"): 10.0, ("readout", "intensity_melody"): 0.06}


def test_warns_at_the_edge_and_where_nothing_helps(tmp_path, capsys):
    intensity(tmp_path, {0.1: 30.0, 0.2: 20.0})
    make_run(tmp_path, 1.0, {"structure_mse": (0.5, 0.4)}, task="structure")
    assert chosen(tmp_path)["freedom", "intensity"] == 0.2
    warnings = capsys.readouterr().err
    assert "freedom on intensity: the best value is at the edge" in warnings
    assert "freedom on structure: no value is better than text-only" in warnings


@pytest.mark.parametrize("fault", [{"failed": 1}, {"gain": 9.0}, {"gain": 0.1}])
def test_a_rate_whose_sound_is_broken_is_not_chosen(tmp_path, fault):
    intensity(tmp_path, {0.1: 30.0, 0.2: 20.0})
    intensity(tmp_path, {0.5: 1.0}, **fault)
    assert chosen(tmp_path) == {("freedom", "intensity"): 0.2}


def test_the_gentlest_of_nearly_equal_rates_is_chosen(tmp_path):
    intensity(tmp_path, {0.1: 30.0, 0.2: 9.0, 0.5: 6.0, 1.0: 8.0})  # scores 0.75, 0.225, 0.15, 0.2
    assert chosen(tmp_path) == {("freedom", "intensity"): 0.2}


def test_what_lies_beyond_a_rate_that_diverged_is_luck(tmp_path):
    intensity(tmp_path, {0.1: 30.0, 0.2: 20.0, 0.5: 100.0, 1.0: 1.0})
    assert chosen(tmp_path) == {("freedom", "intensity"): 0.2}


def test_only_the_validation_split_counts(tmp_path):
    intensity(tmp_path, {0.5: 1.0}, split="test")
    with pytest.raises(UserError, match="on the val split"):
        chosen(tmp_path)
    intensity(tmp_path, {0.2: 20.0})
    assert chosen(tmp_path) == {("freedom", "intensity"): 0.2}


def test_runs_of_other_options_are_left_out_and_named(tmp_path, capsys):
    intensity(tmp_path, {0.1: 30.0, 0.2: 20.0, 0.5: 25.0}, repeats=3)
    intensity(tmp_path, {1.0: 1.0}, repeats=1, when=9.0)
    assert chosen(tmp_path) == {("freedom", "intensity"): 0.2}
    assert "freedom-intensity-1.0" in capsys.readouterr().err


def test_gentle_is_a_high_value_or_none_where_the_option_is_of_that_kind(tmp_path):
    for strength, value in {0.2: 1.0, 0.5: 4.0, 0.9: 30.0, 1.0: 41.0}.items():
        make_run(
            tmp_path, strength, {"reconstruction_mse": (value, 40.0)}, method="added_noise", task="inversion", steps=3
        )
    for scale, value in {0.0: 90.0, 1.0: 4.0, 2.0: 3.0, 4.0: 90.0}.items():  # broken at both ends
        values = {"reconstruction_mse": (value, 40.0)}
        make_run(
            tmp_path, scale, values, method="ddim_inversion", task="inversion", gain=9.0
        )  # as loud as its recording
    assert chosen(tmp_path) == {("added_noise", "inversion"): 0.5, ("ddim_inversion", "inversion"): 2.0}


def test_an_option_inside_of_another(tmp_path):
    for lr, value in {1e-3: 30.0, 5e-3: 9.0, 2e-2: 30.0}.items():
        make_run(tmp_path, lr, {"intensity_mse": (value, 40.0)}, method="ditto")
    assert chosen(tmp_path) == {("ditto", "intensity"): 5e-3}
    assert OmegaConf.load(tmp_path / "tuned.yaml") == {"ditto": {"lr": {"intensity": 5e-3}}}


def test_a_value_tried_alone_is_no_search(tmp_path):
    intensity(tmp_path, {0.1: 30.0, 0.2: 9.0})
    with pytest.raises(UserError, match="no search of"):
        chosen(tmp_path, "least=3")
    intensity(tmp_path, {0.5: 20.0})
    assert chosen(tmp_path, "least=3") == {("freedom", "intensity"): 0.2}


def test_what_was_found_elsewhere_stays_and_what_no_longer_holds_goes(tmp_path, capsys):
    file = tmp_path / "tuned.yaml"
    intensity(tmp_path, {0.1: 30.0, 0.2: 20.0, 0.5: 25.0})
    chosen(tmp_path)
    file.write_text(file.read_text().replace("    intensity: 0.2\n", "    intensity: 0.2\n    melody: 3.0\n"))
    intensity(tmp_path, {0.1: 90.0, 0.2: 90.0, 0.5: 90.0}, when=2.0)
    assert chosen(tmp_path) == {}
    assert OmegaConf.load(file) == {"freedom": {"rate": {"melody": 3.0}}}
    assert "no value made sound clips" in capsys.readouterr().err


def test_the_block_is_replaced_and_comments_stay(tmp_path):
    file = tmp_path / "tuned.yaml"
    file.write_text("# Why these values.\nditto: {rate: {other: 1.0}}  # by hand\n")
    intensity(tmp_path, {0.1: 30.0, 1e-5: 20.0, 1e6: 25.0})
    chosen(tmp_path)
    once = file.read_text()
    chosen(tmp_path)
    assert file.read_text() == once
    assert once.startswith("# Why these values.\nditto: {rate: {other: 1.0}}  # by hand\n\n# --- found by")
    intensity(tmp_path, {1e6: 2.0, 1e7: 30.0}, when=2.0)
    chosen(tmp_path)
    assert OmegaConf.load(file) == {"ditto": {"rate": {"other": 1.0}}, "freedom": {"rate": {"intensity": 1e6}}}
    assert yaml.safe_load(file.read_text())["freedom"]["rate"]["intensity"] == 1e6


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", ["model=toy", *overrides], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.create({key: value for key, value in cfg.items() if key != "hydra"}, flags={"allow_objects": True})


def rate_and_id(cfg):
    method = OmegaConf.to_container(cfg, resolve=True)["method"]
    return method.get("rate", method.get("lr")), run_id(identity(cfg, []))


@pytest.mark.parametrize("method", ["guidance_gradients", "freedom", "readout"])
def test_a_tuned_value_reaches_the_method_and_the_identity_of_its_task_alone(method):
    plain = composed(f"method={method}", "task=intensity")
    tuned = composed(f"method={method}", "task=intensity", f"++tuned.{method}.rate.intensity=0.077")
    other = composed(f"method={method}", "task=intensity", f"++tuned.{method}.rate.melody=0.077")
    assert rate_and_id(tuned)[0] == 0.077
    assert rate_and_id(tuned)[1] != rate_and_id(plain)[1]
    assert rate_and_id(other) == rate_and_id(plain)


@pytest.mark.parametrize("method", ["guidance_gradients", "freedom"])
@pytest.mark.parametrize("task", TASKS)
def test_every_point_of_the_search_is_another_rate(method, task):
    cfgs = [
        composed("+experiment=tune_guidance", f"method={method}", f"task={task}", f"tuned.point={point}")
        for point in (0, 2, 4)
    ]
    rates, ids = zip(*map(rate_and_id, cfgs), strict=True)
    assert sorted(rates) == list(rates)
    assert len(set(rates)) == len(set(ids)) == 3
    assert cfgs[0].prompts_split == "val"
