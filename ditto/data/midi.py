"""One piece of MIDI: the tune harmonised, MMA's accompaniment below it, dynamics over both.

The bytes depend on the plan alone: MMA gets a fixed seed, its texts are dropped, events are written in a fixed order.
"""

import io
import os
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mido

from ditto.data.abc import Note
from ditto.data.grooves import mma_command
from ditto.data.harmony import chord_name, harmonise
from ditto.data.instruments import BASSES, PROGRAMS
from ditto.data.plan import Plan

TICKS = 192
DRUMS = 9
MMA_SECONDS = 30
Event = tuple[int, int, mido.Message]
"""(tick, order, message) with an absolute tick."""


class MidiError(RuntimeError):
    """MMA refused the piece; the text says why."""


@dataclass(frozen=True)
class Score:
    """A finished piece: MIDI ``data``, ``instruments`` most prominent first (lead excluded), and the lead's name."""

    data: bytes
    instruments: tuple[str, ...]
    lead: str
    seconds: float


def melody_bars(plan: Plan) -> list[tuple[Note, ...]]:
    """The tune in the plan's key, repeated to its number of bars; a pick-up joins the bar before it where it fits."""
    tune = [tuple((o, d, p + plan.shift) for o, d, p in bar) for bar in plan.tune.bars]
    pickup, body = ((tune[0],), tune[1:]) if tune[0] and tune[0][0][0] > 0 else ((), tune)
    bars = [*pickup]
    while len(bars) < plan.bars:
        if pickup and bars and len(bars) > 1:
            end = max((o + d for o, d, _ in bars[-1]), default=0.0)
            if end <= pickup[0][0][0] + 1e-6:
                bars[-1] = bars[-1] + pickup[0]
        bars += body
    return bars[: plan.bars]


def mma_song(plan: Plan, bars: list[tuple[Note, ...]]) -> str:
    """The accompaniment as MMA's input; the last bar rests on the tonic chord."""
    chords = harmonise(bars, plan.tonic, plan.tune.mode)
    lines = ["SeqRnd Off", f"RndSeed {plan.seed}", f"Tempo {plan.bpm}", f"Groove {plan.groove.name}"]
    lines += [f"{index + 1} {chord_name(*chord)}" for index, chord in enumerate(chords)]
    return "\n".join(lines) + "\n"


def run_mma(song: str) -> mido.MidiFile:
    """MMA's MIDI file for a song."""
    with tempfile.TemporaryDirectory(prefix="ditto-mma-") as folder:
        path = Path(folder) / "song.mma"
        path.write_text(song)
        env = {**os.environ, "PYTHONHASHSEED": "0"}
        command = [mma_command(), path.name, "-f", "song.mid"]
        try:
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=MMA_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise MidiError(f"mma took more than {MMA_SECONDS} s") from error
        out = path.with_suffix(".mid")
        if not out.exists():
            raise MidiError("mma: " + " ".join(done.stdout.split())[-160:])
        return mido.MidiFile(out)


def _accompaniment(midi: mido.MidiFile) -> dict[int, list[Event]]:
    """Channel messages by channel with absolute ticks; meta events are dropped."""
    channels: dict[int, list[Event]] = {}
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if not message.is_meta and hasattr(message, "channel"):
                channels.setdefault(message.channel, []).append((tick, len(channels.get(message.channel, [])), message))
    return {channel: events for channel, events in channels.items() if _sounds(events)}


def _sounds(events: list[Event]) -> bool:
    return any(m.type == "note_on" and m.velocity > 0 for _, _, m in events)


def program_of(events: list[Event]) -> int:
    return next((m.program for _, _, m in events if m.type == "program_change"), 0)


def weight(events: list[Event]) -> int:
    """Number of notes: how prominent a channel is."""
    return sum(m.type == "note_on" and m.velocity > 0 for _, _, m in events)


def _thin(channels: dict[int, list[Event]], band: str) -> dict[int, list[Event]]:
    """Leave out the drums, or keep the busiest chordal channel alone."""
    pitched = {c: e for c, e in channels.items() if c != DRUMS}
    chordal = {c: e for c, e in pitched.items() if program_of(e) not in BASSES}
    if band == "full" or not chordal:
        return channels
    if band == "no drums":
        return pitched
    busiest = max(chordal, key=lambda c: (weight(chordal[c]), c))
    return {busiest: chordal[busiest]}


