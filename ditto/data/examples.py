"""The examples shipped with the code: eight test clips for edits, and melodies of test tunes as targets.

``examples/<name>.flac`` holds exactly 512 x 256 samples at 22.05 kHz; ``examples/examples.json`` says what each one is.
``examples/melodies.json`` holds the openings of test tunes as ``[[onset_s, duration_s, midi], ...]`` at the tempo and in the
key of a test piece made from the tune, cut to a clip's 5.944 s.
"""

import json
from pathlib import Path

import numpy as np
import soundfile

from ditto.data.folder import CLIP_SECONDS
from ditto.data.labels import Piece, load_pieces
from ditto.data.pack import atomic_write
from ditto.data.render import RATE, write_flac
from ditto.types import UserError

EXAMPLES = Path(__file__).parent / "examples"
GENRES = ("jazz", "rock", "waltz", "bossa nova", "blues", "folk", "house", "big band")
SAMPLES = 512 * 256
LICENCE = "GPL-2.0-or-later (MMA accompaniment), tune in the public domain, FluidR3 soundfont MIT"
MIN_NOTES, MELODIES = 8, 64


def melody(piece_id: str) -> list[list[float]]:
    """The opening of a piece's melody: [[onset in s, duration in s, MIDI pitch], ...] within a clip, from its first note."""
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


def clip(path: Path) -> np.ndarray:
    """A clip from the middle of a recording, starting where it is neither silent nor cut off [SAMPLES]."""
    with soundfile.SoundFile(path) as file:
        file.seek(max(0, min(file.frames - SAMPLES, file.frames // 3)))
        return file.read(SAMPLES, dtype="float32")


def choose(music: Path) -> list[Piece]:
    """One test piece with a lead melody for each of GENRES, out of those that are rendered."""
    chosen = []
    pieces = [p for p in load_pieces("test") if p.lead and not p.groove_held_out and (music / p.file).exists()]
    for genre in GENRES:
        piece = next((p for p in pieces if p.genre == genre), None)
        if piece is None:
            raise UserError(f"no rendered test piece of genre {genre} in {music}: python -m ditto.data.build render")
        chosen.append(piece)
    return chosen


def write_examples(music: Path) -> str:
    """Write the shipped examples from rendered music."""
    EXAMPLES.mkdir(exist_ok=True)
    rows = []
    for piece in choose(music):
        name = piece.genre.replace(" ", "_")
        write_flac(EXAMPLES / f"{name}.flac", clip(music / piece.file), RATE)
        rows.append({
            "file": f"{name}.flac", "piece_id": piece.piece_id, "prompt": piece.captions[0], "genre": piece.genre,
            "mood": piece.mood, "bpm": piece.bpm, "key": piece.key, "mode": piece.mode, "lead": piece.lead,
            "licence": LICENCE,
        })  # fmt: skip
    atomic_write(EXAMPLES / "examples.json", (json.dumps(rows, indent=1) + "\n").encode())
    tunes = melodies()
    text = ",\n".join(json.dumps(tune) for tune in tunes)
    atomic_write(EXAMPLES / "melodies.json", f"[\n{text}\n]\n".encode())
    return f"{EXAMPLES}: {len(rows)} clips, {len(tunes)} melodies"


def load_examples() -> list[dict[str, object]]:
    """The shipped clips: file (in EXAMPLES), prompt, piece_id, labels, licence."""
    return json.loads((EXAMPLES / "examples.json").read_text())


def load_melodies() -> list[dict[str, object]]:
    """The shipped melodies: tune, prompt, bpm, notes."""
    return json.loads((EXAMPLES / "melodies.json").read_text())
