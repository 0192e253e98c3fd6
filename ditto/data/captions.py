"""Captions from ground truth: genre, mood, tempo, key, mode, lead and accompaniment are known exactly, never guessed.

Mood is a stated rule: energy = genre's energy (-1, 0, 1) + tempo (-1 below 88, 1 above 128 beats per minute) + level
(-1 soft, 1 loud); energy <= -2, -1, 0, 1, >= 2 reads calm, gentle, happy, lively, energetic in a major mode and sad,
melancholic, mysterious, tense, dark in a minor one. The first caption is the paper's template; the rest are free
wordings that leave parts out, so that ordinary prompts work.
"""

import random

from ditto.data.plan import seed_of

MOODS = {
    "major": ("calm", "gentle", "happy", "lively", "energetic"),
    "minor": ("sad", "melancholic", "mysterious", "tense", "dark"),
}
ENERGY = {
    **dict.fromkeys(("ambient", "ballad", "gospel", "bossa nova", "folk", "waltz"), -1),
    **dict.fromkeys(("metal", "rock", "techno", "trance", "house", "ska", "samba", "salsa", "boogie", "disco"), 1),
}
SYNONYMS = {
    "big band": ("swing", "big band swing"), "broadway": ("show tune", "musical theatre"), "soul": ("R&B", "motown"),
    "country": ("bluegrass", "country and western"), "metal": ("heavy metal",), "hip hop": ("hip-hop", "rap beat"),
    "rumba": ("latin", "bolero"), "salsa": ("latin", "afro-cuban"), "house": ("dance", "electronic dance"),
    "trance": ("electronic dance", "electronic"), "techno": ("electronic",), "gospel": ("hymn", "spiritual"),
    "ragtime": ("dixieland",), "samba": ("brazilian",), "bossa nova": ("brazilian",), "ska": ("ska punk",),
    "boogie": ("boogie-woogie",),
}  # fmt: skip


def energy(genre: str, bpm: int, level: float) -> int:
    """How energetic a piece is, -3..3."""
    tempo = -1 if bpm < 88 else 1 if bpm > 128 else 0
    loud = -1 if level < 0.7 else 1 if level > 0.9 else 0
    return ENERGY.get(genre, 0) + tempo + loud


def mood(genre: str, bpm: int, level: float, mode: str) -> str:
    """The mood word of a piece; ``mode`` is major or minor."""
    return MOODS[mode][max(-2, min(2, energy(genre, bpm, level))) + 2]


def tempo_word(bpm: int, rng: random.Random) -> str:
    """slow below 88, fast above 128 beats per minute, medium between."""
    words = ("slow", "slow-paced") if bpm < 88 else ("fast", "up-tempo") if bpm > 128 else ("mid-tempo", "medium-tempo")
    return rng.choice(words)


def article(text: str) -> str:
    """``a`` or ``an`` before the text."""
    return ("an " if text[:1].lower() in "aeiou" and not text.lower().startswith(("uni", "one")) else "a ") + text


def template(genre: str, mood: str, bpm: int) -> str:
    """The paper's caption."""
    text = article(genre)
    return f"{text[0].upper()}{text[1:]} {mood} song at {bpm} beats per minute"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _band(instruments: tuple[str, ...], lead: str, rng: random.Random) -> list[str]:
    """Two to four instruments, the lead first."""
    others = [name for name in instruments if name != lead and name != "drums"][:3]
    drums = ["drums"] if "drums" in instruments and rng.random() < 0.6 else []
    return ([lead] if lead else []) + others[: rng.randint(1, 3)] + drums or ["drums"]


def captions(piece_id: str, genre: str, mood: str, bpm: int, key: str, mode: str, lead: str,
             instruments: tuple[str, ...]) -> tuple[str, ...]:  # fmt: skip
    """The template, then nine free wordings drawn by the piece's seed."""
    rng = random.Random(seed_of(f"captions {piece_id}"))

    def style() -> str:
        return rng.choice(SYNONYMS[genre]) if genre in SYNONYMS and rng.random() < 0.3 else genre

    band = _band(instruments, lead, rng)
    first, tempo = band[0], tempo_word(bpm, rng)
    drums = "with drums" if "drums" in instruments else "without drums"
    rest = [name for name in _band(instruments, "", rng) if name != lead] or band
    over = f"{lead} melody over {_listed(rest)}" if lead else f"{_listed(rest)}, no melody"
    free = [
        f"{article(mood)} {genre} song at {bpm} beats per minute",
        f"{mood} {style()} {first}",
        f"{tempo} {style()} with {_listed(band)}",
        f"{style()} in {article(mode)} key, {over}",
        f"{genre}, {mood}, {', '.join(band)}, {tempo}, {mode}",
        f"{article(tempo)}, {mood} {style()} piece {drums}",
        f"{mood} music with {_listed(band[:2])}",
        f"{style()} in {key} {mode}, {bpm} bpm",
        rng.choice((genre, f"{genre} music", f"{mood} {genre}", f"{genre} {first}", f"{tempo} {genre}")),
    ]
    rng.shuffle(free)
    return (template(genre, mood, bpm), *free)
