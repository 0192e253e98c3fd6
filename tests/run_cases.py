"""Made-up run directories with the configuration that the run command would leave there."""

import json
from functools import cache

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.run import CONF, SEARCH
from ditto.run_files import fingerprint

GROUPS = ("method", "task", "size", "setting", "recordings")


def write_run(folder, name, experiment, overrides, clips, when=1.0, weights="w"):
    """A finished run. `overrides`: option or group -> value, method and task among them; `clips`: metrics of each.

    A clip's "losses" go to its history; a clip with "failed" has no result.
    """
    groups = [f"{group}={overrides[group]}" for group in GROUPS if overrides.get(group)]
    cfg = composed(experiment, *groups).copy()
    for option, value in overrides.items():
        if "." in option or option == "frames":
            OmegaConf.update(cfg, option, value)
    path = folder / name
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
    metrics, history = {}, {}
    for k, values in enumerate(clips):
        about = {"prompt": f"song {k}", "seed": k, "seconds": 9.0, "batch_size": len(clips), "steps": 4}
        about |= {"stopped": None, "model_calls": 80, "peak_memory_gib": 1.0}
        clip = f"{k:03d}_song_s{k}"
        history[clip] = {"loss": values.get("losses", [])}
        metrics[clip] = about | {key: value for key, value in values.items() if key != "losses"}
    names = {"task": str(cfg.task.name), "method": overrides["method"], "model": "embedded", "sampler": "ddim"}
    whole = {"metrics.json": fingerprint(json.dumps(metrics).encode())}  # of a run's files; there is no sound
    status = {"status": "done", "names": names, "finished": when, "files": whole}
    files = {"status": status, "metrics": metrics, "history": history}
    files["environment"] = {"model": "embedded", "device": "a CPU", "commit": "abc", "weights": weights}
    for file, value in files.items():
        (path / f"{file}.json").write_text(json.dumps(value))


@cache
def composed(experiment, *groups):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [f"+experiment={experiment}", *groups, SEARCH])
    OmegaConf.set_struct(cfg, False)
    del cfg["names"]  # Hydra's own words
    return cfg


def options(command, folder, *overrides):
    """The configuration of an evaluation command on these runs; results beside them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, [f"runs={folder}", f"results={folder}/results", *overrides])
