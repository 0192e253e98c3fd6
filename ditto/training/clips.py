"""Random windows of the cached log-mels with a random caption each; seeded by step, so a resumed run draws the same."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ditto.training.captions import CaptionBank, build_captions
from ditto.training.mels import FRAMES, MelCache, build_mels
from ditto.training.on_device import DeviceCaptions, DeviceMels
from ditto.types import UserError

__all__ = ["FRAMES", "ClipData", "MelWindows"]
Mels = MelCache | DeviceMels
Captions = CaptionBank | DeviceCaptions


class MelWindows(Dataset):
    """Batches by number: item k is batch k, drawn from a generator seeded with (seed, k).

    A batch is a dict of mel_BFT [B, F, T] (natural-log amplitude, random gain), tokens_BLD, mask_BL, pooled_BD.
    With probability `condition_dropout` a clip carries the empty caption, as classifier-free guidance needs.
    """

    def __init__(
        self,
        cache: Mels,
        captions: list[list[int]],
        bank: Captions,
        batch_size: int,
        batches: int,
        seed: int,
        condition_dropout: float,
        gain_db: float,
    ) -> None:
        self.cache, self.captions, self.bank = cache, captions, bank
        self.batch_size, self.batches, self.seed = batch_size, batches, seed
        self.condition_dropout, self.gain_db = condition_dropout, gain_db
        self.starts = (cache.index["frames"].to_numpy() - FRAMES).clip(min=0)

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, k: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, k))
        weights = self.starts / self.starts.sum()
        pieces = rng.choice(len(self.starts), self.batch_size, p=weights)
        drawn = [self._draw(rng, piece) for piece in pieces]
        firsts, gains_db = [first for first, _ in drawn], [gain_db for _, gain_db in drawn]
        mel_BFT = self.cache.windows(firsts, gains_db)
        rows = [self._caption(rng, piece) for piece in pieces]
        tokens_BLD, mask_BL, pooled_BD = self.bank.batch(rows)
        text = {"tokens_BLD": tokens_BLD, "mask_BL": mask_BL, "pooled_BD": pooled_BD}
        return {"mel_BFT": mel_BFT} | text | self.more(firsts, gains_db)

    def more(self, firsts: list[int], gains_db: list[float]) -> dict[str, Tensor]:
        """What else a batch holds of its windows, given the row of each one's first frame and its gain in dB."""
        return {}

    def _draw(self, rng: np.random.Generator, piece: int) -> tuple[int, float]:
        """The row of a window's first frame, and its gain in dB."""
        first = self.cache.index["first"].iat[piece] + rng.integers(self.starts[piece] + 1)
        return int(first), rng.uniform(-self.gain_db, self.gain_db)

    def _caption(self, rng: np.random.Generator, piece: int) -> int:
        dropped = rng.random() < self.condition_dropout
        return 0 if dropped else int(rng.choice(self.captions[piece]))


class ClipData(pl.LightningDataModule):
    """The rendered corpus as training batches. Each process of a multi-GPU run draws its own stream.

    on_device: log-mels and captions lie in the memory of the training device, and batches are made there.
    """

    def __init__(
        self,
        data_root: str,
        batch_size: int = 32,
        steps: int = 1_000_000,
        seed: int = 0,
        condition_dropout: float = 0.1,
        gain_db: float = 2.0,
        wordings: int = 6,
        workers: int = 0,
        val_batches: int = 4,
        on_device: bool = False,
    ) -> None:
        super().__init__()
        if on_device and workers:
            raise UserError(f"on_device=true makes batches without worker processes: workers=0, not {workers}")
        self.save_hyperparameters()
        self.folder = Path(data_root) / "music"

    def prepare_data(self) -> None:
        for split in ("train", "val"):
            build_mels(self.folder.parent, split)

    def setup(self, stage: str | None = None) -> None:
        caches = {split: build_mels(self.folder.parent, split) for split in ("train", "val")}
        table = pd.read_csv(self.folder / "pieces.csv").set_index("piece_id")
        wordings = {
            split: [
                json.loads(table.at[piece, "captions"])[: self.hparams["wordings"]] for piece in cache.index["piece_id"]
            ]
            for split, cache in caches.items()
        }
        flat = [text for lists in wordings.values() for texts in lists for text in texts]
        bank = build_captions(self.folder / "captions", flat)
        rows = {split: [[bank.row_of[text] for text in texts] for texts in lists] for split, lists in wordings.items()}
        mels, texts = self._placed(caches, bank)
        self.sets = {split: self._windows(split, mels[split], rows[split], texts) for split in caches}

    def _placed(self, caches: Mapping[str, MelCache], bank: CaptionBank) -> tuple[Mapping[str, Mels], Captions]:
        """Both where batches are to be made."""
        if not self.hparams["on_device"]:
            return caches, bank
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return {split: DeviceMels(cache, device) for split, cache in caches.items()}, DeviceCaptions(bank, device)

    def _windows(self, split: str, cache: Mels, rows: list[list[int]], bank: Captions) -> MelWindows:
        train, rank = split == "train", self.trainer.global_rank if self.trainer else 0
        return self.make_windows(split)(
            cache,
            rows,
            bank,
            self.hparams["batch_size"],
            self.hparams["steps"] if train else self.hparams["val_batches"],
            self.hparams["seed"] + 7919 * rank if train else 1,
            self.hparams["condition_dropout"] if train else 0.0,
            self.hparams["gain_db"] if train else 0.0,
        )

    def make_windows(self, split: str) -> Callable[..., MelWindows]:
        """The class of the batches, or a partial of it."""
        return MelWindows

    def train_dataloader(self) -> DataLoader:
        return self._loader("train")

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def _loader(self, split: str) -> DataLoader:
        # A resumed run goes on in the stream of batches where it stopped.
        first = self.trainer.global_step if split == "train" and self.trainer else 0
        numbers = range(first, len(self.sets[split]))
        return DataLoader(self.sets[split], batch_size=None, sampler=numbers, num_workers=self.hparams["workers"])
