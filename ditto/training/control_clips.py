"""The training clips with what the controls measure of them: for control branches and readout heads.

Shapes: B clips, T frames, P = 12 pitch classes, D = 19 MFCCs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ditto.training.clips import FRAMES, ClipData, MelWindows
from ditto.training.features import CHROMA, MFCC, RMS_DB, build_features


class ControlWindows(MelWindows):
    """Batches of MelWindows, the very same clips, that also hold the features of each window, float32:

    rms_db_BT (level in dB with the window's random gain, not smoothed), chroma_BPT (shares that sum to 1; a gain leaves
    them), mfcc_BDT (without the first coefficient; a gain leaves them). `features_TD` is of `build_features`.
    """

    def __init__(self, features_TD: np.ndarray, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.features_TD = features_TD

    def more(self, firsts: list[int], gains_db: list[float]) -> dict[str, Tensor]:
        windows = [self.features_TD[first : first + FRAMES].astype(np.float32) for first in firsts]
        features_BDT = torch.from_numpy(np.stack(windows)).mT
        rms_db_BT = features_BDT[:, RMS_DB].squeeze(1) + torch.tensor(gains_db, dtype=torch.float32)[:, None]
        return {"rms_db_BT": rms_db_BT, "chroma_BPT": features_BDT[:, CHROMA], "mfcc_BDT": features_BDT[:, MFCC]}


class ControlData(ClipData):
    """ClipData whose batches are those of ControlWindows; builds the features where they are missing."""

    def prepare_data(self) -> None:
        super().prepare_data()
        for split in ("train", "val"):
            build_features(self.folder.parent, split)

    def make_windows(self, split: str) -> Callable[..., MelWindows]:
        return partial(ControlWindows, build_features(self.folder.parent, split))
