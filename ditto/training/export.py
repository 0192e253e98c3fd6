"""Turn checkpoints into the weights that ship: `python -m ditto.training.export checkpoints/denoiser_unet -o FOLDER`.

Takes the averaged (EMA) weights, stores float16 safetensors and the configuration of the networks;
`model.weights=FOLDER` then uses them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from ditto.audio.vocoder import Vocoder
from ditto.models.embedded import CONFIG, PACKAGED, VOCODER, save
from ditto.types import UserError


def checkpoint_of(run: Path) -> dict[str, Any]:
    """The last checkpoint of a training run's folder, on the CPU; UserError where there is none."""
    checkpoint = run / "last.ckpt"
    if not checkpoint.exists():
        raise UserError(f"no checkpoint {checkpoint}: train first with `python -m ditto.training.train`")
    # weights_only=False: Lightning stores its own loop state beside the tensors; the file is one we wrote.
    return torch.load(checkpoint, map_location="cpu", weights_only=False)


def averaged_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any], int]:
    """-> (averaged weights of the Lightning module, resolved config, steps trained) of a training run's folder."""
    loaded = checkpoint_of(run)
    config: Any = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    return loaded["state_dict"], config, loaded["global_step"]


def training_time(run: Path) -> dict[str, Any]:
    """-> hours (over all resumes, validation included) and device of a training run, as far as it recorded them."""
    seconds = checkpoint_of(run)["callbacks"].get("Timer", {}).get("time_elapsed", {}).get("train")
    device = OmegaConf.select(OmegaConf.load(run / "config.yaml"), "device")
    told = {"hours": None if seconds is None else round(seconds / 3600, 4), "device": device}
    return {name: value for name, value in told.items() if value is not None}


def split_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's weights under their own names, with the data statistics mean_F and sigma if there are any."""
    network = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    return network | {key: state[key] for key in ("mean_F", "sigma") if key in state}


def export(denoiser_run: Path | None, vocoder: Path | None, folder: Path) -> None:
    """Write the denoiser (and a vocoder: of a training run, or as a folder of exported weights has it) to `folder`.

    Without a denoiser the folder serves to train on (`start_from`), not to make music.
    """
    described: dict[str, Any] = {"vocoder": {}}
    denoiser: dict[str, Tensor] = {}
    if denoiser_run is not None:
        state, config, steps = averaged_state(denoiser_run)
        module = config["stage"]["module"]
        described |= {
            "network": _arguments(config["network"]["network"]),
            "skip_scale": module.get("skip_scale", 0.0),
            "steps": steps,
        }
        denoiser = split_state(state)
    network = None
    if vocoder is not None:
        read = _exported_vocoder if (vocoder / VOCODER).exists() else _trained_vocoder
        vocoder_state, described["vocoder"], described["vocoder_steps"] = read(vocoder)
        network = Vocoder(**described["vocoder"])
        network.load_state_dict(vocoder_state)
    save(folder, described, denoiser, network)


def _trained_vocoder(run: Path) -> tuple[dict[str, Tensor], dict[str, Any], int | None]:
    state, config, steps = averaged_state(run)
    return split_state(state), _arguments(config["stage"]["module"]["network"]), steps


def _exported_vocoder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], int | None]:
    described = json.loads((folder / CONFIG).read_text())
    return load_file(folder / VOCODER), described["vocoder"], described.get("vocoder_steps")


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("denoiser", type=Path, help="folder of a denoiser's training run, or `none`")
    parser.add_argument("--vocoder", type=Path, help="folder of a vocoder's training run, or of exported weights")
    parser.add_argument(
        "-o", "--out", type=Path, default=PACKAGED, help="folder to write (default: the packaged weights)"
    )
    arguments = parser.parse_args()
    try:
        export(None if arguments.denoiser == Path("none") else arguments.denoiser, arguments.vocoder, arguments.out)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    sizes = {path.name: round(path.stat().st_size / 2**20, 1) for path in sorted(arguments.out.iterdir())}
    print(f"wrote {arguments.out}: {sizes} MiB")


if __name__ == "__main__":
    main()
