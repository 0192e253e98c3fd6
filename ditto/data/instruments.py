"""Words for the 128 General MIDI programs, and the instruments that lead a melody with the register that suits them."""

from dataclasses import dataclass

PROGRAMS: tuple[str, ...] = (
    "piano", "piano", "electric grand piano", "honky-tonk piano", "electric piano", "electric piano", "harpsichord",
    "clavinet", "celesta", "glockenspiel", "music box", "vibraphone", "marimba", "xylophone", "tubular bells",
    "dulcimer",
    "organ", "organ", "rock organ", "church organ", "reed organ", "accordion", "harmonica", "bandoneon",
    "nylon guitar", "steel guitar", "jazz guitar", "electric guitar", "muted guitar", "overdriven guitar",
    "distorted guitar", "guitar harmonics",
    "acoustic bass", "electric bass", "electric bass", "fretless bass", "slap bass", "slap bass", "synth bass",
    "synth bass",
    "violin", "viola", "cello", "double bass", "tremolo strings", "pizzicato strings", "harp", "timpani",
    "strings", "strings", "synth strings", "synth strings", "choir", "choir", "synth voice", "orchestra hit",
    "trumpet", "trombone", "tuba", "muted trumpet", "french horn", "brass", "synth brass", "synth brass",
    "soprano saxophone", "alto saxophone", "tenor saxophone", "baritone saxophone", "oboe", "english horn", "bassoon",
    "clarinet",
    "piccolo", "flute", "recorder", "pan flute", "bottle flute", "shakuhachi", "whistle", "ocarina",
    "square synth", "saw synth", "calliope", "chiff synth", "charang synth", "voice synth", "fifths synth",
    "bass synth",
    "new age pad", "warm pad", "polysynth", "choir pad", "bowed pad", "metallic pad", "halo pad", "sweep pad",
    "rain effect", "soundtrack effect", "crystal synth", "atmosphere synth", "brightness synth", "goblin effect",
    "echo effect", "sci-fi effect",
    "sitar", "banjo", "shamisen", "koto", "kalimba", "bagpipe", "fiddle", "shanai",
    "tinkle bell", "agogo", "steel drums", "woodblock", "taiko drum", "melodic tom", "synth drum", "reverse cymbal",
    "fret noise", "breath noise", "seashore", "bird", "telephone", "helicopter", "applause", "gunshot",
)  # fmt: skip
BASSES = frozenset(range(32, 40)) | {43, 58, 87}


@dataclass(frozen=True)
class Lead:
    """A melody instrument: MIDI ``program`` and the ``centre`` (MIDI pitch) its melodies lie around."""

    program: int
    centre: int

    @property
    def name(self) -> str:
        return PROGRAMS[self.program]


LEADS: dict[int, Lead] = {
    program: Lead(program, centre)
    for program, centre in {
        0: 73, 4: 72, 6: 72, 9: 86, 10: 84, 11: 73, 12: 70, 13: 78, 16: 72, 19: 70, 21: 73, 22: 74, 24: 67, 25: 67,
        26: 66, 27: 66, 29: 64, 30: 64, 40: 76, 41: 65, 42: 54, 46: 72, 48: 72, 52: 70, 56: 71, 57: 57, 59: 71, 60: 60,
        61: 65, 64: 72, 65: 66, 66: 60, 68: 73, 70: 54, 71: 69, 72: 88, 73: 79, 75: 77, 78: 80, 79: 79, 80: 74, 81: 72,
        104: 66, 105: 67, 110: 74, 114: 74,
    }.items()
}  # fmt: skip

_WINDS, _STRINGS = (56, 57, 65, 66, 71, 73), (40, 41, 42, 48)
GENRE_LEADS: dict[str, tuple[int, ...]] = {
    "ambient": (4, 11, 46, 48, 52, 73, 75, 80), "ballad": (0, 24, 40, 42, 65, 68, 73),
    "big band": (*_WINDS, 59, 61, 11), "blues": (22, 26, 27, 29, 16, 66, 0), "boogie": (0, 66, 27, 16),
    "bossa nova": (24, 73, 66, 11, 26), "broadway": (*_WINDS, 0, 48), "country": (25, 105, 110, 22),
    "disco": (48, 61, 81, 27), "folk": (24, 25, 110, 73, 21, 22), "funk": (27, 16, 65, 61, 4),
    "gospel": (19, 16, 0, 52), "hip hop": (80, 81, 4, 11), "house": (80, 81, 0, 4), "jazz": (*_WINDS, 11, 26, 0, 59),
    "march": (56, 57, 60, 61, 72, 71), "metal": (29, 30, 81), "polka": (21, 71, 56, 110),
    "pop": (0, 4, 27, 80, 73, 24), "ragtime": (0, 71, 57, 105), "rock": (27, 29, 30, 16, 22),
    "rumba": (24, 56, 73, 114, 12), "salsa": (56, 57, 12, 114, 73), "samba": (24, 73, 57, 114), "ska": (57, 56, 66, 27),
    "soul": (65, 66, 16, 4, 61), "tango": (21, 40, 0, 68), "techno": (80, 81), "trance": (80, 81, 11),
    "waltz": (*_STRINGS, 21, 71, 73, 0),
}  # fmt: skip
"""Programs that usually lead a genre; other leads are drawn as well, so that prompts can combine freely."""
