"""Every configuration composes, and its parts can be made; experiments and sweeps too."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ditto.build import build
from ditto.options import check_run_options
from ditto.run import CONF, SEARCH
from ditto.types import UserError

# Groups of the run command; what other commands compose is listed by their top-level file.
RUN_GROUPS = ("model", "sampler", "memory", "method", "task", "logger")
TOP_LEVEL = sorted(path.stem for path in CONF.glob("*.yaml"))


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(top, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(top, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


def made_small_elsewhere(name):
    """Models of gigabytes: their own tests make each of them by its yaml, from a tiny checkpoint or a tiny size."""
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_pretrained_*.py")]
    return name in {found for text in texts for found in re.findall(r"\bmodel=(\w+)", text)}


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in RUN_GROUPS for name in choices(group)])
def test_every_option_of_the_run_command_can_be_made(group, name):
    overrides = [f"{group}={name}"] if group == "model" else ["model=toy", f"{group}={name}"]
    cfg = composed("run", *overrides, "device=cpu")
    part = OmegaConf.to_container(cfg.task.control if group == "task" else cfg[group], resolve=True)
    if group == "model" and part["_target_"].startswith("ditto.models.pretrained."):
        assert made_small_elsewhere(name)
        return
    try:
        made = build(part, group)
    except UserError as error:
        # The one excuse: weights that have not been trained yet.
        if group == "model" and "no weights" in str(error):
            pytest.skip(str(error))
        raise
    assert made is not None


@pytest.mark.parametrize("name", [f"{group}={name}" for group in ("experiment", "debug") for name in choices(group)])
def test_every_experiment_composes(name):
    cfg = composed("run", f"+{name}")
    OmegaConf.to_container(cfg, resolve=True)
    build(OmegaConf.to_container(cfg.task.control, resolve=True), "task.control")
    build(OmegaConf.to_container(cfg.method, resolve=True), "method")


@pytest.mark.parametrize("top", TOP_LEVEL)
def test_every_command_composes(top):
    cfg = composed(top)
    del_hydra = {key: value for key, value in cfg.items() if key != "hydra"}
    assert del_hydra


@pytest.mark.parametrize("group", [p.name for p in sorted(CONF.iterdir()) if p.is_dir()])
def test_every_group_belongs_to_a_command(group):
    text = "\n".join(path.read_text() for path in Path(CONF).rglob("*.yaml"))
    assert group in (*RUN_GROUPS, "experiment", "debug", "paper_tables") or f"{group}:" in text or f"{group}/" in text
    assert list((CONF / group).rglob("*.yaml")), f"conf/{group} is empty"


def test_every_sweep_composes():
    sweeps = sorted((CONF.parent / "sweeps").glob("*.yaml"))
    for path in sweeps:
        assert OmegaConf.load(path) is not None


@pytest.mark.parametrize("memory", [f"memory={name}" for name in choices("memory")])
def test_every_memory_policy_goes_with_an_experiment_that_has_a_budget(memory):
    cfg = composed("run", "+experiment=methods", "size=paper", memory, SEARCH)
    assert build(OmegaConf.to_container(cfg.memory, resolve=True), "memory") is not None
    assert cfg.memory.get("budget_gib", 60.0) == 60.0


@pytest.mark.parametrize(
    "wrong", ["memory.budget_gib=-1", "budget_gib=-1", "budget_gib=much", "memory.budget_gib=null"]
)
def test_a_budget_without_sense_is_refused(wrong):
    options = OmegaConf.to_container(composed("run", "model=toy", wrong), resolve=True)

    def check():
        check_run_options(options)
        build(options["memory"], "memory")

    with pytest.raises(UserError, match="budget_gib"):
        check()
