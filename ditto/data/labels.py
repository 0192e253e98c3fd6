"""Labels of the corpus: one row a piece, readable from the repository without any audio."""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

from ditto.data.captions import captions, mood
from ditto.data.grooves import CORPUS
from ditto.data.harmony import NAMES
from ditto.data.plan import Plan
from ditto.errors import UserError

LABELS, ELECTRONIC = CORPUS / "pieces.csv.gz", CORPUS / "pieces-electronic.csv.gz"


@dataclass(frozen=True)
class Piece:
    """One piece of music. ``file`` is relative to the data set's folder; ``captions[0]`` is the paper's template."""

    piece_id: str
    split: str
    file: str
    seconds: float
    genre: str
    mood: str
    bpm: int
    key: str
    mode: str
    lead: str
    instruments: tuple[str, ...]
    groove: str
    groove_held_out: bool
    tune: str
    captions: tuple[str, ...]


FIELDS = tuple(field.name for field in fields(Piece))


def label(plan: Plan, lead: str, instruments: tuple[str, ...], seconds: float) -> Piece:
    """The label of a composed piece."""
    mode = "minor" if plan.tune.minor else "major"
    feeling, key = mood(plan.groove.genre, plan.bpm, plan.level, mode), NAMES[plan.tonic]
    words = captions(plan.piece_id, plan.groove.genre, feeling, plan.bpm, key, mode, lead, instruments)
    return Piece(
        plan.piece_id, plan.split, f"audio/{plan.piece_id}.flac", round(seconds, 3), plan.groove.genre, feeling,
        plan.bpm, key, mode, lead, instruments, plan.groove.name, plan.held_out, plan.tune.tune_id, words,
    )  # fmt: skip


def to_csv(pieces: Iterable[Piece]) -> str:
    """CSV text: instruments joined by ``;``, captions as a JSON list."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    for piece in pieces:
        row = asdict(piece)
        row |= {"instruments": ";".join(piece.instruments), "captions": json.dumps(piece.captions)}
        writer.writerow(row | {"groove_held_out": int(piece.groove_held_out)})
    return buffer.getvalue()


def from_csv(text: str) -> list[Piece]:
    """Inverse of ``to_csv``."""
    pieces = []
    for row in csv.DictReader(io.StringIO(text)):
        pieces.append(Piece(**row | {
            "seconds": float(row["seconds"]), "bpm": int(row["bpm"] or 0),
            "instruments": tuple(filter(None, row["instruments"].split(";"))),
            "groove_held_out": row["groove_held_out"] == "1", "captions": tuple(json.loads(row["captions"])),
        }))  # fmt: skip
    return pieces


def write_labels(pieces: Iterable[Piece], path: Path = LABELS) -> None:
    """Write the repository's labels; the bytes depend on the rows alone."""
    path.write_bytes(gzip.compress(to_csv(pieces).encode(), 9, mtime=0))


@cache
def _all(path: Path = LABELS) -> tuple[Piece, ...]:
    if not path.exists():
        raise UserError(f"the labels {path} are missing: python -m ditto.data.build midi")
    return tuple(from_csv(gzip.decompress(path.read_bytes()).decode()))


def load_pieces(split: str | None = None) -> list[Piece]:
    """Pieces of a split (train, val, test; None for all), from the repository."""
    if split not in (None, "train", "val", "test"):
        raise UserError(f"unknown split {split!r}: choose train, val or test")
    return [piece for piece in _all() if split in (None, piece.split)]


def load_electronic() -> list[Piece]:
    """The electronic series: further pieces for training, apart so that whatever counts the splits stays."""
    return list(_all(ELECTRONIC))


def read_pieces(root: Path, split: str | None = None) -> list[Piece]:
    """Pieces that lie rendered under ``root`` (``<root>/pieces.csv``, ``<root>/audio``)."""
    path = root / "pieces.csv"
    if not path.exists():
        raise UserError(f"no music in {root}: python -m ditto.data.build render")
    return [piece for piece in from_csv(path.read_text()) if split in (None, piece.split)]


def prompts(split: str) -> list[str]:
    """One prompt a piece: the paper's template."""
    return [piece.captions[0] for piece in load_pieces(split)]
