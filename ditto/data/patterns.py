"""Patterns of electronic dance music, ours: what the drums, the bass, chords and arpeggios of a style may play.

A pattern is a bar of sixteen steps. Drums and chords: ``X`` stressed, ``x`` plain, ``o`` soft, ``.`` nothing.
Bass: ``r`` root, ``o`` its octave, ``f`` the fifth, ``-`` holds on. A piece draws one of each list.
"""

from dataclasses import dataclass

STEPS = 16
VELOCITY = {"X": 116, "x": 98, "o": 70}
BASS_STEPS = {"r": 0, "o": 12, "f": 7}
"""Semitones above the root; every chord of `harmony.py` has a perfect fifth."""
KICK, SIDE, SNARE, CLAP, CLOSED, TOM_LOW, OPEN, TOM_HIGH, CRASH, RIDE = 36, 37, 38, 39, 42, 45, 46, 48, 49, 51

Layer = tuple[tuple[int, str], ...]
"""(drum, pattern) pairs that sound together."""


def _each(drum: int, *patterns: str) -> tuple[Layer, ...]:
    """A choice of patterns of one drum."""
    return tuple(((drum, pattern),) for pattern in patterns)


@dataclass(frozen=True)
class Style:
    """The choices of one genre. ``weight``: its share of the pieces; ``swing``: delay of odd steps in steps.

    ``drums``, ``chord``, ``pad``, ``arp`` and ``pump`` (volume that ducks at every kick) are chances from 0 to 1;
    programs and ``kits`` are General MIDI's.
    """

    weight: int
    kicks: tuple[Layer, ...]
    backs: tuple[Layer, ...]
    hats: tuple[Layer, ...]
    basses: tuple[str, ...]
    chords: tuple[str, ...]
    bass_programs: tuple[int, ...]
    chord_programs: tuple[int, ...]
    pad_programs: tuple[int, ...]
    arp_programs: tuple[int, ...]
    kits: tuple[int, ...] = (24, 25, 0)
    drums: float = 1.0
    chord: float = 0.6
    pad: float = 0.6
    arp: float = 0.6
    pump: float = 0.0
    swing: tuple[float, float] = (0.0, 0.0)


NONE: Layer = ()
FOUR = _each(KICK, "X...X...X...X...")
CLAPS, SNARES = _each(CLAP, "....x.......x..."), _each(SNARE, "....x.......x...")
OFF_BEAT, EIGHTHS, SIXTEENTHS = ((OPEN, "..x...x...x...x."),), ((CLOSED, "x.o.x.o.x.o.x.o."),), ((CLOSED, "xo" * 8),)
OFF_HATS: tuple[Layer, ...] = (OFF_BEAT, (*OFF_BEAT, *SIXTEENTHS), (*OFF_BEAT, *EIGHTHS))
EXTRAS: tuple[Layer, ...] = (
    NONE, NONE, ((TOM_LOW, "......o.......oo"), (TOM_HIGH, "...o......o.....")), *_each(RIDE, "x...x...x...x..."),
    *_each(SIDE, "...o..o....o..o.", "...o......o....."), *_each(CLAP, "...........o...o"),
)  # fmt: skip
ROLLING = (".rrr.rrr.rrr.rrr", "..rr..rr..rr..rr", "..r...r...r...r.", ".r.r.r.r.r.r.r.r")
LEADS, PADS = (80, 81, 90, 83), (89, 90, 95, 50, 88, 91)

