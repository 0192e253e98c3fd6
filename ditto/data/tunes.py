"""The public-domain tunes: Ryan's Mammoth Collection (1883) and O'Neill's Music of Ireland (1903), in music21's corpus.

Tunes that occur twice (same title, or same opening intervals) form one group; a group lies in one split only.
"""

import hashlib
import importlib.util
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from ditto.data.abc import AbcError, AbcTune, Note, parse_tune, split_tunes
from ditto.errors import UserError

BOOKS = {"ryan": "ryansMammoth", "oneill": "oneills1850"}
BEATS = {"2/4": 4, "2/2": 4, "4/4": 4, "3/4": 3, "6/8": 3, "9/8": 3, "3/8": 3}
"""Groove beats per bar that a tune's bar is stretched to: 2/4 in sixteenths becomes 4/4 in eighths."""
MINOR = ("min", "dor", "phr")


@dataclass(frozen=True)
class Tune:
    """A melody in groove beats: ``bars`` hold (onset, duration, MIDI pitch) in beats of a bar of ``beats`` beats."""

    tune_id: str
    title: str
    tonic: int
    mode: str
    beats: int
    bars: tuple[tuple[Note, ...], ...]
    split: str

    @property
    def minor(self) -> bool:
        return self.mode in MINOR


def corpus_root() -> Path:
    """Folder of music21's corpus, found without importing music21."""
    spec = importlib.util.find_spec("music21")
    if spec is None or spec.origin is None:
        raise UserError("the tunes come from music21's corpus: pip install music21 (or the [data] extra)")
    return Path(spec.origin).parent / "corpus"


def _read_all() -> dict[str, AbcTune]:
    """Every tune that can be trusted, by id; of a number that occurs twice in a book the first wins."""
    tunes: dict[str, AbcTune] = {}
    for book, folder in BOOKS.items():
        for path in sorted((corpus_root() / folder).glob("*.abc")):
            for text in split_tunes(path.read_text(encoding="utf-8", errors="replace")):
                number = re.search(r"(?m)^N:\s*(\d+)\s*$|^B:.*?(\d+)\D*$", text) if book == "oneill" else None
                try:
                    tune = parse_tune(text)
                except AbcError:
                    continue
                name = path.stem if book == "ryan" else str((number and (number[1] or number[2])) or tune.number)
                usable = tune.meter in BEATS and 8 <= len(tune.bars) <= 60 and sum(map(len, tune.bars)) >= 24
                if usable:
                    tunes.setdefault(f"{book}-{name.lower()}", tune)
    return tunes


def _signatures(tune: AbcTune) -> tuple[str, str]:
    title = re.sub(r"[^a-z]", "", tune.title.lower().split("--")[0])
    pitches = [note[2] for bar in tune.bars for note in bar]
    return f"title {title}", f"notes {[b - a for a, b in pairwise(pitches[2:21])]}"


def groups(tunes: dict[str, AbcTune]) -> dict[str, str]:
    """Tune id -> id of its group: tunes that share a title or an opening, directly or through others."""
    parent = {name: name for name in tunes}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    seen: dict[str, str] = {}
    for name, tune in tunes.items():
        for signature in _signatures(tune):
            other = find(seen.setdefault(signature, name))
            parent[find(name)] = other
    return {name: find(name) for name in tunes}


def split_of(group: str) -> str:
    """90/5/5 by a hash of the group's id: adding tunes never moves the others."""
    value = int(hashlib.sha256(f"tune split {group}".encode()).hexdigest()[:8], 16) % 100
    return "test" if value < 5 else "val" if value < 10 else "train"


def _stretch(tune: AbcTune) -> tuple[tuple[Note, ...], ...]:
    scale = BEATS[tune.meter] / tune.bar
    return tuple(tuple((o * scale, d * scale, p) for o, d, p in bar) for bar in tune.bars)


@cache
def load_tunes() -> dict[str, Tune]:
    """All usable tunes by id."""
    raw = _read_all()
    group = groups(raw)
    return {
        name: Tune(name, t.title, t.tonic, t.mode, BEATS[t.meter], _stretch(t), split_of(group[name]))
        for name, t in raw.items()
    }


def by_kind(tunes: dict[str, Tune]) -> dict[tuple[str, int, bool], list[Tune]]:
    """Tunes by (split, beats, minor)."""
    table = defaultdict(list)
    for tune in tunes.values():
        table[tune.split, tune.beats, tune.minor].append(tune)
    return dict(table)
