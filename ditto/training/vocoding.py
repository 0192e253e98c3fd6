"""Training of the vocoder on spectral distances (ditto/training/wave_losses.py), log-mel in, wave out.

Shapes: B clips, N samples, F mel bins, T frames.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ditto.audio.mel import LogMel
from ditto.training.wave_losses import WaveLoss
from ditto.training.wave_losses import stft_distance as stft_distance  # read from here by others


class WaveWindows(Dataset):
    """Item k is batch k of random crops [B, N] of the rendered pieces, from a generator seeded with (seed, k)."""

    def __init__(self, folder: Path, split: str, batch_size: int, samples: int, batches: int, seed: int) -> None:
        pieces = pd.read_csv(folder / "pieces.csv")
        self.files = [folder / name for name in pieces.loc[pieces["split"] == split, "file"]]
        self.batch_size, self.samples, self.batches, self.seed = batch_size, samples, batches, seed

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, k: int) -> Tensor:
        rng = np.random.default_rng((self.seed, k))
        return torch.from_numpy(np.stack([self._crop(rng) for _ in range(self.batch_size)]))

    def _crop(self, rng: np.random.Generator) -> np.ndarray:
        path = self.files[rng.integers(len(self.files))]
        first = rng.integers(soundfile.info(path).frames - self.samples)
        wave, _ = soundfile.read(path, self.samples, int(first), dtype="float32")
        return wave * np.float32(10 ** (rng.uniform(-6, 3) / 20))


class WaveData(pl.LightningDataModule):
    """Crops of `frames` frames for the vocoder; the validation crops are fixed."""

    def __init__(
        self,
        data_root: str,
        batch_size: int = 16,
        frames: int = 64,
        steps: int = 1_000_000,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.folder = Path(data_root) / "music"

    def train_dataloader(self) -> DataLoader:
        trainer, h = self.trainer, self.hparams
        rank, first = (trainer.global_rank, trainer.global_step) if trainer else (0, 0)
        windows = WaveWindows(
            self.folder, "train", h["batch_size"], h["frames"] * 256, h["steps"], h["seed"] + 7919 * rank
        )
        return DataLoader(windows, batch_size=None, sampler=range(first, len(windows)), num_workers=h["workers"])

    def val_dataloader(self) -> DataLoader:
        return DataLoader(WaveWindows(self.folder, "val", 8, 512 * 256, 4, seed=1), batch_size=None)


class VocoderTraining(pl.LightningModule):
    """Lightning module around :class:`ditto.audio.vocoder.Vocoder`.

    `losses` is what it is trained on, `rough` what is done to the mels it is given (default: nothing). Validation logs
    the parts of the losses without their weights, on mels as they are: `val/loss` is the STFT distance alone, whatever
    was trained on.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        losses: WaveLoss | None = None,
        rough: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network, self.mel, self.lr, self.weight_decay = network, LogMel(), lr, weight_decay
        self.losses, self.rough = losses or WaveLoss(), rough or nn.Identity()

    def clean_mel(self, wave_BN: Tensor) -> Tensor:
        """mel_BFT in float32 under any autocast."""
        with torch.autocast(wave_BN.device.type, enabled=False):
            return self.mel(wave_BN)

    def spectral_loss(self, made_BN: Tensor, wave_BN: Tensor) -> Tensor:
        """A scalar, in float32 under any autocast."""
        with torch.autocast(wave_BN.device.type, enabled=False):
            return self.losses(made_BN.float(), wave_BN)

    def training_step(self, wave_BN: Tensor, step: int) -> Tensor | None:
        loss = self.spectral_loss(self.network(self.rough(self.clean_mel(wave_BN))), wave_BN)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, wave_BN: Tensor, step: int) -> None:
        made_BN = self.network(self.clean_mel(wave_BN))
        with torch.autocast(wave_BN.device.type, enabled=False):
            terms = {name: value.mean() for name, value in self.losses.terms(made_BN.float(), wave_BN).items()}
        how = {"sync_dist": True, "batch_size": len(wave_BN)}
        self.log("val/loss", terms.pop("stft"), prog_bar=True, **how)  # type: ignore[arg-type]
        self.log_dict({f"val/{name}": value for name, value in terms.items()}, **how)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay)
