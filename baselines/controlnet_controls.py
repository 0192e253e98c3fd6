"""What a control branch is told, per frame: from a bound control when sampling, from the music itself in training.

intensity: the level in dB, smoothed as Intensity does, as (dB + 30) / 15; melody: the strongest pitch class, one-hot.
Shapes: B clips, T frames, P = 12 pitch classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.controlnet_branch import Controls, FrameControl
from baselines.defined import require
from ditto.audio.features import savgol
from ditto.controls.base import Control
from ditto.controls.intensity import Intensity
from ditto.controls.melody import Melody
from ditto.types import UndefinedTask

MEAN_DB, SCALE_DB = -30.0, 15.0  # of the training music, roughly: only a change of units
SILENCE_DB = -50.0  # frames under it have no melody
TASKS = "intensity, intensity_correlation, melody or intensity_melody"


def of_task(control: Control) -> Controls:
    """The targets of a bound Intensity, Melody or Combined of both; UndefinedTask for others.

    Open are the frames before `from_s` (intensity) and those where the tune rests (melody).
    """
    parts = [require(part, (Intensity, Melody), "controlnet", TASKS) for part in control.parts()]
    given = {_name(part): _target(part) for part in parts}
    if len(given) < len(parts):
        raise UndefinedTask(f"controlnet takes one curve and one tune, not two of a kind: choose task={TASKS}")
    return given


def _name(part: Control) -> str:
    return "intensity" if isinstance(part, Intensity) else "melody"


def _target(part: Control) -> FrameControl:
    target = part.target
    if isinstance(part, Intensity):
        given_BT = torch.ones_like(target)
        given_BT[:, : part.clip.frames_of(part.from_s)] = 0
        return intensity(target, given_BT)
    return FrameControl(target, target.sum(1))


def intensity(db_BT: Tensor, given_BT: Tensor) -> FrameControl:
    """A smoothed level in dB as the branch reads it."""
    return FrameControl(((db_BT - MEAN_DB) / SCALE_DB)[:, None], given_BT)


def of_music(rms_db_BT: Tensor, chroma_BPT: Tensor, smoothing_frames: int) -> Controls:
    """Both controls of training clips, given wherever they can be."""
    one_hot_BPT = F.one_hot(chroma_BPT.argmax(1), chroma_BPT.shape[1]).mT.to(rms_db_BT)
    return {
        "intensity": intensity(savgol(rms_db_BT, smoothing_frames), torch.ones_like(rms_db_BT)),
        "melody": FrameControl(one_hot_BPT, (rms_db_BT > SILENCE_DB).to(rms_db_BT)),
    }


def mask_at_random(controls: Controls, drop: float, partial: float) -> Controls:
    """Leave controls open at random, for each clip and control by itself: wholly (`drop`), else in a span (`partial`).

    The idea is Music ControlNet's, so that any subset of controls and any part of the time may be given; the span's two
    ends are uniform in time, and with even odds what is left open is its outside.
    """
    return {name: _masked(control, drop, partial) for name, control in controls.items()}


def _masked(control: FrameControl, drop: float, partial: float) -> FrameControl:
    B, T = control.given_BT.shape
    draw_5B = torch.rand(5, B).to(control.given_BT.device)[..., None]
    position_T = (torch.arange(T, device=draw_5B.device) + 0.5) / T
    inside_BT = (position_T > draw_5B[:2].amin(0)) & (position_T < draw_5B[:2].amax(0))
    open_BT = (inside_BT ^ (draw_5B[2] < 0.5)) & (draw_5B[3] < partial) | (draw_5B[4] < drop)
    return FrameControl(control.value_BDT, control.given_BT * ~open_BT)
