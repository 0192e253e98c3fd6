"""A user's own recordings: a folder of wav, flac, ogg or mp3 files and a captions file -> the layout of the corpus.

``captions.csv`` has a header and the columns ``file`` (path inside the folder) and ``caption``; a file may have several
rows. Optional columns ``genre``, ``mood``, ``bpm``, ``key``, ``mode``, ``split`` are taken over. Any sample rate and
number of channels is fine (resampled to 22.05 kHz, averaged to mono). Recordings are cut into parts of at most 60 s;
splits are by recording. What can't be used is named with its reason in ``dropped.csv`` and never stops the rest.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ditto.data.labels import Piece, to_csv
from ditto.data.pack import atomic_write
from ditto.data.render import RATE, SILENCE_DB, write_flac
from ditto.data.tunes import split_of
from ditto.errors import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".mp3")
CLIP_SECONDS = 512 * 256 / RATE
PART_SECONDS, MAX_SECONDS = 60.0, 1800.0


class RecordingError(ValueError):
    """A recording can't be used; the text says why."""


@dataclass(frozen=True)
class Source:
    """One recording to read: ``name`` identifies it, ``captions`` describe it, ``row`` holds further labels."""

    path: Path
    name: str
    captions: tuple[str, ...]
    row: dict[str, str]


def read_mono(path: Path) -> np.ndarray:
    """Mono float32 at 22.05 kHz, at most MAX_SECONDS; RecordingError for what is not usable sound."""
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            rate, limit = file.samplerate, int(MAX_SECONDS * file.samplerate)
            chunks = file.blocks(1 << 18, frames=limit, dtype="float32", always_2d=True)
            blocks = [chunk.mean(axis=1) for chunk in chunks]
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise RecordingError(f"unreadable: {' '.join(str(error).split())[-120:]}") from error
    wave = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not np.isfinite(wave).all():
        raise RecordingError("holds samples that are not numbers")
    if len(wave) < CLIP_SECONDS * rate:
        raise RecordingError(f"too short: {len(wave) / rate:.2f} s, a clip needs {CLIP_SECONDS:.2f} s")
    wave = soxr.resample(wave, rate, RATE) if rate != RATE else wave
    return wave / max(1.0, float(np.abs(wave).max()))


def parts(wave: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Equal parts of at most PART_SECONDS that are not silent, with their numbers."""
    count = max(1, int(np.ceil(len(wave) / (PART_SECONDS * RATE))))
    if len(wave) / count < CLIP_SECONDS * RATE:
        count = 1
    for number, part in enumerate(np.array_split(wave, count)):
        if 10 * np.log10(np.mean(part.astype(np.float64) ** 2) + 1e-12) >= SILENCE_DB:
            yield number, part


def piece_name(name: str) -> str:
    """A file-system safe id that stays unique: the words of the name and eight digits of its hash."""
    words = re.sub(r"[^a-z0-9]+", "-", Path(name).with_suffix("").as_posix().lower()).strip("-")[-48:]
    return f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _piece(source: Source, piece_id: str, seconds: float) -> Piece:
    row = source.row
    split = row.get("split", "") or split_of(source.name)
    bpm = re.search(r"\d+(\.\d+)?", row.get("bpm", ""))
    return Piece(
        piece_id, split, f"audio/{piece_id}.flac", round(seconds, 3), row.get("genre", ""), row.get("mood", ""),
        round(float(bpm[0]) if bpm else 0), row.get("key", ""), row.get("mode", ""), "", (), "", False, source.name,
        source.captions,
    )  # fmt: skip


def convert(source: Source, out: Path) -> list[Piece]:
    """Write the parts of one recording; parts that are there already are kept."""
    wave, pieces = read_mono(source.path), []
    for number, part in parts(wave):
        piece_id = f"{piece_name(source.name)}-{number:03d}"
        path = out / "audio" / f"{piece_id}.flac"
        seconds = len(part) / RATE if path.exists() else write_flac(path, part)
        pieces.append(_piece(source, piece_id, seconds))
    if not pieces:
        raise RecordingError(f"silent: under {SILENCE_DB:.0f} dB throughout")
    return pieces


def convert_all(sources: list[Source], out: Path, dropped: dict[str, str]) -> str:
    """Convert every source, write pieces.csv and dropped.csv, and say in words what came of it."""
    (out / "audio").mkdir(parents=True, exist_ok=True)
    pieces: list[Piece] = []
    for source in tqdm(sources, desc="recordings", unit="file"):
        try:
            pieces += convert(source, out)
        except RecordingError as error:
            dropped[source.name] = str(error)
    atomic_write(out / "pieces.csv", to_csv(pieces).encode())
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("file", "reason"), *sorted(dropped.items())])
    atomic_write(out / "dropped.csv", buffer.getvalue().encode())
    if not pieces:
        raise UserError(f"no usable recording; the reasons are in {out / 'dropped.csv'}")
    lines = [f"{out}: {len(pieces)} pieces, {sum(p.seconds for p in pieces) / 3600:.2f} h; dropped {len(dropped)}"]
    return "\n".join(lines + [f"  dropped {name}: {reason}" for name, reason in sorted(dropped.items())])


def read_captions(path: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of the captions file by file name."""
    if not path.is_file():
        raise UserError(f"no captions file {path}: a csv with the header file,caption")
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a csv in UTF-8: {error}") from error
    if not rows or not {"file", "caption"} <= set(rows[0]):
        raise UserError(f"{path} needs a header with file,caption and at least one row")
    table: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        table.setdefault((row["file"] or "").strip(), []).append({k: (v or "").strip() for k, v in row.items() if k})
    return table


def _sources(folder: Path, table: dict[str, list[dict[str, str]]], dropped: dict[str, str]) -> list[Source]:
    sources = []
    there = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES}
    for name, path in there.items():
        rows = table.get(name, [])
        words = tuple(row["caption"] for row in rows if row["caption"])
        if not words:
            dropped[name] = "no caption in the captions file"
        elif rows[0].get("split", "") not in ("", "train", "val", "test"):
            dropped[name] = f"unknown split {rows[0]['split']!r}: train, val or test"
        else:
            sources.append(Source(path, name, words, rows[0]))
    for name in table.keys() - there.keys():
        dropped[name] = "named in the captions file, but not there (wav, flac, ogg, mp3)"
    return sources


def read_folder(folder: Path, captions: Path | None, out: Path) -> str:
    """Build a data set from a folder of recordings; returns a summary that names what was dropped."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    dropped: dict[str, str] = {}
    sources = _sources(folder, read_captions(captions or folder / "captions.csv"), dropped)
    return convert_all(sources, out, dropped)
