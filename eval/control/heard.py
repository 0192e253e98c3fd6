"""The sound files of one clip of a finished run, or the reason why they cannot be measured.

Legend: N samples of a clip, S samples of a stitched piece.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from ditto.audio import io
from ditto.types import UserError
from eval.finished import Finished


@dataclass(frozen=True)
class ClipFiles:
    """`own`: the clip as it was generated; `stitched`: joined to its recording, None where nothing was stitched."""

    own: Path
    stitched: Path | None

    @classmethod
    def of(cls, one: Finished, clip_id: str, own: Path) -> ClipFiles:
        whole = one.path / "audio" / f"{clip_id}.flac"
        return cls(own, whole if own.name.endswith(".raw.flac") else None)

    @cached_property
    def digest(self) -> str:
        """sha256 of both files; UserError that names a missing one."""
        digest = hashlib.sha256()
        for file in self.files:
            if not file.is_file():
                raise UserError(f"{file.name} is missing: make the run again with overwrite=true")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    @property
    def files(self) -> list[Path]:
        return [file for file in (self.own, self.stitched) if file is not None]

    def read(self, rate: int, samples: int) -> Heard:
        """Both waves; UserError unless they are whole, finite, at `rate`, and the clip has `samples`."""
        own_N = _read(self.own, rate)
        if len(own_N) != samples:
            raise UserError(f"{self.own.name} has {len(own_N)} samples, not {samples}: it is truncated or another clip")
        return Heard(own_N, None if self.stitched is None else _read(self.stitched, rate), rate)


@dataclass(frozen=True)
class Heard:
    """What was read: the generated clip, and the stitched piece if there is one, at `rate` Hz."""

    own_N: np.ndarray
    stitched_S: np.ndarray | None
    rate: int


def _read(file: Path, rate: int) -> np.ndarray:
    try:
        about = soundfile.info(file)
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"{file.name} is not a sound file: {str(error).splitlines()[0]}") from error
    if about.samplerate != rate:
        raise UserError(f"{file.name} has {about.samplerate} Hz, the run's model {rate} Hz: not a file of this run")
    wave_N = io.read(file, rate).numpy()
    if len(wave_N) != about.frames:
        raise UserError(f"{file.name} is truncated: {len(wave_N)} of {about.frames} samples")
    return wave_N
