"""Training of the vocoder on a multi-resolution STFT distance (Yamamoto et al., 2020), log-mel in, wave out.

Shapes: B clips, N samples, F mel bins, T frames.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ditto.audio.mel import LogMel

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (256, 64))


def stft_distance(
    wave_BN: Tensor, reference_BN: Tensor, resolutions: tuple[tuple[int, int], ...] = RESOLUTIONS
) -> Tensor:
    """Spectral convergence plus L1 of log magnitudes, averaged over (window, hop) pairs; one value a clip [B]."""
    total = torch.zeros(wave_BN.shape[0], device=wave_BN.device)
    for n_fft, hop in resolutions:
        window = torch.hann_window(n_fft, device=wave_BN.device)
        x, y = (
            torch.view_as_real(torch.stft(w, n_fft, hop, window=window, return_complex=True))
            .square()
            .sum(-1)
            .add(1e-8)
            .sqrt()
            for w in (wave_BN, reference_BN)
        )
        convergence = (x - y).square().sum((1, 2)).sqrt() / y.square().sum((1, 2)).sqrt().clamp(min=1e-3)
        total = total + convergence + (x.clamp(min=1e-4).log() - y.clamp(min=1e-4).log()).abs().mean((1, 2))
    return total / len(resolutions)


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
    """Lightning module around :class:`ditto.audio.vocoder.Vocoder`."""

    def __init__(self, network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.01) -> None:
        super().__init__()
        self.network, self.mel, self.lr, self.weight_decay = network, LogMel(), lr, weight_decay

    def _distance(self, wave_BN: Tensor) -> Tensor:
        with torch.autocast(wave_BN.device.type, enabled=False):
            mel_BFT = self.mel(wave_BN)
        made_BN = self.network(mel_BFT)
        with torch.autocast(wave_BN.device.type, enabled=False):
            return stft_distance(made_BN.float(), wave_BN).mean()

    def training_step(self, wave_BN: Tensor, step: int) -> Tensor:
        loss = self._distance(wave_BN)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, wave_BN: Tensor, step: int) -> None:
        self.log("val/loss", self._distance(wave_BN), prog_bar=True, sync_dist=True, batch_size=len(wave_BN))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay)
