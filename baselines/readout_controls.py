"""From what the heads read to what a control compares: ŷ in the shape of its target, by the control's own functions.

Shapes: B clips, T frames, P = 12 pitch classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.defined import require
from baselines.readout_heads import Readings
from ditto.audio.features import self_similarity
from ditto.controls.base import Control
from ditto.controls.combined import Combined
from ditto.controls.intensity import Intensity
from ditto.controls.melody import Melody
from ditto.controls.structure import SelfSimilarity
from ditto.types import UndefinedTask

READ: tuple[type[Control], ...] = (Intensity, Melody, SelfSimilarity)
TASKS = "intensity, melody, structure, structure_transfer or sums of these"


def check_defined(control: Control) -> None:
    """UndefinedTask unless every part of the control is one that a head reads."""
    for part in control.parts():
        require(part, READ, "readout", TASKS)


def estimate(control: Control, readings: Readings) -> Tensor:
    """ŷ [B, ...]: [B, T] smoothed dB, [B, 12, T] log shares, [B, T, T] similarity; a sum has its parts side by side.

    Heads read chroma and MFCCs with the default options of Melody and Structure; fewer MFCCs are the first of them.
    """
    match control:
        case Intensity():
            return control.smooth(readings.rms_db_BT)
        case Melody():
            return readings.log_chroma_BPT
        case SelfSimilarity():
            return control.smooth(self_similarity(_mfcc(readings, control.n_mfcc)))
        case Combined():
            return torch.cat([estimate(part, readings).flatten(1) for part in control.controls.values()], 1)
    raise UndefinedTask(f"readout is not defined for {type(control).__name__.lower()}: choose task={TASKS}")


def _mfcc(readings: Readings, n_mfcc: int) -> Tensor:
    known = readings.mfcc_BDT.shape[1] + 1
    if n_mfcc > known:
        raise UndefinedTask(f"the structure head reads {known} MFCCs: set n_mfcc to {known} or less, not {n_mfcc}")
    return readings.mfcc_BDT[:, : n_mfcc - 1]