def melody_events(plan: Plan, bars: list[tuple[Note, ...]], channel: int) -> list[Event]:
    """The lead's events: first beats stressed, notes slightly detached, velocities varied by the seed."""
    assert plan.lead is not None
    rng = random.Random(plan.seed + 1)
    base, legato = rng.randint(84, 108), rng.uniform(0.82, 0.97)
    events: list[Event] = [
        (0, 0, mido.Message("program_change", channel=channel, program=plan.lead)),
        (0, 1, mido.Message("control_change", channel=channel, control=7, value=rng.randint(100, 120))),
        (0, 2, mido.Message("control_change", channel=channel, control=91, value=rng.randint(20, 60))),
    ]
    for index, bar in enumerate(bars):
        for onset, duration, pitch in bar:
            start = round((index * plan.groove.beats + onset) * TICKS)
            end = max(start + 6, round(start + duration * legato * TICKS))
            velocity = int(min(120, max(40, base + rng.gauss(0, 5) + 7 * (onset == 0))))
            events.append((start, 4, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
            events.append((end, 3, mido.Message("note_on", channel=channel, note=pitch, velocity=0)))
    return events


def loudness(plan: Plan) -> list[float]:
    """Loudness 0.25..1 at every half bar: the piece's level shaped by its kind of dynamics."""
    rng = random.Random(plan.seed + 2)
    count = 2 * plan.bars + 1
    low, high = 0.4 * plan.level, plan.level
    if plan.dynamics == "even":
        return [high] * count
    if plan.dynamics in ("growing", "fading"):
        ramp = [low + (high - low) * i / (count - 1) for i in range(count)]
        return ramp if plan.dynamics == "growing" else ramp[::-1]
    span = 2 * rng.choice((1, 2, 4))
    if plan.dynamics == "contrasting":
        return [(high if (i // span) % 2 == 0 else low) for i in range(count)]
    knots = [rng.uniform(low, high) for _ in range(count // span + 2)]
    return [knots[i // span] + (knots[i // span + 1] - knots[i // span]) * (i % span) / span for i in range(count)]


def shape(plan: Plan, events: list[Event], curve: list[float]) -> list[Event]:
    """Dynamics: half of the change by velocity (timbre), half by expression (controller 11, sustained notes too)."""
    half = plan.groove.beats * TICKS / 2
    last, channel, shaped, previous = len(curve) - 1, events[0][2].channel, [], -1
    for index, level in enumerate(curve):
        value = round(127 * level**0.5)
        if value != previous:
            message = mido.Message("control_change", channel=channel, control=11, value=value)
            shaped.append((round(index * half), -1, message))
        previous = value
    for tick, order, message in events:
        if message.type == "note_on" and message.velocity:
            level = curve[min(last, max(0, int(tick / half)))]
            velocity = max(12, min(127, round(message.velocity * level**0.5)))
            message = message.copy(skip_checks=True, velocity=velocity)  # mido's checks cost more than all the rest
        shaped.append((tick, order, message))
    return sorted(shaped, key=lambda event: event[:2])


def write_midi(plan: Plan, channels: dict[int, list[Event]]) -> tuple[bytes, float]:
    """Standard MIDI bytes (type 1) and the time of the last event in seconds."""
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    file.tracks.append(mido.MidiTrack([
        mido.MetaMessage("time_signature", numerator=plan.groove.beats, denominator=4),
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(plan.bpm)),
    ]))  # fmt: skip
    end = 0
    for channel in sorted(channels):
        track, before = mido.MidiTrack(), 0
        for tick, _, message in channels[channel]:
            track.append(message.copy(skip_checks=True, time=max(0, tick - before)))
            before = max(before, tick)
        end = max(end, before)
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue(), end / TICKS * 60 / plan.bpm


def make(plan: Plan) -> Score:
    """Compose one piece."""
    bars = melody_bars(plan)
    channels = _thin(_accompaniment(run_mma(mma_song(plan, bars))), plan.band)
    if not channels:
        raise MidiError("the groove makes no sound")
    order = sorted((c for c in channels if c != DRUMS), key=lambda c: (-weight(channels[c]), c))
    names = [PROGRAMS[program_of(channels[c])] for c in order] + (["drums"] if DRUMS in channels else [])
    free = [c for c in range(15, -1, -1) if c not in channels and c != DRUMS]
    lead = ""
    if plan.lead is not None and free:
        channels[free[0]] = melody_events(plan, bars, free[0])
        lead = PROGRAMS[plan.lead]
    curve = loudness(plan)
    data, seconds = write_midi(plan, {c: shape(plan, events, curve) for c, events in channels.items()})
    return Score(data, tuple(dict.fromkeys(names)), lead, seconds)
