"""Melody targets: notes of the shipped test tunes, of a MIDI file, or of a sung or played recording.

A note is (onset in s, duration in s, MIDI number). Where notes overlap, the highest one counts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ditto.audio.io import read_clip
from ditto.controls.base import ControlError
from ditto.controls.reference import AUDIO, EXAMPLES
from ditto.types import ClipSpec

Note = tuple[float, float, float]
SILENT = -1
DRUM_CHANNEL = 9


def pitch_classes(notes: list[Note], clip: ClipSpec) -> np.ndarray:
    """The pitch class (0 = C) sounding at each frame, SILENT where none does; int64 [T]."""
    times = np.arange(clip.frames) / clip.frame_rate
    classes = np.full(clip.frames, SILENT, dtype=np.int64)
    for onset, duration, midi in sorted(notes, key=lambda note: note[2]):
        classes[(times >= onset) & (times < onset + duration)] = round(midi) % 12
    return classes


def example_melodies() -> list[list[Note]]:
    """The melodies of the shipped test tunes."""
    path = EXAMPLES / "melodies.json"
    if not path.is_file():
        raise ControlError(f"no example melodies at '{path}': give a MIDI file or a recording as melody")
    return [[tuple(note) for note in melody["notes"]] for melody in json.loads(path.read_text())]


def read_melody(path: str | Path, clip: ClipSpec) -> np.ndarray:
    """Pitch classes of a .mid file or of a recording of one voice, [T]."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".mid", ".midi", *AUDIO):
        raise ControlError(f"unknown melody '{path}': choose auto, a .mid file or a recording (wav, flac, ogg, mp3)")
    if not Path(path).is_file():
        raise ControlError(f"no melody at '{path}': give the path of a .mid file or of a recording")
    classes = _from_audio(path, clip) if suffix in AUDIO else pitch_classes(midi_notes(path), clip)
    if (classes == SILENT).all():
        raise ControlError(f"no note was found in the first {clip.seconds:.2f} s of '{path}'")
    return classes


def midi_notes(path: str | Path) -> list[Note]:
    """All notes of a MIDI file outside the drum channel."""
    import mido

    try:
        messages = list(mido.MidiFile(path))  # deltas in seconds, tracks merged
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise ControlError(f"cannot read '{path}' as MIDI: {error or type(error).__name__}") from error
    notes: list[Note] = []
    sounding: dict[tuple[int, int], float] = {}  # onsets by channel and note
    now = 0.0
    for message in messages:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
            continue
        key = (message.channel, message.note)
        if key in sounding:
            onset = sounding.pop(key)
            notes.append((onset, now - onset, message.note))
        if message.type == "note_on" and message.velocity > 0:
            sounding[key] = now
    return notes + [(onset, now - onset, note) for (_, note), onset in sounding.items()]


def _from_audio(path: str | Path, clip: ClipSpec) -> np.ndarray:
    """Pitch tracking by pYIN (Mauch & Dixon 2014), C2 to C7; unvoiced frames are SILENT."""
    import librosa

    wave = read_clip(path, clip).numpy()
    low, high = float(librosa.note_to_hz("C2")), float(librosa.note_to_hz("C7"))
    hertz, voiced, _ = librosa.pyin(wave, fmin=low, fmax=high, sr=clip.sample_rate, hop_length=clip.hop)
    hertz, voiced = hertz[: clip.frames], voiced[: clip.frames]
    classes = np.full(clip.frames, SILENT, dtype=np.int64)
    classes[voiced] = np.round(librosa.hz_to_midi(hertz[voiced])).astype(np.int64) % 12
    return classes