STYLES: dict[str, Style] = {
    "techno": Style(
        weight=150,
        kicks=(*FOUR, *FOUR, *_each(KICK, "X...X...X...X.o.", "X...X...X..oX...")),
        backs=(*CLAPS, NONE, *_each(SNARE, "....x.......x..o"), *_each(CLAP, "....x..o....x...")),
        hats=(*OFF_HATS, *_each(CLOSED, "..x...x...x...xo", "o.xoo.xoo.xoo.xo")),
        basses=(*ROLLING, "r..r..r.r..r..r.", "r.rr.r.rr.rr.r.o", "rrrorrorrrrorror", "r..o..r...r.o.r."),
        chords=("......x.........", "...x......x.....", "..x...x...x...x.", "x..x..x.........", "x..........x...."),
        bass_programs=(38, 39, 87), chord_programs=(81, 90, 80, 16), pad_programs=PADS, arp_programs=LEADS,
        chord=0.5, pad=0.4, arp=0.7, pump=0.5,
    ),
    "house": Style(
        weight=105,
        kicks=(*FOUR, *FOUR, *_each(KICK, "X...X...X...X..o")),
        backs=(*CLAPS, *CLAPS, *SNARES),
        hats=(*OFF_HATS, *_each(CLOSED, "..xo..xo..xo..xo")),
        basses=("..r...r...r...r.", "r..r..o...r..o..", "r--.r-...ro.r-..", "r..r....r..o..f.", "..ro..r...ro..r."),
        chords=("x..x..x...x..x..", "..x...x...x...x.", "x..x...x..x.....", "...x..x....x..x.", "x.....x..x......"),
        bass_programs=(38, 39, 33), chord_programs=(0, 4, 16, 90), pad_programs=PADS, arp_programs=LEADS,
        chord=0.85, pad=0.5, arp=0.35, pump=0.4, swing=(0.0, 0.25),
    ),
    "trance": Style(
        weight=105,
        kicks=FOUR,
        backs=(*CLAPS, *CLAPS, *SNARES),
        hats=OFF_HATS,
        basses=(*ROLLING, "..ro..ro..ro..ro", ".rro.rro.rro.rro", "..rf..ro..rf..ro"),
        chords=("x..x..x.x..x..x.", "..x...x...x...x.", "x..x..x..x..x.x.", "x.xx.xx.x.xx.xx."),
        bass_programs=(38, 39), chord_programs=(81, 90, 80), pad_programs=(89, 90, 50, 91),
        arp_programs=(81, 80, 90, 11), chord=0.5, pad=0.85, arp=0.85, pump=0.6,
    ),
    "disco": Style(
        weight=80,
        kicks=FOUR,
        backs=(*SNARES, (*SNARES[0], *CLAPS[0])),
        hats=(*OFF_HATS, ((CLOSED, "x.xox.xox.xox.xo"), (OPEN, "......x.......x."))),
        basses=("r.o.r.o.r.o.r.o.", "r.o.r.o.r.of.fro", "rro.rro.rro.rrof", "r..or..or..orf.o", "r-o.r-o.f-o.r-o."),
        chords=("..x...x...x...x.", "x.xx..xx.x.x..x.", "....x.......x..x", "x..x..x...x..x.."),
        bass_programs=(33, 38, 36), chord_programs=(27, 28, 0, 4), pad_programs=(48, 50), arp_programs=(80, 90, 81),
        kits=(0, 25, 8), chord=0.85, pad=0.85, arp=0.25,
    ),
    "funk": Style(
        weight=60,
        kicks=_each(KICK, "X..x......x..x..", "X.x....x..x.....", "X.....x.X..x....", "X..X..x...x....x"),
        backs=_each(SNARE, "....X..o.o..X..o", "....X.......X...", "....X..o....X.o."),
        hats=(SIXTEENTHS, EIGHTHS, ((CLOSED, "x.xox.xox.xox.x."), (OPEN, "..............x."))),
        basses=("r..r..o.r.f..o..", "r.....ro..r..f.o", "rr.o..r..rr.o.f.", "r..o.r..r..or.fo", "r--.o.r.f..r..o."),
        chords=("..xo..xo..xo..xo", "x..x......x..x..", "...x..x....x..x.", ".x.xx..x.x.xx..x"),
        bass_programs=(36, 33, 38), chord_programs=(28, 27, 4, 16), pad_programs=(48, 50), arp_programs=(80, 90),
        kits=(0, 8), chord=0.95, pad=0.25, arp=0.2, swing=(0.0, 0.2),
    ),
    "hip hop": Style(
        weight=50,
        kicks=_each(KICK, "X.....x...X.....", "X..x......X..x..", "X......xX..x....", "X.x.......xX...."),
        backs=(*_each(SNARE, "....X.......X...", "....X..o....X..."), *_each(CLAP, "....X.......X...")),
        hats=(EIGHTHS, *_each(CLOSED, "x.x.x.x.x.xxx.x.", "x.xox.x.x.xox.xo")),
        basses=("r-----..r---....", "r--...r---r-....", "r-----f-r-....o-", "r---..r-..r-o-..", "r-.r--....r-.r-."),
        chords=("x...............", "x.....x.........", "..x...x...x...x.", "x..x......x....."),
        bass_programs=(38, 39, 33), chord_programs=(4, 0, 11, 24), pad_programs=(89, 50, 88), arp_programs=(80, 11, 83),
        kits=(25, 24, 0), chord=0.8, pad=0.5, arp=0.3, swing=(0.1, 0.35),
    ),
    "ambient": Style(
        weight=50,
        kicks=(*FOUR, *_each(KICK, "X.........x.....", "X...............")),
        backs=(NONE, *_each(SIDE, "........o.......")),
        hats=(NONE, *_each(CLOSED, "..o...o...o...o."), *_each(RIDE, "o...o...o...o...")),
        basses=("r---------------", "r-------f-------", "r-------r---o---", "r---------....o-"),
        chords=("x...............", "x.......o.......", "......x.....o..."),
        bass_programs=(38, 39, 32), chord_programs=(4, 11, 0, 46), pad_programs=(*PADS, 52),
        arp_programs=(99, 11, 10, 46, 12), kits=(25, 24), drums=0.4, chord=0.5, pad=1.0, arp=0.75,
    ),
}  # fmt: skip
