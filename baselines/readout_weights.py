"""Where readout heads lie: a folder with readout.safetensors (float16) and config.json; and how a run becomes one.

`python -m baselines.readout_weights checkpoints/readout -o FOLDER` takes the averaged weights of a training run;
`method.weights=FOLDER` then uses them. config.json names the base model's weights: heads read the features of those
weights and of no others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from baselines.readout_heads import ReadoutHeads
from ditto.models.base import MusicModel
from ditto.training.export import averaged_state, checkpoint_of, split_state, training_time
from ditto.types import UserError

PACKAGED = Path(__file__).parent / "weights" / "readout"
CONFIG, WEIGHTS = "config.json", "readout.safetensors"
TRAIN = (
    "train them with `python -m ditto.training.train stage=readout folder=checkpoints/readout`, write them with "
    "`python -m baselines.readout_weights checkpoints/readout -o FOLDER`, and set method.weights=FOLDER"
)
LICENCE = "GPL-2.0-or-later, as the base model's weights"


def save_heads(folder: Path, heads: ReadoutHeads, base: dict[str, str], **facts: Any) -> None:
    """Write a folder that :func:`load_heads` reads; `base` holds the name and weights_hash of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in heads.state_dict().items()}, folder / WEIGHTS)
    described = {"base": base, "heads": heads.config, **facts, "licence": LICENCE}
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n")


def load_heads(folder: Path, model: MusicModel) -> ReadoutHeads:
    """Frozen heads on the model's device, in the dtype of its latents; UserError unless they are this model's."""
    missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).exists()]
    if missing:
        raise UserError(f"no readout heads: {folder} lacks {', '.join(missing)}; {TRAIN}")
    config = json.loads((folder / CONFIG).read_text())
    if config["base"]["weights_hash"] != model.weights_hash:
        raise UserError(
            f"the readout heads in {folder} belong to {config['base']['name']} {config['base']['weights_hash']}, "
            f"not to model={model.name} {model.weights_hash}; {TRAIN}"
        )
    heads = ReadoutHeads(**config["heads"])
    heads.load_state_dict(load_file(folder / WEIGHTS))
    return heads.to(model.device, model.latent_dtype).eval().requires_grad_(False)


def export(run: Path, folder: Path) -> None:
    """The averaged heads of a training run, with how they were made."""
    state, config, steps = averaged_state(run)
    stored = checkpoint_of(run)["readout"]
    heads = ReadoutHeads(**stored["heads"])
    heads.load_state_dict(split_state(state))
    facts = {"steps": steps, "batch_size": config["batch_size"], "examples": config["stage"]["data"]["examples"]}
    save_heads(folder, heads, stored["base"], **facts, **training_time(run))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run of stage=readout")
    parser.add_argument("-o", "--out", type=Path, default=PACKAGED, help="folder to write (default: the packaged one)")
    arguments = parser.parse_args()
    try:
        export(arguments.run, arguments.out)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"wrote {arguments.out}: {(arguments.out / WEIGHTS).stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
