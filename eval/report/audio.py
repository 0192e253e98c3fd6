"""A wave on a page: as MP3 (of an average bit rate, which keeps the exact length) and as a log-mel picture.

Both are kept by the hash of the wave. Legend: N samples, F mel bins, T frames.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ditto.plots import RANGE_DB, mel_db
from ditto.run_directory import write_bytes
from ditto.types import ClipSpec, UserError

HOP, BINS = 512, 96  # of the picture: 23 ms a column
QUALITY = 55  # of the picture, 1..100


@dataclass(frozen=True)
class Heard:
    """A sound for the page: MP3 and WebP files, and its length."""

    mp3: bytes
    spectrogram: bytes
    seconds: float


def heard(wave_N: np.ndarray, rate: int, kbps: int, cache: Path) -> Heard:
    """The sound of a wave [N] in [-1, 1]; made only where the cache has none of it."""
    wave_N = np.ascontiguousarray(wave_N, dtype=np.float32)
    name = hashlib.sha256(wave_N.tobytes() + f"{rate}".encode()).hexdigest()[:24]
    sound = _kept(cache / f"{name}.{kbps}.mp3", lambda: mp3(wave_N, rate, kbps))
    picture = _kept(cache / f"{name}.{HOP}.{BINS}.{QUALITY}.webp", lambda: spectrogram(wave_N, rate))
    return Heard(sound, picture, len(wave_N) / rate)


def mp3(wave_N: np.ndarray, rate: int, kbps: int) -> bytes:
    """An MP3 file of about `kbps` thousand bits a second."""
    if "MP3" not in soundfile.available_formats():
        raise UserError("this libsndfile writes no MP3: pip install -U soundfile (its wheels carry one that does)")
    low, high = (8, 160) if rate <= 24000 else (32, 320)  # the bit rates of MPEG-2 and MPEG-1 layer III
    if not low <= kbps <= high:
        raise UserError(f"bitrate={kbps} is not possible at {rate} Hz: choose {low} to {high}")
    level = min((high - kbps) / (high - low), 0.99)  # libsndfile refuses 1
    buffer = io.BytesIO()
    soundfile.write(buffer, wave_N, rate, format="MP3", bitrate_mode="AVERAGE", compression_level=level)
    return buffer.getvalue()


def spectrogram(wave_N: np.ndarray, rate: int) -> bytes:
    """A WebP picture of the log-mel spectrogram, low frequencies below; black is 80 dB under the loudest."""
    import matplotlib
    from PIL import Image

    mel_FT = mel_db(wave_N, ClipSpec(rate, HOP, 0, BINS))[::-1]
    rgb_FTC = matplotlib.colormaps["magma"](1 + mel_FT / RANGE_DB, bytes=True)[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb_FTC)).save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()


def _kept(file: Path, make: Callable[[], bytes]) -> bytes:
    if not file.exists():
        write_bytes(file, make())
    return file.read_bytes()
