"""Train the base model or the vocoder: `python -m ditto.training.train network=unet hours=1`.

The same command resumes from the last checkpoint after any kill, and trains on a CPU, one GPU or several (DDP). Every
run lives in `checkpoints/<name>/`: last.ckpt, metrics.csv, the resolved config, pictures of samples.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf, open_dict

from ditto.command import command
from ditto.environment import device_name


@command("train")
def main(cfg: DictConfig) -> None:
    """Compose, train, and say where the result lies."""
    import pytorch_lightning as pl

    pl.seed_everything(cfg.seed, workers=True)
    folder = Path(cfg.folder)
    folder.mkdir(parents=True, exist_ok=True)
    trainer: pl.Trainer = hydra.utils.instantiate(cfg.trainer)
    with open_dict(cfg):
        cfg.device = device_name(trainer.strategy.root_device)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    last = folder / "last.ckpt"
    trainer.fit(
        hydra.utils.instantiate(cfg.stage.module),
        datamodule=hydra.utils.instantiate(cfg.stage.data),
        ckpt_path=str(last) if last.exists() else None,
    )
    print(f"{trainer.global_step} steps; checkpoint {last}; ship it with `python -m ditto.training.export`")


if __name__ == "__main__":
    main()
