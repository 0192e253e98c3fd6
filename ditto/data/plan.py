"""The plan of the corpus: every piece id maps, through its own seed, to a tune, a groove, a key, a tempo and a lead.

Nothing here touches the disk beyond the two catalogues: the same id gives the same plan everywhere.
"""

import hashlib
import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from ditto.data.grooves import TEMPO, Groove, held_out_files, load_grooves
from ditto.data.instruments import GENRE_LEADS, LEADS
from ditto.data.tunes import Tune, by_kind, load_tunes

SPLITS = ("val", "test", "train")
COUNTS = {"val": 215, "test": 225, "train": 3600}
"""Pieces per split (about 48 s each): 2.8, 2.9 and 47 hours."""

SECONDS = (40.0, 56.0)
MELODY_SHARE, MINOR_SHARE, HELD_OUT_SHARE = 0.75, 0.33, 0.3
BANDS = {"full": 0.78, "no drums": 0.12, "duo": 0.10}
DYNAMICS = {"even": 0.38, "growing": 0.09, "fading": 0.09, "swelling": 0.26, "contrasting": 0.18}


@dataclass(frozen=True)
class Plan:
    """What a piece is made of. ``level`` is its loudness 0..1, ``shift`` semitones from the tune's written pitch."""

    piece_id: str
    split: str
    seed: int
    groove: Groove
    held_out: bool
    tune: Tune
    bpm: int
    tonic: int
    shift: int
    lead: int | None
    band: str
    dynamics: str
    level: float
    bars: int


def seed_of(text: str) -> int:
    """A 31-bit seed from a text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) & 0x7FFFFFFF


def piece_ids(split: str, count: int | None = None) -> list[str]:
    """``train-00000`` ...: the ids of a split in their order of rendering."""
    return [f"{split}-{index:05d}" for index in range(COUNTS[split] if count is None else count)]


@cache
def _grooves(held_out: bool) -> dict[str, list[Groove]]:
    """Grooves by genre, either the held-out files' or all others'."""
    table = defaultdict(list)
    for groove in load_grooves():
        if (groove.file in held_out_files()) == held_out:
            table[groove.genre].append(groove)
    return dict(table)


@cache
def tunes_by_kind() -> dict[tuple[str, int, bool], list[Tune]]:
    """Tunes by (split, beats, minor)."""
    return by_kind(load_tunes())


def _draw_groove(rng: random.Random, held_out: bool) -> Groove:
    """Genre first (rare genres are raised: weight is the 0.3rd power of the groove count), then file, then groove."""
    table = _grooves(held_out)
    names = sorted(table)
    genre = rng.choices(names, [len(_grooves(False)[name]) ** 0.3 for name in names])[0]
    files = sorted({groove.file for groove in table[genre]})
    file = rng.choice(files)
    return rng.choice([groove for groove in table[genre] if groove.file == file])


def tempo_range(groove: Groove) -> tuple[int, int]:
    """The genre's tempi; a file that is slow or fast by name keeps to that half."""
    low, high = TEMPO[groove.genre]
    middle, name = (low + high) // 2, groove.file.split("/")[1]
    if any(word in name for word in ("slow", "mellow", "lullaby", "ballad", "easy")):
        return low, middle
    return (middle, high) if any(word in name for word in ("fast", "quick")) else (low, high)


def draw_lead(rng: random.Random, genre: str, share: float = MELODY_SHARE) -> int | None:
    """The lead's program, one of the genre's more often than not; None without a melody."""
    if rng.random() >= share:
        return None
    return rng.choice(GENRE_LEADS[genre] if rng.random() < 0.7 else tuple(LEADS))


def draw_shift(rng: random.Random, tune: Tune, lead: int | None) -> int:
    """Key and octave, drawn apart: one of twelve keys, then the octave nearest the lead's register or one off."""
    key = rng.randrange(12)
    centre = LEADS[lead].centre if lead is not None else 72
    pitches = [note[2] for bar in tune.bars for note in bar]
    octave = round((centre - sum(pitches) / len(pitches) - key) / 12) + rng.choices((0, 1, -1), (0.8, 0.1, 0.1))[0]
    shift = key + 12 * octave
    while max(pitches) + shift > 103:
        shift -= 12
    while min(pitches) + shift < 36:
        shift += 12
    return shift


def plan(piece_id: str) -> Plan:
    """The plan of one piece, drawn from its id alone."""
    split = piece_id.split("-")[0]
    seed = seed_of(f"ditto music {piece_id}")
    rng = random.Random(seed)
    held_out = split == "test" and rng.random() < HELD_OUT_SHARE
    groove = _draw_groove(rng, held_out)
    minor = rng.random() < MINOR_SHARE
    tune = rng.choice(tunes_by_kind()[split, groove.beats, minor])
    bpm = rng.randint(*tempo_range(groove))
    lead = draw_lead(rng, groove.genre)
    shift = draw_shift(rng, tune, lead)
    band = rng.choices(list(BANDS), list(BANDS.values()))[0]
    dynamics = rng.choices(list(DYNAMICS), list(DYNAMICS.values()))[0]
    level = rng.choices((0.55, 0.8, 1.0), (0.25, 0.45, 0.3))[0]
    bars = 4 * max(2, round(rng.uniform(*SECONDS) * bpm / 60 / groove.beats / 4))
    tonic = (tune.tonic + shift) % 12
    return Plan(
        piece_id, split, seed, groove, held_out, tune, bpm, tonic, shift, lead, band, dynamics, level, bars
    )  # fmt: skip
