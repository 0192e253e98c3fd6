"""One small configuration of every control, for the tests that all of them must pass. Clips are 64 frames (0.74 s)."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from ditto.audio import features
from ditto.audio.io import write_flac
from ditto.controls.base import Control
from ditto.controls.combined import Combined
from ditto.controls.function import FunctionControl
from ditto.controls.inpainting import Inpainting
from ditto.controls.intensity import Intensity
from ditto.controls.inversion import Inversion
from ditto.controls.loop_free import LoopFree
from ditto.controls.looping import Looping
from ditto.controls.melody import Melody
from ditto.controls.outpainting import Outpainting
from ditto.controls.structure import Structure
from ditto.controls.structure_transfer import StructureTransfer
from ditto.models.toy import Toy
from ditto.types import ClipRequest

FRAMES, RATE = 64, 22050


@functools.cache
def toy(dtype: str = "float32") -> Toy:
    return Toy(frames=FRAMES, dtype=dtype)


def requests(count: int = 2) -> list[ClipRequest]:
    return [ClipRequest(f"clip{i}", "a calm song", seed=i, index=i) for i in range(count)]


def latents(count: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(count, *toy().shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


@functools.cache
def recordings() -> str:
    """A folder with two recordings of 1 s in the toy model's voice."""
    folder = Path(tempfile.mkdtemp(prefix="ditto-test-"))
    for number, x_0 in enumerate(torch.randn(2, 1, 1, 16, 96, generator=torch.Generator().manual_seed(7))):
        smooth = features.savgol(x_0, 15, order=0, mode="nearest")
        write_flac(folder / f"{number}.flac", toy().wave(smooth)[0], RATE)
    return str(folder)


@functools.cache
def tune() -> str:
    """A MIDI file: A4 for 0.3 s, a rest of 0.1 s, then C5."""
    import mido

    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    for note, rest, length in [(69, 0, 300), (72, 100, 600)]:
        track.append(mido.Message("note_on", note=note, velocity=80, time=rest))
        track.append(mido.Message("note_off", note=note, time=length))
    path = Path(recordings()) / "tune.mid"
    mido.MidiFile(ticks_per_beat=1000, tracks=[track]).save(path)
    return str(path)


def brightness(wave_BN: Tensor) -> Tensor:
    """Spectral centroid in kHz."""
    return features.spectral_centroid(wave_BN, RATE, 256) / 1000


CASES = {
    "outpainting": lambda: Outpainting(recordings(), overlap_s=0.25),
    "inpainting": lambda: Inpainting(recordings(), gap_s=0.3),
    "looping": lambda: Looping(recordings(), overlap_s=0.2),
    "loop_free": lambda: LoopFree(overlap_s=0.2),
    "loop_free_short": lambda: LoopFree(overlap_s=0.2, loop_s=0.4),
    "intensity": lambda: Intensity(smoothing_s=0.2),
    "intensity_correlation": lambda: Intensity("sine", smoothing_s=0.2, objective="correlation"),
    "melody": lambda: Melody(tune()),
    "structure": lambda: Structure(smoothing_s=0.1),
    "structure_transfer": lambda: StructureTransfer(recordings()),
    "inversion": lambda: Inversion(recordings()),
    "combined": lambda: Combined(
        {
            "outpainting": Outpainting(recordings(), overlap_s=0.25),
            "intensity": Intensity(from_s=0.25, smoothing_s=0.2),
        },
        {"intensity": 0.025},
    ),
    "function": lambda: FunctionControl(brightness, target_value=1.5, name="brightness"),
}


def bound(name: str, dtype: str = "float32", count: int = 2) -> Control:
    return CASES[name]().bind(toy(dtype), requests(count))
