"""Turn checkpoints into the weights that ship: `python -m ditto.training.export checkpoints/denoiser_unet -o FOLDER`.

Takes the averaged (EMA) weights, stores float16 safetensors and the configuration of the networks;
`model.weights=FOLDER` then uses them.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ditto.audio.vocoder import Vocoder
from ditto.models.embedded import PACKAGED, save
from ditto.types import UserError


def averaged_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any], int]:
    """-> (averaged weights of the Lightning module, resolved config, steps trained) of a training run's folder."""
    checkpoint = run / "last.ckpt"
    if not checkpoint.exists():
        raise UserError(f"no checkpoint {checkpoint}: train first with `python -m ditto.training.train`")
    # weights_only=False: Lightning stores its own loop state beside the tensors; the file is one we wrote.
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=False)
    config: Any = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    return loaded["state_dict"], config, loaded["global_step"]


def split_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's weights under their own names, with the data statistics mean_F and sigma if there are any."""
    network = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    return network | {key: state[key] for key in ("mean_F", "sigma") if key in state}


def export(denoiser_run: Path, vocoder_run: Path | None, folder: Path) -> None:
    """Write denoiser (and vocoder, if a run is given) to `folder`."""
    state, config, steps = averaged_state(denoiser_run)
    described: dict[str, Any] = {
        "network": _arguments(config["network"]["network"]),
        "skip_scale": config["stage"]["module"].get("skip_scale", 0.0),
        "steps": steps,
        "vocoder": {},
    }
    vocoder = None
    if vocoder_run is not None:
        vocoder_state, vocoder_config, described["vocoder_steps"] = averaged_state(vocoder_run)
        described["vocoder"] = _arguments(vocoder_config["stage"]["module"]["network"])
        vocoder = Vocoder(**described["vocoder"])
        vocoder.load_state_dict(split_state(vocoder_state))
    save(folder, described, split_state(state), vocoder)


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("denoiser", type=Path, help="folder of a denoiser's training run")
    parser.add_argument("--vocoder", type=Path, help="folder of a vocoder's training run")
    parser.add_argument(
        "-o", "--out", type=Path, default=PACKAGED, help="folder to write (default: the packaged weights)"
    )
    arguments = parser.parse_args()
    try:
        export(arguments.denoiser, arguments.vocoder, arguments.out)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    sizes = {path.name: round(path.stat().st_size / 2**20, 1) for path in sorted(arguments.out.iterdir())}
    print(f"wrote {arguments.out}: {sizes} MiB")


if __name__ == "__main__":
    main()
