"""What an experiment asks of a task and method: the resolved options, composed as the run command composes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from ditto.run import CONF, SEARCH

# Overrides of one part alone; a setting (sweeps/setting) chooses a task and its options.
OF_TASK, OF_METHOD = ("task.", "+task.", "setting=", "+setting="), ("method.", "+method.")
LEFT_OUT = "memory"  # a policy, not a setting: it changes no result


class Asked:
    """`of(task, method, overrides)`: dotted option -> value of the command with these choices.

    That is `+experiment=<experiment> task=<task> method=<method> <overrides>`. Composing is slow, so a task's part and
    a method's part are composed once each and put together; what stands in both (the sampler) is the method's.
    """

    def __init__(self, experiment: str) -> None:
        self.experiment = experiment

    def of(self, task: str, method: str, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
        """{} for a method or task whose yaml is not there; not to be changed, as it is handed out again."""
        return _resolved(self.experiment, task, method, overrides)


@cache
def _resolved(experiment: str, task: str, method: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    parts = {"task": task, "method": method}
    if not all((CONF / group / f"{name}.yaml").exists() for group, name in parts.items()):
        return {}
    own = [override for override in overrides if not override.startswith(OF_TASK)]
    of_task = [override for override in overrides if not override.startswith(OF_METHOD)]
    config = _composed(f"+experiment={experiment}", f"method={method}", *own).copy()
    with open_dict(config):
        config.task = _composed(f"+experiment={experiment}", f"task={task}", *of_task).task
        del config["names"]  # Hydra's own words
    return flat(OmegaConf.to_container(config, resolve=True))


@cache
def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("run", [*overrides, SEARCH])


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted option -> value; lists stay whole."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        key: leaf for name, v in value.items() for key, leaf in flat(v, f"{prefix}.{name}" if prefix else name).items()
    }


def differences(had: Mapping[str, Any], asked: Mapping[str, Any], parts: Iterable[str]) -> list[str]:
    """Options under `parts` that a run had otherwise: "sampler.steps=10, not 20".

    An option that is new since the run was made is not in its config and is no difference; one that is gone is.
    """
    inside = tuple(f"{part}." for part in parts)
    names = [name for name in {**had, **asked} if f"{name}.".startswith(inside) and LEFT_OUT not in name.split(".")]
    if not asked or not any(name in had for name in names):
        return ["no such configuration"]
    return [
        f"{name}={had[name]}, not {asked.get(name, 'an option any more')}"
        for name in names
        if name in had and (name not in asked or had[name] != asked[name])
    ]
