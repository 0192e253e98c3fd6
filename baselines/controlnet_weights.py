"""Weights of control branches on disk: `python -m baselines.controlnet_weights checkpoints/controlnet -o FOLDER`.

Stores the averaged (EMA) weights of a training run as float16 safetensors, and a config.json that names the model they
were trained on; `method.weights=FOLDER` then uses them.
"""

from __future__ import annotations

import argparse
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from baselines.controlnet_branch import ControlBranch
from ditto.models.base import MusicModel
from ditto.models.embedded import Embedded, load
from ditto.training.export import averaged_state, training_time
from ditto.types import UserError

PACKAGED = Path(__file__).parent / "weights" / "controlnet"
CONFIG, BRANCH = "config.json", "controlnet.safetensors"
TRAIN = "python -m ditto.training.train stage=controlnet folder=checkpoints/controlnet"


def load_branch(model: MusicModel, weights: str | None = None) -> tuple[Embedded, ControlBranch]:
    """The model and the branch in `weights` (default: the packaged one), frozen, in the model's precision.

    UserError where there are no weights, or where they were trained on another model.
    """
    folder = Path(weights) if weights else PACKAGED
    if not (folder / CONFIG).exists() or not (folder / BRANCH).exists():
        raise UserError(f"no control branch in {folder}: train one with `{TRAIN}`, then {__name__}")
    config = json.loads((folder / CONFIG).read_text())
    if not isinstance(model, Embedded) or model.weights_hash != config["base"]["weights_hash"]:
        raise UserError(
            f"the control branch in {folder} belongs to model={config['base']['name']} "
            f"(weights {config['base']['weights_hash']}), not to model={model.name} ({model.weights_hash}): "
            f"train one for it with `{TRAIN} stage.module.base=WEIGHTS`"
        )
    return model, _read(folder, (folder / BRANCH).stat().st_mtime_ns, model)


@lru_cache(maxsize=1)
def _read(folder: Path, written_ns: int, model: Embedded) -> ControlBranch:
    """Read once for all batches of a run; again where the file has changed since."""
    branch = ControlBranch(model.network)
    branch.load_state_dict(load_file(folder / BRANCH))
    return branch.to(model.device, model.dtype).eval().requires_grad_(False)


def save_branch(branch: dict[str, torch.Tensor], config: dict[str, Any], folder: Path) -> None:
    """Write a folder that :func:`load_branch` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in branch.items()}, folder / BRANCH)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def export(run: Path, folder: Path) -> None:
    """The averaged weights of a training run, with what they were trained on and for how long."""
    state, config, steps = averaged_state(run)
    base = load(config["stage"]["module"]["base"], precision="float32")
    described = {
        "base": {"name": base.name, "weights_hash": base.weights_hash},
        "steps": steps,
        "clips_seen": steps * config["batch_size"],
        **training_time(run),
    }
    branch = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    save_branch(branch, described, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the training run")
    parser.add_argument("-o", "--out", type=Path, default=PACKAGED, help="folder to write (default: the packaged)")
    arguments = parser.parse_args()
    try:
        export(arguments.run, arguments.out)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    size = (arguments.out / BRANCH).stat().st_size / 2**20
    print(f"wrote {arguments.out}: {size:.1f} MiB")


if __name__ == "__main__":
    main()
