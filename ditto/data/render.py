"""MIDI to audio: FluidSynth and a General MIDI soundfont, to mono 22.05 kHz 16 bit FLAC.

Rendered at 44.1 kHz and resampled: soundfont samples are 44.1 kHz and FluidSynth does not filter before decimating.
Reverb, chorus and peak level vary by the piece's seed, so loudness is not constant. A renderer
is bounded in time and in bytes: a malformed score once made FluidSynth write 34 GB.
"""

import os
import random
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import soundfile

from ditto.data.labels import Piece
from ditto.data.mix import mixed
from ditto.data.plan import seed_of
from ditto.errors import UserError

RATE, SYNTH_RATE = 22050, 44100
MAX_SECONDS, TIMEOUT = 100.0, 60.0
SILENCE_DB, TAIL_DB = -40.0, -55.0
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf2/default-GM.sf2"),
    Path("/usr/share/sounds/sf3/default-GM.sf3"),
)
PEAK_DB = (-9.0, -1.0)


class RenderError(RuntimeError):
    """The piece can't be rendered; the text says why."""


def require() -> None:
    """UserError unless FluidSynth is installed."""
    if shutil.which("fluidsynth") is None:
        raise UserError(
            "rendering needs FluidSynth: sudo apt install fluidsynth fluid-soundfont-gm, "
            "or pip install --no-deps tinysoundfont and --synth tinysoundfont"
        )


def find_soundfont(path: Path | None = None) -> Path:
    """The soundfont to use: the one named, else the first of SOUNDFONTS that is installed."""
    for candidate in [path] if path else SOUNDFONTS:
        if candidate.exists():
            return candidate
    missing = path or SOUNDFONTS[0]
    raise UserError(f"no soundfont {missing}: sudo apt install fluid-soundfont-gm, or name one with --soundfont")


def synthesise(midi: bytes, soundfont: Path, seed: int) -> np.ndarray:
    """Mono float32 at 44.1 kHz; reverb and chorus drawn by the seed."""
    rng = random.Random(seed)
    options = {
        "synth.reverb.active": "yes", "synth.reverb.room-size": f"{rng.uniform(0.1, 0.8):.3f}",
        "synth.reverb.level": f"{rng.uniform(0.1, 0.9):.3f}", "synth.reverb.damp": f"{rng.uniform(0, 0.6):.3f}",
        "synth.chorus.active": rng.choice(("yes", "no")), "synth.chorus.level": f"{rng.uniform(0.3, 2):.3f}",
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ditto-render-") as folder:
        path = Path(folder) / "piece.mid"
        path.write_bytes(midi)
        command = ["fluidsynth", "-niq", "-g", "0.35", "-r", str(SYNTH_RATE), "-O", "s16", "-T", "raw", "-F", "-"]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        raw = _bounded([*command, str(soundfont), str(path)], int(MAX_SECONDS * SYNTH_RATE) * 4)
    samples = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<i2").reshape(-1, 2)
    return (samples.astype(np.float32) / 32768).mean(axis=1)


def _bounded(command: list[str], limit: int) -> bytes:
    """Standard output of a command, killed when it takes longer than TIMEOUT or writes more than ``limit`` bytes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        data = process.stdout.read(limit + 1)
        timed_out = not timer.is_alive()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    if timed_out:
        raise RenderError(f"took more than {TIMEOUT:.0f} s")
    if len(data) > limit:
        raise RenderError(f"longer than {MAX_SECONDS:.0f} s")
    return data


def finish(wave: np.ndarray, seed: int) -> np.ndarray:
    """Resample, cut the silent end, set the peak; RenderError when nothing is left."""
    import soxr

    wave = soxr.resample(wave, SYNTH_RATE, RATE)
    peak = float(np.abs(wave).max(initial=0.0))
    if peak < 1e-4:
        raise RenderError("silent")
    blocks = np.abs(wave[: len(wave) // 512 * 512]).reshape(-1, 512).max(axis=1)
    loud = np.flatnonzero(blocks > peak * 10 ** (TAIL_DB / 20))
    wave = wave[: (loud[-1] + 1) * 512]
    rms_db = 20 * np.log10(np.sqrt(np.mean(wave**2)) / peak + 1e-9)
    if rms_db < SILENCE_DB:
        raise RenderError(f"nearly silent ({rms_db:.0f} dB below its peak)")
    if len(wave) < 8 * RATE:
        raise RenderError(f"only {len(wave) / RATE:.1f} s of sound")
    target = random.Random(seed + 1).uniform(*PEAK_DB)
    return wave * np.float32(10 ** (target / 20) / peak)


def render_piece(piece: Piece, midi: bytes, out: Path, soundfont: Path) -> float:
    """Write one FLAC atomically; returns its seconds."""
    seed = seed_of(f"render {piece.piece_id}")
    wave = finish(mixed(synthesise(midi, soundfont, seed), piece.piece_id, SYNTH_RATE), seed)
    return write_flac(out, wave)


def write_flac(out: Path, wave: np.ndarray, rate: int = RATE) -> float:
    """Write a FLAC as a whole or not at all; returns its seconds."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    soundfile.write(partial, wave, rate, format="FLAC", subtype="PCM_16")
    os.replace(partial, out)
    return len(wave) / rate
