"""The MIDI of a take: transposed, at its own tempo, with expressive timing, articulation, velocities and balance.

Onsets move by a lag of the channel and a jitter of the chord, a few milliseconds each (Hennig et al., "The nature and
perception of fluctuations in human musical rhythms", 2011, find a spread of 5 to 20 ms in players); notes of a
channel never change their order and none loses its length. The grid of the score and so the tempo stay exact.
"""

import io
import math
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import mido

from ditto.data.instruments import BASSES, PROGRAMS
from ditto.data.plan import seed_of
from ditto.data.takes import Take

FINER, DRUMS = 5, 9
LAG_MS, DRUM_LAG_MS, SPREAD_MS = (-8.0, 14.0), (-4.0, 4.0), (1.0, 5.0)
MAX_SHIFT_MS = 28.0
RANGE, BASS_RANGE = (36, 100), (26, 67)
BALANCE_DB = (-5.0, 3.0)
PROGRAM, BANKS, VOLUME = "program_change", (0, 32), 7


@dataclass(frozen=True)
class Note:
    """A sounding note in ticks."""

    start: int
    end: int
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """One channel: its notes in order of onset, and its other messages as (tick, message)."""

    channel: int
    notes: list[Note]
    others: list[tuple[int, mido.Message]]

    @property
    def program(self) -> int:
        return next((m.program for _, m in self.others if m.type == PROGRAM), 0)

    @property
    def name(self) -> str:
        return "drums" if self.channel == DRUMS else PROGRAMS[self.program]


@dataclass(frozen=True)
class Feel:
    """What all channels of a take share: ticks a millisecond, beat and bar in ticks, phrases and accents."""

    ticks_ms: float
    beat: int
    bar: int
    phrase: int
    swell: float
    accent: float
    phase: float

    def loudness(self, tick: int) -> float:
        """Factor on a velocity: phrases swell and ebb, first beats are stressed."""
        wave = self.swell * math.sin(2 * math.pi * (tick / self.phrase + self.phase))
        place = tick % self.bar
        stress = self.accent if min(place, self.bar - place) < self.beat / 8 else 0.0
        return 1 + wave + stress


def read_part(track: Iterable[mido.Message], finer: int = 1) -> Part | None:
    """The channel of a track with ticks ``finer`` times finer; None where nothing sounds.

    A key struck again while it sounds ends the note before, as synthesisers do.
    """
    tick, channel, last = 0, -1, 0
    open_notes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    notes: list[Note] = []
    others: list[tuple[int, mido.Message]] = []
    for message in track:
        tick += message.time * finer
        if message.is_meta or not hasattr(message, "channel"):
            continue
        channel, last = message.channel, tick
        if message.type == "note_on" and message.velocity:
            open_notes[message.note].append((tick, message.velocity))
        elif message.type in ("note_on", "note_off"):
            if open_notes[message.note]:
                start, velocity = open_notes[message.note].pop(0)
                notes.append(Note(start, tick, message.note, velocity))
        else:
            others.append((tick, message))
    notes += [Note(start, last, pitch, v) for pitch, started in open_notes.items() for start, v in started]
    return Part(channel, untangled(notes), others) if notes else None


def untangled(notes: list[Note]) -> list[Note]:
    """One note a key at a time, each at least a tick long, in order of onset."""
    kept: dict[tuple[int, int], Note] = {}
    for note in notes:
        other = kept.get((note.start, note.pitch), note)
        kept[note.start, note.pitch] = replace(
            note, end=max(note.end, other.end, note.start + 1), velocity=max(note.velocity, other.velocity)
        )
    following: dict[int, int] = {}
    result = []
    for (start, pitch), note in sorted(kept.items(), reverse=True):
        result.append(replace(note, end=min(note.end, following.get(pitch, note.end))))
        following[pitch] = start
    return result[::-1]


def shifted_onsets(starts: Iterable[int], rng: random.Random, feel: Feel, drums: bool) -> dict[int, int]:
    """Old -> new onset in ticks, strictly increasing, each at most MAX_SHIFT_MS away."""
    lag_ms, spread_ms = rng.uniform(*(DRUM_LAG_MS if drums else LAG_MS)), rng.uniform(*SPREAD_MS)
    new, previous = {}, -1
    for start in sorted(set(starts)):
        shift_ms = max(-MAX_SHIFT_MS, min(MAX_SHIFT_MS, lag_ms + rng.gauss(0, spread_ms)))
        # An onset never overtakes the one before it, and the ticks between two old onsets leave room for both.
        previous = new[start] = max(previous + 1, start + int(shift_ms * feel.ticks_ms))
    return new


