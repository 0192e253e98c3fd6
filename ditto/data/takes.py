"""Takes: a training piece played again differently, drawn from the piece's id and the take's number alone.

Take 0 is the piece itself. Take k (`train-00042.3`) has another key and tempo, another performance, sometimes one
instrument less or one exchanged for a relative, another sound and another mix; the tune, the groove and the split stay.
Whatever a label says is decided here, before any MIDI is read; `performance.py` carries it out.
"""

import csv
import gzip
import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ditto.data.captions import captions, mood
from ditto.data.grooves import CORPUS, Groove
from ditto.data.harmony import NAMES
from ditto.data.instruments import BASSES, PROGRAMS
from ditto.data.labels import Piece
from ditto.data.plan import seed_of, tempo_range
from ditto.errors import UserError

LEVELS = (CORPUS / "levels.csv.gz", CORPUS / "levels-electronic.csv.gz")
TEMPO_FACTOR = (0.85, 1.2)
KEYS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6)
LEAVE_OUT, LEAVE_OUT_DRUMS, EXCHANGE = 0.3, 0.25, 0.4
FAMILIES: tuple[tuple[int, ...], ...] = (
    (0, 2, 4), (8, 9, 10), (11, 12, 13), (16, 18, 19), (21, 23), (24, 25, 26, 27), (29, 30), (32, 35), (33, 36, 38),
    (40, 110), (48, 50), (52, 54, 91), (56, 59), (64, 65, 66), (68, 71), (72, 73, 75, 78), (80, 81, 83, 90), (89, 95),
)  # fmt: skip
"""Programs that can stand for one another: like register, like part in a band."""
RELATIVES = {PROGRAMS[program]: [p for p in family if p != program] for family in FAMILIES for program in family}
LOW_NAMES = frozenset(PROGRAMS[program] for program in BASSES)


@dataclass(frozen=True)
class Take:
    """A take's label (``piece``) and how it is made from the MIDI of ``source``.

    ``semitones`` is the transposition, ``left_out`` an instrument's name or "", ``exchanged`` (name, new program).
    """

    piece: Piece
    source: str
    number: int = 0
    semitones: int = 0
    left_out: str = ""
    exchanged: tuple[str, int] | None = None

    @property
    def seed(self) -> int:
        return seed_of(f"take {self.piece.piece_id}")

    def play(self, midi: bytes) -> bytes:
        """The take's MIDI, from the piece's; take 0 is the piece, byte for byte."""
        from ditto.data.performance import perform

        return perform(midi, self) if self.number else midi

    def soundfont(self, fonts: Sequence[Path]) -> Path:
        """The first soundfont for the piece itself; further takes go round all of them, from one drawn by the piece."""
        start = seed_of(f"soundfont {self.source}") if self.number else 0
        return fonts[(start + self.number) % len(fonts)]


@cache
def load_levels(*paths: Path) -> dict[str, float]:
    """Loudness level of every composed piece by id: the part of its plan that its mood depends on."""
    levels: dict[str, float] = {}
    for path in paths or LEVELS:
        if not path.exists():
            raise UserError(f"{path} is missing: python -m ditto.data.build midi")
        rows = csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode()))
        levels |= {row["piece_id"]: float(row["level"]) for row in rows}
    return levels


def write_levels(levels: dict[str, float], path: Path) -> None:
    """Write what :func:`load_levels` reads; the bytes depend on the rows alone."""
    lines = ["piece_id,level", *(f"{name},{level}" for name, level in levels.items())]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))


def _draw_bpm(rng: random.Random, piece: Piece) -> int:
    """A whole tempo within the factor of the piece's and within the range of its genre and groove."""
    low, high = tempo_range(Groove(piece.groove, piece.genre, 4))
    low = max(low, math.ceil(piece.bpm * TEMPO_FACTOR[0]))
    return rng.randint(low, min(high, int(piece.bpm * TEMPO_FACTOR[1])))


def _draw_left_out(rng: random.Random, piece: Piece) -> str:
    """The drums, or one accompanying instrument that is neither bass nor lead; "" where two would not remain."""
    voices = len(piece.instruments) + bool(piece.lead)
    inner = [n for n in piece.instruments if n != "drums" and n not in LOW_NAMES and n != piece.lead]
    chance, drums = rng.random(), rng.random() < LEAVE_OUT_DRUMS
    if chance >= LEAVE_OUT or voices < 3:
        return ""
    if drums and "drums" in piece.instruments:
        return "drums"
    return rng.choice(inner) if len(inner) > 1 or (inner and piece.lead) else ""


def _draw_exchange(rng: random.Random, piece: Piece, left_out: str) -> tuple[str, int] | None:
    """One of the names that are left, and the program of a relative that the piece did not have."""
    names = list(dict.fromkeys([*filter(None, [piece.lead]), *piece.instruments]))
    able = {n: [p for p in RELATIVES.get(n, ()) if PROGRAMS[p] not in names] for n in names if n != left_out}
    pairs = [(name, programs) for name, programs in able.items() if programs]
    if rng.random() >= EXCHANGE or not pairs:
        return None
    name, programs = rng.choice(pairs)
    return name, rng.choice(programs)


def take(piece: Piece, number: int, level: float) -> Take:
    """Take ``number`` of a piece whose plan has the loudness ``level``; its label is exact."""
    if number == 0:
        return Take(piece, piece.piece_id)
    name = f"{piece.piece_id}.{number}"
    rng = random.Random(seed_of(f"take plan {name}"))
    keys = random.Random(seed_of(f"take keys {piece.piece_id}")).sample(KEYS, len(KEYS))
    semitones, bpm = keys[(number - 1) % len(keys)], _draw_bpm(rng, piece)
    left_out = _draw_left_out(rng, piece)
    band = [instrument for instrument in piece.instruments if instrument != left_out]
    exchanged = _draw_exchange(rng, piece, left_out)
    old, new = (exchanged[0], PROGRAMS[exchanged[1]]) if exchanged else ("", "")
    instruments = tuple(dict.fromkeys(new if instrument == old else instrument for instrument in band))
    lead = new if piece.lead and piece.lead == old else piece.lead
    key = NAMES[(NAMES.index(piece.key) + semitones) % 12]
    feeling = mood(piece.genre, bpm, level, piece.mode)
    label = replace(
        piece, piece_id=name, file=f"audio/{name}.flac", seconds=round(piece.seconds * piece.bpm / bpm, 3), bpm=bpm,
        key=key, mood=feeling, lead=lead, instruments=instruments,
        captions=captions(name, piece.genre, feeling, bpm, key, piece.mode, lead, instruments),
    )  # fmt: skip
    return Take(label, piece.piece_id, number, semitones, left_out, exchanged)


def schedule(pieces: Sequence[Piece], count: int = 1) -> list[Take]:
    """Every piece once in its order, then take 1 of every training piece, then take 2: any prefix is balanced."""
    first = [Take(piece, piece.piece_id) for piece in pieces]
    again = [piece for piece in pieces if piece.split == "train"] if count > 1 else []
    levels = load_levels() if again else {}
    return [*first, *(take(piece, number, levels[piece.piece_id]) for number in range(1, count) for piece in again)]
