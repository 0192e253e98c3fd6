"""Log-mels and captions in the memory of the training device: batches are gathered there, none is made on the CPU.

An hour of music is 99 MB of float16 log-mels, so 100 h fit beside the model on a GPU. The draws (window, gain,
caption) are those of :class:`ditto.training.clips.MelWindows`, and so are the values, bit for bit.
Shapes: B clips, F mel bins, T frames, L tokens, D channels.
"""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ditto.training.captions import CaptionBank
from ditto.training.mels import FRAMES, MelCache


class DeviceMels:
    """As :class:`MelCache`, on a device."""

    def __init__(self, cache: MelCache, device: torch.device) -> None:
        self.index: pd.DataFrame = cache.index
        self.frames_TF = _moved(cache.frames_TF, device)

    def windows(self, firsts: list[int], gains_db: list[float]) -> Tensor:
        """mel_BFT float32, as :meth:`MelCache.windows`."""
        device = self.frames_TF.device
        rows_BT = torch.tensor(firsts, device=device)[:, None] + torch.arange(FRAMES, device=device)
        # In float64 as NumPy has it, where a float32 array meets a float64 scalar: the batches stay the same.
        gain_B = torch.tensor([gain * np.log(10) / 20 for gain in gains_db], dtype=torch.float64, device=device)
        window_BTF = self.frames_TF[rows_BT].double() + gain_B[:, None, None]
        return window_BTF.clamp(min=math.log(1e-5)).float().transpose(1, 2)


class DeviceCaptions:
    """As :class:`CaptionBank`, on a device."""

    def __init__(self, bank: CaptionBank, device: torch.device) -> None:
        self.row_of = bank.row_of
        self.tokens = _moved(bank.tokens, device)
        self.lengths = torch.from_numpy(bank.lengths.astype(np.int64)).to(device)

    def batch(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """-> tokens_BLD, mask_BL, pooled_BD, all float32."""
        chosen = torch.tensor(rows, device=self.tokens.device)
        tokens_BLD, lengths = self.tokens[chosen].float(), self.lengths[chosen]
        mask_BL = (torch.arange(tokens_BLD.shape[1], device=chosen.device)[None] < lengths[:, None]).float()
        return tokens_BLD, mask_BL, (tokens_BLD * mask_BL[..., None]).sum(1) / lengths[:, None]


def _moved(values: np.ndarray, device: torch.device, chunk: int = 1 << 20) -> Tensor:
    """A memory map copied to the device piece by piece."""
    out = torch.empty(values.shape, dtype=torch.float16, device=device)
    for start in range(0, len(values), chunk):
        out[start : start + chunk] = torch.from_numpy(np.array(values[start : start + chunk])).to(device)
    return out
