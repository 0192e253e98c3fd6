"""Training that starts from exported weights, where the checkpoint of the run before could not be carried along."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file
from torch import Tensor

from ditto.types import UserError


class StartFrom(Callback):
    """Before the first step of a new run, take the weights (and data statistics) that `folder` holds for the stage.

    `folder` is what `python -m ditto.training.export` wrote; None starts at random. The optimiser starts afresh, so the
    warm-up matters. A resumed run keeps its checkpoint.
    """

    def __init__(self, folder: str | None, stage: str) -> None:
        self.path = Path(folder) / f"{stage}.safetensors" if folder else None
        if self.path and not self.path.exists():
            raise UserError(f"start_from has no {self.path}: write it with `python -m ditto.training.export`")

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # After on_fit_start, so that the statistics of the weights replace those of the data at hand.
        if self.path and trainer.ckpt_path is None:
            load_into(module, self.path)


def load_into(module: pl.LightningModule, path: Path) -> None:
    """Copy an exported file into a training module; UserError when the networks differ."""
    wanted, given = module.state_dict(), exported_names(load_file(path))
    known = {key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape}
    missing = [key for key in wanted if key.startswith("network.") and key not in known]
    if missing or len(known) != len(given):
        raise UserError(f"the weights in {path} are of another network: set network= to the one in its config.json")
    module.load_state_dict({key: value.float() for key, value in known.items()}, strict=False)


def exported_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as in the training module: `network.` before all but the data statistics."""
    return {key if key in ("mean_F", "sigma") else f"network.{key}": value for key, value in state.items()}
