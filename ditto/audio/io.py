"""Reading and writing sound files. Waves are float32 tensors in [-1, 1], mono."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from ditto.audio.truncated import is_cut
from ditto.types import ClipSpec, UserError

SHORT_TOLERANCE = 0.01  # a file may lack this share of a clip's length (resampling, rounding); zeros fill it


def read(path: str | Path, sample_rate: int) -> Tensor:
    """The whole file as [N] at `sample_rate`: any format libsndfile knows (wav, flac, ogg, mp3), rate and channels."""
    if not Path(path).is_file():
        raise UserError(f"no audio file at '{path}': give the path of a wav, flac, ogg or mp3 file")
    try:
        with soundfile.SoundFile(path) as file:
            stated, rate = file.frames, file.samplerate
            samples_NC = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UserError(f"cannot read '{path}' as audio: {str(error).splitlines()[0]}") from error
    wave_N = samples_NC.mean(1)
    if wave_N.size == 0:
        raise UserError(f"the audio file '{path}' is empty")
    if is_cut(Path(path), stated, len(wave_N)):
        raise UserError(f"the audio file '{path}' is cut off: it is shorter than it says; make or fetch it again")
    if not np.isfinite(wave_N).all():
        raise UserError(f"the audio file '{path}' holds values that are not numbers (NaN or infinity)")
    if rate != sample_rate:
        import librosa

        wave_N = librosa.resample(wave_N, orig_sr=rate, target_sr=sample_rate)
    return torch.from_numpy(np.ascontiguousarray(wave_N, dtype=np.float32))


def read_clip(path: str | Path, clip: ClipSpec, start_s: float = 0.0) -> Tensor:
    """Exactly one clip of the file from `start_s` seconds on, [clip.samples]."""
    wave_N = read(path, clip.sample_rate)
    first = round(start_s * clip.sample_rate)
    excerpt = wave_N[first : first + clip.samples] if first >= 0 else wave_N[:0]
    missing = clip.samples - len(excerpt)
    if missing > SHORT_TOLERANCE * clip.samples:
        raise UserError(
            f"'{path}' lasts {len(wave_N) / clip.sample_rate:.2f} s: too short for a clip of {clip.seconds:.2f} s "
            f"from {start_s:g} s on"
        )
    return torch.nn.functional.pad(excerpt, (0, missing))


def flac_bytes(wave: Tensor, sample_rate: int) -> bytes:
    """[N] (or [C, N]) as a 16-bit FLAC file; values beyond 1 are clipped, sound that is empty or NaN is refused."""
    samples = wave.detach().cpu().float().clamp(-1, 1).numpy()
    if samples.size == 0 or not np.isfinite(samples).all():
        raise UserError("there is no sound to write: it is empty or holds NaN")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def write_flac(path: str | Path, wave: Tensor, sample_rate: int) -> Path:
    """Write `flac_bytes` to a file, whole or not at all."""
    path = Path(path)
    content = flac_bytes(wave, sample_rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
