"""What the vocoder's own round trip leaves: `python -m ditto.training.roundtrip split=val n=32`.

Recordings -> x_0 -> wave -> x_0', and the mean of (x_0' − x_0)² over bins and frames: an overlap cannot be heard any
closer to its reference than this. It is the painting tasks' threshold (conf/tuned/default.yaml: threshold).

Legend: B clips, N samples.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ditto.build import build_model, pick_device
from ditto.command import command
from ditto.controls.base import mean_squared_error
from ditto.models.base import MusicModel
from eval.real import load_excerpts, read_excerpts
from eval.sets import Row, mean_row


@torch.no_grad()
def roundtrip_mse(model: MusicModel, wave_BN: Tensor) -> Tensor:
    """[B, N] at the model's rate -> mean squared error of x_0 [B], in the units of x_0."""
    x_0 = model.encode_audio(wave_BN.to(model.device, model.latent_dtype))
    return mean_squared_error(model.encode_audio(model.wave(x_0)), x_0)


def run(cfg: DictConfig) -> Row:
    """Mean over n clips of a split, with its interval."""
    from ditto.audio import io

    cfg.device = pick_device(cfg.device)
    model = build_model(OmegaConf.to_container(cfg.model, resolve=True), cfg.device, cfg.precision)  # type: ignore[arg-type]
    excerpts = load_excerpts(cfg.split, model.clip.seconds, root=Path(cfg.data_root))
    loud = (excerpt for excerpt, _ in read_excerpts(excerpts, cfg.n))
    values: list[float] = []
    while few := list(itertools.islice(loud, cfg.batch_size)):
        waves = [io.read_clip(excerpt.file, model.clip, excerpt.start_s) for excerpt in few]
        values += roundtrip_mse(model, torch.stack(waves)).tolist()
    return mean_row("roundtrip_mse", values)


@command("quality")
def main(cfg: DictConfig) -> None:
    row = run(cfg)
    print(
        "roundtrip_mse "
        + ", ".join(f"{name} {value:.4g}" for name, value in row.items() if isinstance(value, int | float))
    )


if __name__ == "__main__":
    main()
