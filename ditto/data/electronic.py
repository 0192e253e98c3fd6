"""The electronic series: dance music composed here, without MMA, for genres that its library knows little of.

A piece (`train-e0042`) loops the harmony of four or eight bars of a public-domain training tune under patterns of its
genre (`patterns.py`), drawn from its id alone: drums, bass, chords, pad, arpeggio, and the loop of the tune as its lead
in half of them. It is arranged in parts of four bars, with fills, a break and volume that ducks at every kick.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import mido

from ditto.data.abc import Note as TuneNote
from ditto.data.grooves import TEMPO, Groove
from ditto.data.harmony import QUALITY, harmonise
from ditto.data.instruments import PROGRAMS
from ditto.data.midi import DRUMS, TICKS, Event, Score, loudness, melody_bars, melody_events, shape, weight, write_midi
from ditto.data.patterns import BASS_STEPS, CRASH, EXTRAS, SNARE, STEPS, STYLES, VELOCITY, Style
from ditto.data.performance import Note, untangled
from ditto.data.plan import DYNAMICS, SECONDS, Plan, draw_lead, draw_shift, seed_of, tunes_by_kind

COUNT = 600
STEP, BAR, PART_BARS = 4 * TICKS // STEPS, 4 * TICKS, 4
MELODY_SHARE, MINOR_SHARE, FREE_BASS_SHARE = 0.5, 0.55, 0.3
PITCHED = {"bass": 0, "chord": 1, "pad": 2, "arp": 3}
LEAD_CHANNEL = 4
BASS_FLOOR, CENTRES = 28, {"chord": 64, "pad": 62, "arp": 66}
GATES = ("x" * 16, "x.xx.xx.x.xx.xx.", "x.x.x.x.x.x.x.x.", "xxx.xxx.xxx.xxx.", "..x...x...x...x.")
DUCK = (48, 74, 92, 104)
"""Channel volume in the four steps of a beat after a kick."""
Chord = tuple[int, str]


@dataclass(frozen=True)
class Recipe:
    """What a piece draws from its style. ``layers``: what it has; ``active``: what sounds in each part of four bars."""

    layers: frozenset[str]
    active: tuple[frozenset[str], ...]
    programs: dict[str, int]
    drums: tuple[tuple[str, tuple[tuple[int, str], ...]], ...]
    bass: str
    chord: str
    gate: str
    order: str
    swing: float
    pump: bool


def piece_ids(count: int | None = None) -> list[str]:
    """``train-e0000`` ..."""
    return [f"train-e{index:04d}" for index in range(COUNT if count is None else count)]


def plan(piece_id: str) -> Plan:
    """The plan of one electronic piece, drawn from its id alone."""
    seed = seed_of(f"ditto electronic {piece_id}")
    rng = random.Random(seed)
    genre = rng.choices(list(STYLES), [style.weight for style in STYLES.values()])[0]
    tune = rng.choice(tunes_by_kind()["train", 4, rng.random() < MINOR_SHARE])
    bpm, lead = rng.randint(*TEMPO[genre]), draw_lead(rng, genre, MELODY_SHARE)
    shift = draw_shift(rng, tune, lead)
    dynamics = rng.choices(list(DYNAMICS), list(DYNAMICS.values()))[0]
    level = rng.choices((0.55, 0.8, 1.0), (0.2, 0.4, 0.4))[0]
    bars = PART_BARS * max(2, round(rng.uniform(*SECONDS) * bpm / 60 / 4 / PART_BARS))
    groove = Groove(f"electronic/{genre.replace(' ', '')}:Own", genre, 4)
    return Plan(
        piece_id, "train", seed, groove, False, tune, bpm, (tune.tonic + shift) % 12, shift, lead, "full", dynamics,
        level, bars,
    )  # fmt: skip


def loop(recipe: Plan) -> tuple[list[tuple[TuneNote, ...]], list[Chord]]:
    """Melody and chord of every bar: four or eight bars of the tune, harmonised and repeated."""
    rng = random.Random(recipe.seed + 3)
    length = 8 if recipe.lead is not None else rng.choice((4, 4, 8))
    start = length * rng.randrange(max(1, len(recipe.tune.bars) // length))
    part = replace(recipe.tune, bars=recipe.tune.bars[start : start + length])
    bars = melody_bars(replace(recipe, tune=part, bars=length))
    chords = harmonise(bars, recipe.tonic, recipe.tune.mode)
    return [bars[i % length] for i in range(recipe.bars)], [chords[i % length] for i in range(recipe.bars)]


def draw(recipe: Plan) -> Recipe:
    """The choices of a piece."""
    style, rng = STYLES[recipe.groove.genre], random.Random(recipe.seed + 4)
    layers = {"bass"} | {name for name in ("chord", "pad", "arp") if rng.random() < getattr(style, name)}
    layers |= {"lead"} if recipe.lead is not None else set()
    layers |= {"kick", "drums"} if rng.random() < style.drums else set()
    if not layers & {"chord", "pad", "arp"}:
        layers.add(rng.choice(("chord", "pad", "arp")))
    drums = [("kick", rng.choice(style.kicks))]
    drums += [("drums", rng.choice(choices)) for choices in (style.backs, style.hats, EXTRAS)]
    programs = {name: rng.choice(getattr(style, f"{name}_programs")) for name in PITCHED}
    free = style.pump > 0 and rng.random() < FREE_BASS_SHARE
    return Recipe(
        frozenset(layers), tuple(_sections(rng, layers, recipe.bars // PART_BARS)),
        programs | {"drums": rng.choice(style.kits)}, tuple(drums),
        _free_bass(rng) if free else rng.choice(style.basses), rng.choice(style.chords), rng.choice(GATES),
        rng.choice(("up", "down", "both", "drawn")), rng.uniform(*style.swing), _pumps(rng, style, layers),
    )  # fmt: skip


def _pumps(rng: random.Random, style: Style, layers: set[str]) -> bool:
    return rng.random() < style.pump and "kick" in layers


def _free_bass(rng: random.Random) -> str:
    """A line of sixteenths that starts on the root."""
    return "r" + "".join(rng.choices("rof.-", (6, 3, 1, 3, 2), k=STEPS - 1))


def _sections(rng: random.Random, layers: set[str], count: int) -> Iterator[frozenset[str]]:
    """What sounds in each part: now and then a layer rests, and a long piece may have a break without kick."""
    broken = count // 2 if count >= 5 and rng.random() < 0.5 else -1
    for part in range(count):
        resting = {name for name in ("chord", "pad", "arp", "lead") if rng.random() < 0.18}
        on = layers - resting if layers & {"chord", "pad", "arp", "lead"} - resting else set(layers)
        yield frozenset(on - {"kick"} if part == broken else on)


def _tick(bar: int, step: int, swing: float) -> int:
    return bar * BAR + step * STEP + round(swing * STEP * (step % 2))


def _drums(recipe: Recipe, bars: int, rng: random.Random) -> list[Note]:
    """Kick, back beat, hats and extras, a crash where a part begins, a roll of the snare where one ends."""
    notes = []
    for bar in range(bars):
        on, place = recipe.active[bar // PART_BARS], bar % PART_BARS
        hits = [(drum, i, VELOCITY[s]) for layer, pairs in recipe.drums if layer in on for drum, pattern in pairs
                for i, s in enumerate(pattern) if s != "."]  # fmt: skip
        if "drums" in on and place == 0 and rng.random() < 0.5:
            hits.append((CRASH, 0, 92))
        if "drums" in on and place == PART_BARS - 1 and rng.random() < 0.4:
            first = rng.choice((8, 12, 14))
            hits += [(SNARE, i, 60 + 50 * (i - first) // (STEPS - first)) for i in range(first, STEPS)]
        for drum, step, velocity in hits:
            start = _tick(bar, step, recipe.swing)
            notes.append(Note(start, start + STEP - 6, drum, velocity + rng.randint(-5, 5)))
    return notes


def _bass(recipe: Recipe, chords: list[Chord], rng: random.Random) -> list[Note]:
    notes, hold = [], rng.uniform(0.55, 0.95)
    for bar, (root, _) in enumerate(chords):
        base = BASS_FLOOR + (root - BASS_FLOOR) % 12
        for step, sign in enumerate(recipe.bass):
            if sign in BASS_STEPS and "bass" in recipe.active[bar // PART_BARS]:
                tail = recipe.bass[step + 1 :]
                length = 1 + len(tail) - len(tail.lstrip("-"))
                start, velocity = _tick(bar, step, recipe.swing), 96 + 8 * (step % 4 == 0) + rng.randint(-5, 5)
                end = start + round((length - 1 + hold) * STEP)
                notes.append(Note(start, end, base + BASS_STEPS[sign], velocity))
    return notes


def voicing(chord: Chord, centre: int) -> list[int]:
    """The chord's tones nearest to a pitch, from low to high."""
    tones = [(chord[0] + step) % 12 for step in QUALITY[chord[1]]]
    return sorted(centre - 6 + (tone - centre + 6) % 12 for tone in tones)


