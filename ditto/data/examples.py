"""The examples shipped with the code: test clips for edits, eight of 6 s and four of 24 s, and melodies as targets.

``examples/<name>.flac`` holds exactly 512 x 256 samples at 22.05 kHz, ``examples/long/<name>.flac`` 2048 x 256;
``examples.json`` beside them says what each one is.
``examples/melodies.json`` holds the openings of test tunes as ``[[onset_s, duration_s, midi], ...]`` at the tempo and
in the key of a test piece made from the tune, cut to a clip's 5.944 s.
"""

import json
from pathlib import Path

import numpy as np
import soundfile

from ditto.data.folder import CLIP_SECONDS
from ditto.data.grooves import load_grooves
from ditto.data.labels import Piece, load_pieces
from ditto.data.pack import atomic_write, read_pack
from ditto.data.render import RATE, find_soundfont, render_piece, write_flac

EXAMPLES = Path(__file__).parent / "examples"
GENRES = ("jazz", "rock", "waltz", "bossa nova", "blues", "folk", "house", "big band")
SAMPLES = 512 * 256
LONG = EXAMPLES / "long"
LONG_GENRES = ("blues", "jazz", "pop", "samba")  # those that make small files
LONG_SAMPLES = 2048 * 256
LICENCE = "GPL-2.0-or-later (MMA accompaniment), tune in the public domain, FluidR3 soundfont MIT"
MIN_NOTES, MELODIES = 8, 64


def melody(piece_id: str) -> list[list[float]]:
    """The opening of a piece's melody from its first note: [[onset in s, duration in s, MIDI pitch], ...] in a clip."""
    from ditto.data.midi import melody_bars
    from ditto.data.plan import plan

    recipe = plan(piece_id)
    beat, beats = 60.0 / recipe.bpm, recipe.groove.beats
    notes = [(i * beats + o, d, p) for i, bar in enumerate(melody_bars(recipe)) for o, d, p in bar]
    start, rows = notes[0][0], []
    for onset, duration, pitch in notes:
        begin = (onset - start) * beat
        length = min(duration * beat, CLIP_SECONDS - begin)
        if length >= min(0.05, duration * beat):
            rows.append([round(begin, 4), round(length, 4), pitch])
    return rows


def melodies() -> list[dict[str, object]]:
    """Melodies of distinct test tunes, each with the prompt of the piece it belongs to."""
    found: dict[str, dict[str, object]] = {}
    for piece in load_pieces("test"):
        if len(found) == MELODIES or piece.tune in found:
            continue
        notes = melody(piece.piece_id)
        if len(notes) >= MIN_NOTES:
            found[piece.tune] = {
                "tune": piece.tune, "piece_id": piece.piece_id, "prompt": piece.captions[0], "bpm": piece.bpm,
                "key": piece.key, "mode": piece.mode, "notes": notes,
            }  # fmt: skip
    return list(found.values())


def clip(piece: Piece, path: Path, samples: int = SAMPLES) -> np.ndarray:
    """A clip that starts with a bar about a third into the piece [samples]."""
    beats = next(groove.beats for groove in load_grooves() if groove.name == piece.groove)
    bar_s = beats * 60 / piece.bpm
    start_s = round(piece.seconds / 3 / bar_s) * bar_s
    with soundfile.SoundFile(path) as file:
        file.seek(round(start_s * RATE))
        return file.read(samples, dtype="float32")


def choose(genres: tuple[str, ...] = GENRES) -> list[Piece]:
    """The first test piece with a lead melody of each genre."""
    pieces = [piece for piece in load_pieces("test") if piece.lead and not piece.groove_held_out]
    return [next(piece for piece in pieces if piece.genre == genre) for genre in genres]


def write_examples(music: Path) -> str:
    """Write the shipped examples, rendering into ``music`` the pieces that are missing there."""
    rows = write_clips(EXAMPLES, choose(), music, SAMPLES) + write_clips(LONG, choose(LONG_GENRES), music, LONG_SAMPLES)
    tunes = melodies()
    text = ",\n".join(json.dumps(tune) for tune in tunes)
    atomic_write(EXAMPLES / "melodies.json", f"[\n{text}\n]\n".encode())
    return f"{EXAMPLES}: {rows} clips, {len(tunes)} melodies"


def write_clips(folder: Path, pieces: list[Piece], music: Path, samples: int) -> int:
    """A clip of each piece, and ``examples.json`` about them; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    (music / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for piece in pieces:
        name, path = piece.genre.replace(" ", "_"), music / piece.file
        if not path.exists():
            render_piece(piece, read_pack("test")[piece.piece_id], path, find_soundfont())
        write_flac(folder / f"{name}.flac", clip(piece, path, samples), RATE)
        rows.append({
            "file": f"{name}.flac", "piece_id": piece.piece_id, "prompt": piece.captions[0], "genre": piece.genre,
            "mood": piece.mood, "bpm": piece.bpm, "key": piece.key, "mode": piece.mode, "lead": piece.lead,
            "licence": LICENCE,
        })  # fmt: skip
    atomic_write(folder / "examples.json", (json.dumps(rows, indent=1) + "\n").encode())
    return len(rows)


def load_examples(folder: Path = EXAMPLES) -> list[dict[str, object]]:
    """The shipped clips (those of 24 s in LONG): file in the folder, prompt, piece_id, labels, licence."""
    return json.loads((folder / "examples.json").read_text())


def load_melodies() -> list[dict[str, object]]:
    """The shipped melodies: tune, prompt, bpm, notes."""
    return json.loads((EXAMPLES / "melodies.json").read_text())
