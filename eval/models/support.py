"""Which method does which task on which model: `python -m eval.models.support` writes <results>/models_support.csv.

Every combination is run once, for real, on the model with its networks made tiny (random weights; true layout, rates
and code). T and K are small: it says that a combination works, not how well. Outcomes: ok (a finite clip), undefined
(the method has no meaning for the task, by its own word), needs (something is not there, such as trained weights; the
reason is the error's own), failed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict
from tqdm import tqdm

from ditto.build import build, build_model
from ditto.command import command
from ditto.controls.base import Control
from ditto.environment import commit
from ditto.method import Request
from ditto.models.base import MusicModel
from ditto.noise import noise
from ditto.run import CONF
from ditto.types import ClipRequest, UndefinedTask, UserError
from eval.efficiency.table import write
from eval.models.support_page import write_support

COLUMNS = ("model", "task", "method", "outcome", "reason", "n", "device", "commit")
PROMPTS = ("a calm song", "a loud one")


def run(options: Mapping[str, Any]) -> pd.DataFrame:
    """Try every combination, keep the table after every model and task, return it."""
    rows: list[dict[str, Any]] = []
    made_at = commit()
    path = Path(options["results"]) / f"{options['name']}.csv"
    methods = {name: _composed(options, name) for name in options["methods"]}
    tasks = options["tasks"] or sorted(file.stem for file in (CONF / "task").glob("*.yaml"))
    with tqdm(total=len(options["models"]) * len(tasks) * len(methods), disable=not options["progress"]) as bar:
        for name, changed in options["models"].items():
            bar.set_description(name)
            model = _model(name, changed, options)
            about = {"n": 1, "device": model.device.type, "commit": made_at}
            for task in tasks:
                for method, outcome, reason in _of_task(model, task, methods, options):
                    about = {"n": 1, "device": model.device.type, "commit": made_at}
                    label = name.removesuffix("_random")
                    rows.append(
                        {"model": label, "task": task, "method": method, "outcome": outcome, "reason": reason} | about
                    )
                    bar.update()
                write(pd.DataFrame(rows, columns=list(COLUMNS)), path)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_task(
    model: MusicModel, task: str, methods: Mapping[str, DictConfig], options: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """(method, outcome, reason) of every method."""
    clip = ClipRequest("000", PROMPTS[0], seed=0, index=0)
    try:
        frames = model.frames(options["seconds"])
        control = build(
            _few(_with_task(next(iter(methods.values())), task)["task"]["control"], options), "task.control"
        )
        bound: Control = control.bind(model, [clip], frames)
    except Exception as error:  # whatever goes wrong belongs into the table
        yield from ((method, *_judged(error)) for method in methods)
        return
    for method, composed in methods.items():
        try:
            _generate(model, bound, _with_task(composed, task), options)
            yield method, "ok", ""
        except Exception as error:  # as above
            yield method, *_judged(error)


def _generate(model: MusicModel, control: Control, config: dict[str, Any], options: Mapping[str, Any]) -> None:
    """One clip; ValueError where it is not finite."""
    method, sampler = build(_few(config["method"], options), "method"), build(config["sampler"], "sampler")
    seeds, prompts = [clip.seed for clip in control.clips], [clip.prompt for clip in control.clips]
    x_T = noise(seeds, model.shape_of(control.clip.frames), model.device, model.latent_dtype)
    made = method(Request(model, sampler, control, prompts, x_T, seeds, progress=False))
    if not (made.x_0.isfinite().all() and made.wave_BN.isfinite().all()):
        raise ValueError("the clip is not finite")


def _judged(error: Exception) -> tuple[str, str]:
    kinds = {UndefinedTask: "undefined", UserError: "needs"}
    outcome = next((name for kind, name in kinds.items() if isinstance(error, kind)), "failed")
    line = " ".join(str(error).replace(f"{CONF.parent}/", "").split())
    return outcome, line if outcome != "failed" else f"{type(error).__name__}: {line}"


def _model(name: str, changed: Mapping[str, Any], options: Mapping[str, Any]) -> MusicModel:
    """The model's yaml with these options in place of its own."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [f"model={name}", f"device={options['device']}", f"precision={options['precision']}"])
    config: dict[str, Any] = OmegaConf.to_container(cfg.model, resolve=True)  # type: ignore[assignment]
    return build_model({**config, **changed}, options["device"], options["precision"])


def _composed(options: Mapping[str, Any], method: str) -> DictConfig:
    sampler = options["samplers"].get(method, "ddim")
    chosen = [f"method={method}", f"sampler={sampler}", f"sampler.steps={options['sampler_steps']}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("run", [*chosen, "memory=checkpoint", "model=toy"])


def _with_task(composed: DictConfig, task: str) -> dict[str, Any]:
    config = copy.deepcopy(composed)
    with open_dict(config):
        config.task = OmegaConf.load(CONF / "task" / f"{task}.yaml")
        del config["names"]  # Hydra's own words
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return resolved


def _few(value: Any, options: Mapping[str, Any], name: str = "") -> Any:
    """A configuration with few repetitions, wherever it has such an option."""
    if isinstance(value, dict):
        return {key: _few(item, options, key) for key, item in value.items()}
    return options["few"].get(name, value) if value is not None else None


@command("models_support")
def main(cfg: DictConfig) -> None:
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    frame = run(options)
    if options["page"]:
        write_support(frame, Path(options["page"]))
    counts = ", ".join(f"{number} {outcome}" for outcome, number in frame["outcome"].value_counts().items())
    print(f"{len(frame)} combinations: {counts}; written to {options['results']}/{options['name']}.csv")


if __name__ == "__main__":
    main()