def _chords(recipe: Recipe, chords: list[Chord], rng: random.Random) -> list[Note]:
    notes, steps = [], rng.choice((1, 1, 2))
    for bar, chord in enumerate(chords):
        for step, sign in enumerate(recipe.chord):
            if sign != "." and "chord" in recipe.active[bar // PART_BARS]:
                start, velocity = _tick(bar, step, recipe.swing), VELOCITY[sign] - 14 + rng.randint(-5, 5)
                end = start + steps * STEP - 8
                notes += [Note(start, end, pitch, velocity) for pitch in voicing(chord, CENTRES["chord"])]
    return notes


def _pad(recipe: Recipe, chords: list[Chord], rng: random.Random) -> list[Note]:
    return [
        Note(bar * BAR, (bar + 1) * BAR - 6, pitch, 72 + rng.randint(-4, 4))
        for bar, chord in enumerate(chords)
        if "pad" in recipe.active[bar // PART_BARS]
        for pitch in voicing(chord, CENTRES["pad"])
    ]


def _arp(recipe: Recipe, chords: list[Chord], rng: random.Random) -> list[Note]:
    """The tones of two octaves in the recipe's order, one a step that its gate lets through."""
    notes, count = [], 0
    for bar, chord in enumerate(chords):
        low = voicing(chord, CENTRES["arp"])
        tones = [*low, *(pitch + 12 for pitch in low)]
        runs = {
            "up": tones,
            "down": tones[::-1],
            "both": tones + tones[-2:0:-1],
            "drawn": rng.sample(tones, len(tones)),
        }
        for step, sign in enumerate(recipe.gate):
            if sign != "." and "arp" in recipe.active[bar // PART_BARS]:
                run, start = runs[recipe.order], _tick(bar, step, recipe.swing)
                notes.append(Note(start, start + STEP - 8, run[count % len(run)], 80 + rng.randint(-8, 8)))
                count += 1
    return notes


def _ducking(recipe: Recipe, bars: int, channel: int) -> list[Event]:
    """Channel volume that falls at every beat and comes back, in the parts that have a kick."""
    events = []
    for beat in range(4 * bars):
        kick = "kick" in recipe.active[beat // 4 // PART_BARS]
        for step, value in enumerate(DUCK if kick else (100,)):
            message = mido.Message("control_change", channel=channel, control=7, value=value)
            events.append((beat * TICKS + step * STEP, 1, message))
    return events


def _events(channel: int, program: int, notes: list[Note], volumes: list[Event]) -> list[Event]:
    """A channel's messages; at one tick the program first, then volumes, ends and onsets."""
    events: list[Event] = [(0, 0, mido.Message("program_change", channel=channel, program=program)), *volumes]
    blank = mido.Message("note_on", channel=channel)
    for note in untangled(notes):
        on = blank.copy(skip_checks=True, note=note.pitch, velocity=note.velocity)
        events += [(note.end, 3, on.copy(skip_checks=True, velocity=0)), (note.start, 4, on)]
    return events


def make(recipe: Plan) -> Score:
    """Compose one electronic piece."""
    drawn, rng = draw(recipe), random.Random(recipe.seed + 5)
    bars, chords = loop(recipe)
    makers = {"bass": _bass, "chord": _chords, "pad": _pad, "arp": _arp}
    channels: dict[int, list[Event]] = {}
    for name, channel in PITCHED.items():
        notes = makers[name](drawn, chords, rng) if name in drawn.layers else []
        volumes = _ducking(drawn, recipe.bars, channel) if drawn.pump and name != "bass" else []
        if notes:
            channels[channel] = _events(channel, drawn.programs[name], notes, volumes)
    order = sorted(channels, key=lambda c: (-weight(channels[c]), c))
    names = [PROGRAMS[drawn.programs[name]] for c in order for name in PITCHED if PITCHED[name] == c]
    if "drums" in drawn.layers:
        channels[DRUMS] = _events(DRUMS, drawn.programs["drums"], _drums(drawn, recipe.bars, rng), [])
        names.append("drums")
    lead = ""
    if recipe.lead is not None:
        sung = [bar if "lead" in drawn.active[i // PART_BARS] else () for i, bar in enumerate(bars)]
        channels[LEAD_CHANNEL] = melody_events(recipe, sung, LEAD_CHANNEL)
        lead = PROGRAMS[recipe.lead]
    curve = loudness(recipe)
    data, seconds = write_midi(recipe, {c: shape(recipe, events, curve) for c, events in channels.items()})
    return Score(data, tuple(dict.fromkeys(names)), lead, seconds)
