"""The dashboard asks for what the mirror logs, and the W&B sweep for what the command takes."""

import fnmatch
import importlib.util
import json
import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ditto.build import build
from ditto.loggers import service
from ditto.loggers.report import AXES, MEDIA, TABLE, summary
from ditto.run import CONF
from tests.wandb_cases import config_of, faked

FOLDER = CONF.parent / "sweeps" / "wandb"


@pytest.fixture(scope="module")
def dashboard():
    spec = importlib.util.spec_from_file_location("dashboard", FOLDER / "dashboard.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    service.end()


def panels(definition):
    return [p for s in definition["spec"]["section"]["panelBankConfig"]["sections"] for p in s["panels"]]


def asked(panel):
    """Keys of history and summary that a panel draws."""
    config = panel["config"]
    keys = [*config.get("metrics", []), *config.get("mediaKeys", [])]
    keys += [config[axis] for axis in ("xAxis", "yAxis") if axis in config]
    return [key.removeprefix("summary:").removeprefix("summary_metrics.") for key in keys]


def test_every_key_of_a_panel_is_one_that_the_mirror_logs(dashboard, tmp_path):
    path = faked(tmp_path / "a")
    logged = [*AXES, *(metric for metrics in AXES.values() for metric in metrics), *MEDIA, TABLE]
    logged += [*summary(path, config_of(path)), *dashboard.JUDGING]
    shown = [key for panel in panels(dashboard.definition(dashboard.workspace("me", "ditto"))) for key in asked(panel)]
    assert len(shown) > 20
    for key in shown:
        assert key.startswith("eval/") or any(fnmatch.fnmatch(key, known) for known in logged), key


def test_it_has_the_panels_that_compare_methods(dashboard):
    text = json.dumps(dashboard.definition(dashboard.workspace("me", "ditto", "melody")))
    kinds = [panel["viewType"] for panel in panels(json.loads(text))]
    assert {"Bar Chart", "Scatter Plot", "Run History Line Plot", "Media Browser", "Weave"} <= set(kinds)
    assert dashboard.FAD in text
    assert dashboard.TEXT in text
    assert TABLE in text
    assert '"value": "melody"' in text


def test_the_figures_of_fad_and_text_are_those_of_the_default_judges(dashboard):
    cfg = _composed("evaluate")
    column = build(OmegaConf.to_container(cfg.evaluator.text), "text").column
    assert [f"eval/fad_pc{cfg.fad_components}", f"eval/{column}"] == [dashboard.FAD, dashboard.TEXT]


def test_bars_are_grouped_by_what_the_configuration_has(dashboard, tmp_path):
    config = config_of(faked(tmp_path / "a"))
    for key in dashboard.BY.values():
        assert key == "comparison" or OmegaConf.select(OmegaConf.create(config), key)


def test_judging_metrics_are_those_of_the_tasks(dashboard):
    source = "\n".join(path.read_text() for path in (CONF.parent / "ditto" / "controls").glob("*.py"))
    for name in dashboard.JUDGING:
        assert f'"{name}"' in source
    assert set(re.findall(r"^    metric = \"(\w+)\"", source, re.M)) <= {*dashboard.JUDGING, "reconstruction_mse"}


def test_without_a_key_it_prints_itself(dashboard, capsys):
    assert dashboard.main(["--print"]) == 0
    assert json.loads(capsys.readouterr().out)["project"] == "ditto"


def test_every_parameter_of_the_wandb_sweep_is_an_option_of_the_command():
    sweep = OmegaConf.to_container(OmegaConf.load(FOLDER / "sweep.yaml"), resolve=False)
    assert sweep["command"][-3:] == ["-m", "ditto.run", "${args_no_hyphens}"]
    values = {key: _some(spec) for key, spec in sweep["parameters"].items()}
    cfg = _composed("run", *(f"{key}={json.dumps(value)}" for key, value in values.items()))
    for key, value in values.items():
        chosen = cfg.hydra.runtime.choices.get(key)
        assert value == (chosen if chosen is not None else OmegaConf.select(cfg, key)), key
    assert build(OmegaConf.to_container(cfg.objective, resolve=True), "objective") is not None
    assert cfg.prompts_split == "val"
    assert sweep["metric"] == {"name": "objective", "goal": "minimize"}


def _some(spec):
    return spec["value"] if "value" in spec else spec.get("values", [spec.get("min")])[0]


def _composed(top, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(top, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg
