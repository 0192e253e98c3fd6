"""Accompaniment: the full-band grooves of MMA's library (Musical MIDI Accompaniment), with a genre for every file.

``corpus/genres.csv`` (ours: file, genre) says which library files are used; ``scan`` lists their grooves from the
installed MMA, drops intros, endings, fills and drum-only ones, keeps those of 3 or 4 beats and writes
``corpus/grooves.csv``, so that the plan of the corpus does not depend on the machine.
"""

import csv
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ditto.errors import UserError

CORPUS = Path(__file__).parent / "corpus"
LIBRARY = Path("/usr/share/mma/lib")
NOT_MAIN = re.compile(r"intro|end(sus|plus|\d)*$|ending|fill|break|count|metronome|drum|cresc|solo$", re.IGNORECASE)
BASS = {"BASS", "WALK"}
CHORDAL = {"CHORD", "ARPEGGIO", "PLECTRUM", "ARIA", "SCALE"}

TEMPO: dict[str, tuple[int, int]] = {
    "ambient": (60, 100), "ballad": (60, 92), "big band": (110, 200), "blues": (66, 126), "boogie": (110, 176),
    "bossa nova": (104, 150), "broadway": (92, 150), "country": (90, 150), "disco": (108, 126), "folk": (76, 132),
    "funk": (88, 118), "gospel": (60, 112), "hip hop": (78, 102), "house": (116, 130), "jazz": (84, 200),
    "march": (92, 126), "metal": (112, 180), "polka": (104, 134), "pop": (84, 134), "ragtime": (90, 160),
    "rock": (92, 160), "rumba": (92, 132), "salsa": (96, 180), "samba": (90, 124), "ska": (110, 170),
    "soul": (70, 116), "tango": (100, 132), "techno": (124, 146), "trance": (126, 144), "waltz": (84, 184),
}  # fmt: skip
"""Beats per minute a genre is played at, lowest and highest."""


@dataclass(frozen=True)
class Groove:
    """One groove: ``name`` is MMA's ``library/file:Groove``."""

    name: str
    genre: str
    beats: int

    @property
    def file(self) -> str:
        return self.name.split(":")[0]


def genres() -> dict[str, str]:
    """Library file -> genre."""
    with (CORPUS / "genres.csv").open(newline="") as handle:
        return {row["file"]: row["genre"] for row in csv.DictReader(handle)}


@cache
def load_grooves() -> list[Groove]:
    """The grooves of the corpus."""
    with (CORPUS / "grooves.csv").open(newline="") as handle:
        return [Groove(row["groove"], row["genre"], int(row["beats"])) for row in csv.DictReader(handle)]


@cache
def held_out_files() -> frozenset[str]:
    """About a tenth of the groove files, for the test split only; a genre keeps at least two thirds of its files."""
    by_genre: dict[str, list[str]] = defaultdict(list)
    for file, genre in sorted(genres().items()):
        by_genre[genre].append(file)
    held = []
    for genre, files in by_genre.items():
        order = sorted(files, key=lambda f: hashlib.sha256(f"held out {genre} {f}".encode()).hexdigest())
        held += order[: min(round(len(files) / 8), len(files) // 3)]
    return frozenset(held)


def mma_command() -> str:
    """Path of the ``mma`` program."""
    path = shutil.which("mma")
    if path is None:
        raise UserError("making MIDI needs MMA: sudo apt install mma (the finished MIDI is in the repository)")
    return path


def _listed(file: str) -> list[str]:
    """Main grooves of one library file that have a bass and chords and are no intro, ending or fill."""
    run = subprocess.run([mma_command(), "-Djs", str(LIBRARY / f"{file}.mma")], capture_output=True, text=True)
    if "JSON" not in run.stdout:
        return []
    text = run.stdout.split("JSON", 1)[1]
    names = []
    for groove in json.loads(text[: text.rindex("]") + 1]):
        kinds = {track["track"].split("-")[0] for track in groove["tracks"] if any(map(str.strip, track["sequence"]))}
        if kinds & BASS and kinds & (CHORDAL | {"WALK"}) and len(kinds) >= 2 and not NOT_MAIN.search(groove["groove"]):
            names.append(f"{file}:{groove['groove']}")
    return names


def _beats(name: str) -> float:
    """Beats a bar, measured on a rendered scrap; 0 where the groove fails."""
    import mido

    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "a.mma"
        song.write_text(f"Tempo 60\nGroove {name}\n" + "".join(f"{bar + 1} C\n" for bar in range(16)))
        out = song.with_suffix(".mid")
        subprocess.run([mma_command(), str(song), "-f", str(out)], capture_output=True, timeout=60)
        return mido.MidiFile(out).length / 16 if out.exists() else 0.0


def scan() -> list[Groove]:
    """List and measure the installed library's grooves and write ``corpus/grooves.csv``."""
    found = []
    for file, genre in sorted(genres().items()):
        for name in _listed(file):
            beats = round(_beats(name))
            if beats in (3, 4):
                found.append(Groove(name, genre, beats))
    with (CORPUS / "grooves.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["groove", "genre", "beats"])
        writer.writerows([g.name, g.genre, g.beats] for g in found)
    return found