def _octave(part: Part, semitones: int) -> int:
    """The transposition, an octave up or down where that keeps more of the part in its register."""
    if part.channel == DRUMS:
        return 0
    floor, ceiling = BASS_RANGE if part.program in BASSES else RANGE
    low, high = min(n.pitch for n in part.notes), max(n.pitch for n in part.notes)
    floor, ceiling = min(floor, low), max(ceiling, high)

    def beyond(shift: int) -> int:
        outside = 1000 * (low + shift < 0 or high + shift > 127)
        return outside + max(0, floor - low - shift) + max(0, high + shift - ceiling)

    return min((semitones, semitones - 12, semitones + 12), key=beyond)


def _replayed(part: Part, take: Take, feel: Feel) -> Part:
    """The part as this take's player plays it."""
    rng = random.Random(seed_of(f"channel {part.channel} {take.seed}"))
    onset = shifted_onsets((n.start for n in part.notes), rng, feel, part.channel == DRUMS)
    touch, even = rng.uniform(0.9, 1.1), rng.uniform(1.5, 5.0)
    hold = 1.0 if part.channel == DRUMS else rng.uniform(0.88, 1.04)
    shift, notes = _octave(part, take.semitones), []
    for note in part.notes:
        start = onset[note.start]
        velocity = round(note.velocity * touch * feel.loudness(note.start) + rng.gauss(0, even))
        end = start + max(1, round((note.end - note.start) * hold))
        notes.append(Note(start, end, note.pitch + shift, max(8, min(127, velocity))))
    lag = round(sum(new - old for old, new in onset.items()) / len(onset))
    balance = 10 ** (rng.uniform(*BALANCE_DB) / 40)  # gain in General MIDI: 40 log10(volume)
    return Part(part.channel, untangled(notes), _moved(part, take, feel, lag, balance))


def _moved(part: Part, take: Take, feel: Feel, lag: int, balance: float) -> list[tuple[int, mido.Message]]:
    """The other messages: sounds are chosen before any note can be early, the rest follows the channel's lag."""
    early = round(MAX_SHIFT_MS * feel.ticks_ms) + 1
    exchanged = take.exchanged if take.exchanged and take.exchanged[0] == part.name else None
    volume = mido.Message("control_change", channel=part.channel, control=VOLUME, value=100)
    first = [] if any(m.is_cc(VOLUME) for tick, m in part.others if tick == 0) else [(0, volume)]
    moved = []
    for tick, message in [*first, *part.others]:
        if message.type == PROGRAM or any(message.is_cc(bank) for bank in BANKS):
            # A relative is named in the standard bank.
            new = {} if not exchanged else {"program": exchanged[1]} if message.type == PROGRAM else {"value": 0}
            moved.append((max(0, tick - early), message.copy(**new)))
            continue
        if message.is_cc(VOLUME):
            message = message.copy(value=min(127, round(message.value * balance)))
        moved.append((max(0, tick + lag) if tick else 0, message))
    return moved


def write_track(part: Part) -> mido.MidiTrack:
    """A track of a part: at one tick first controls, then ends, then onsets."""
    events = [(tick, 0, order, message) for order, (tick, message) in enumerate(part.others)]
    blank = mido.Message("note_on", channel=part.channel)
    for note in part.notes:
        on = blank.copy(skip_checks=True, note=note.pitch, velocity=note.velocity)
        events.append((note.start, 2, note.pitch, on))
        events.append((note.end, 1, note.pitch, on.copy(skip_checks=True, velocity=0)))
    track, before = mido.MidiTrack(), 0
    for tick, _, _, message in sorted(events, key=lambda event: event[:3]):
        track.append(message.copy(skip_checks=True, time=tick - before))
        before = tick
    return track


def _feel(take: Take, beats: int, ticks: int) -> Feel:
    rng = random.Random(take.seed)
    phrase = beats * ticks * rng.choice((4, 8))
    swell, accent, phase = rng.uniform(0, 0.14), rng.uniform(-0.02, 0.12), rng.random()
    return Feel(take.piece.bpm / 60 * ticks / 1000, ticks, beats * ticks, phrase, swell, accent, phase)


def perform(midi: bytes, take: Take) -> bytes:
    """Standard MIDI bytes (type 1) of a take, from those of its piece."""
    file = mido.MidiFile(file=io.BytesIO(midi))
    beats = next((m.numerator for m in file.tracks[0] if m.type == "time_signature"), 4)
    ticks = file.ticks_per_beat * FINER
    feel = _feel(take, beats, ticks)
    out = mido.MidiFile(type=1, ticks_per_beat=ticks)
    out.tracks.append(mido.MidiTrack([
        mido.MetaMessage("time_signature", numerator=beats, denominator=4),
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(take.piece.bpm)),
    ]))  # fmt: skip
    for track in file.tracks[1:]:
        part = read_part(track, FINER)
        if part is not None and part.name != take.left_out:
            out.tracks.append(write_track(_replayed(part, take, feel)))
    buffer = io.BytesIO()
    out.save(file=buffer)
    return buffer.getvalue()
