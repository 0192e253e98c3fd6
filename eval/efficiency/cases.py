"""What is measured: a method with T sampling steps and a memory policy, composed from its yaml as the run command does.

No method is imported by name: Hydra makes the `_target_` of conf/method/<name>.yaml.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf, open_dict

from ditto.build import build, build_model, pick_device
from ditto.controls.base import Control
from ditto.method import Method, Request
from ditto.models.base import MusicModel
from ditto.noise import noise
from ditto.prompts import read_prompts
from ditto.types import ClipRequest, Generation, UserError
from eval.asked import CONF


@dataclass(frozen=True, eq=False)
class Case:
    """`options` are those of the run command, resolved; the model is shared by all cases."""

    model_name: str
    method: str
    sampler_steps: int  # T
    policy: str
    batch_size: int
    options: dict[str, Any]

    @property
    def full_steps(self) -> int | None:
        """K of the task; None for a method that does not optimise x_T."""
        return self.options["method"].get("steps")

    @property
    def threshold(self) -> float | None:
        """τ of the task, where one is set (conf/tuned)."""
        return self.options["tuned"].get("threshold", {}).get(self.options["task"]["name"])

    @property
    def name(self) -> str:
        return f"{self.method} T={self.sampler_steps} {self.policy}"

    @cached_property
    def model(self) -> MusicModel:
        return build_model(self.options["model"], self.options["device"], self.options["precision"])

    @cached_property
    def control(self) -> Control:
        """Bound to `batch_size` clips of one prompt, with seeds of their own."""
        prompt, seed = read_prompts(self.options)[0], self.options["seed"]
        clips = [ClipRequest(f"{i:03d}", prompt, seed + i, i) for i in range(self.batch_size)]
        unbound: Control = build(self.options["task"]["control"], "task.control")
        return unbound.bind(self.model, clips, self._frames)

    def made(self, steps: int) -> Method:
        """The method, with this many optimisation steps where it has any."""
        config = copy.deepcopy(self.options["method"])
        if self.full_steps is not None:
            config["steps"] = steps
        return build(config, "method")

    def run(self, method: Method, control: Control) -> Generation:
        """Make the clips once."""
        clips, model = control.clips, self.model
        seeds = [clip.seed for clip in clips]
        x_T = noise(seeds, model.shape_of(self._frames), model.device, model.latent_dtype)
        sampler = build(self.options["sampler"], "sampler")
        prompts = [clip.prompt for clip in clips]
        return method(Request(model, sampler, control, prompts, x_T, seeds, progress=False))

    @property
    def _frames(self) -> int:
        return self.options["frames"] or self.model.clip.frames


def cases(options: Mapping[str, Any]) -> list[Case]:
    """Every policy, T and method of conf/efficiency.yaml's options, in this order; UserError where one is unknown."""
    found = []
    for policy, chosen in options["policies"].items():
        for steps in options["sampler_steps"]:
            for method in options["methods"]:
                resolved = composed(options, [f"method={method}", f"sampler.steps={steps}", *chosen])
                found.append(Case(options["model_name"], method, steps, policy, options["batch_size"], resolved))
    if not found:
        raise UserError("nothing to measure: give methods, sampler_steps and policies")
    return found


def composed(options: Mapping[str, Any], chosen: Sequence[str]) -> dict[str, Any]:
    """The resolved options of the run command with these choices; UserError where there is no such choice."""
    shared = [f"model={options['model_name']}", f"task={options['task_name']}", f"precision={options['precision']}"]
    overrides = [*shared, f"device={pick_device(options['device'])}", *options["overrides"], *chosen]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("run", overrides)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        raise UserError(f"there is no {group}={name}: choose one of {', '.join(error.options or [])}") from error
    except HydraException as error:
        raise UserError(f"{' '.join(str(error).split())} (in {' '.join(chosen)})") from error
    with open_dict(config):
        del config["names"]  # Hydra's own words
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return resolved
