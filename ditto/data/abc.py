"""A small reader of melodies in ABC notation, version 1.6 as used by Ryan's Mammoth and O'Neill's collections.

Only what a melody needs: key signature and mode from ``K:``, meter, unit length, notes with accidentals, rests, ties,
broken rhythms, tuplets, chords (highest note), bars and endings. Ornaments, slurs, words and grace notes are skipped.
Repeats are not expanded; of two endings the last is kept. Times are in quarter notes, pitches are MIDI numbers.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

Note = tuple[float, float, int]
"""(onset within the bar, duration, MIDI pitch), in quarter notes."""

NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Steps on the circle of fifths from the major key of the same tonic.
MODES = {"maj": 0, "mix": -1, "dor": -2, "min": -3, "phr": -4, "lyd": 1}
TOKEN = re.compile(
    r"\[(?P<field>[A-Za-z]):[^\]]*\]"
    r"|\((?P<tuplet>[2-9])(?::(?P<q>\d?))?(?::(?P<r>\d?))?"
    r"|(?P<bar>:*\|+\]?:*|::|\[\|)\s*(?:\[?(?P<end>[1-9])(?![\d/]))?"
    r"|\[(?P<end2>[1-9])"
    r"|\[(?P<chord>[^\]|]*[A-Ga-g][^\]|]*)\](?P<cnum>\d*)(?P<cdiv>/*)(?P<cden>\d*)"
    r"|(?P<acc>[\^_=]*)(?P<note>[A-Ga-gzx])(?P<oct>[,']*)(?P<num>\d*)(?P<div>/*)(?P<den>\d*)"
    r"|(?P<tie>-)|(?P<broken>>+|<+)"
)
JUNK = re.compile(r'%.*|"[^"]*"|![^!]*!|\{[^}]*\}|\\')


class AbcError(ValueError):
    """The tune uses something this reader does not understand, or its bars do not add up."""


@dataclass
class Bar:
    """Notes of one bar; ``length`` in quarter notes, ``ending`` 0 outside first and second endings."""

    notes: list[Note] = field(default_factory=list)
    length: Fraction = Fraction(0)
    ending: int = 0


@dataclass
class AbcTune:
    """One melody: ``tonic`` is a pitch class, ``mode`` one of MODES, ``bar`` the bar's length in quarter notes."""

    number: int
    title: str
    meter: str
    tonic: int
    mode: str
    bar: float
    bars: list[list[Note]]


def split_tunes(text: str) -> list[str]:
    """The text of every tune (``X:`` field) of an ABC file."""
    parts = re.split(r"(?m)^(?=X:)", text)
    return [part for part in parts if part.startswith("X:") and re.search(r"(?m)^K:", part)]


def parse_key(value: str) -> tuple[int, str, dict[str, int]]:
    """``K:`` value -> (tonic pitch class, mode, accidental by letter)."""
    match = re.match(r"([A-G])([#b]?)\s*(\w*)", value.strip())
    if not match:
        raise AbcError(f"unknown key {value!r}")
    letter, sign, word = match.groups()
    word = word.lower()
    mode = "min" if word == "m" else "maj" if word == "" or value.strip().endswith("M") else word[:3]
    if mode not in MODES:
        raise AbcError(f"unknown mode {value!r}")
    fifths = "FCGDAEB".index(letter) - 1 + 7 * ((sign == "#") - (sign == "b")) + MODES[mode]
    order = "FCGDAEB" if fifths > 0 else "BEADGCF"
    accidentals = dict.fromkeys(order[: abs(fifths)], 1 if fifths > 0 else -1)
    return (NATURAL[letter] + (sign == "#") - (sign == "b")) % 12, mode, accidentals


def _length(num: str, div: str, den: str) -> Fraction:
    value = Fraction(int(num or 1))
    if den:
        return value / int(den)
    return value / 2 ** len(div)


class _Reader:
    """Turns the body of one tune into bars. State: key, unit length, pending tuplet, broken rhythm and tie."""

    def __init__(self, unit: Fraction, accidentals: dict[str, int], compound: bool) -> None:
        self.unit, self.key, self.compound = unit, accidentals, compound
        self.bars: list[Bar] = [Bar()]
        self.local: dict[str, int] = {}
        self.tuplet, self.left = Fraction(1), 0
        self.next_scale = Fraction(1)
        self.tied: tuple[Bar, int, str] | None = None
        self.last: tuple[Bar, int, str] | None = None

    def read(self, body: str) -> list[Bar]:
        for token in TOKEN.finditer(body):
            if token["field"] in ("K", "M", "L"):
                raise AbcError("key, meter or unit changes inside the tune")
            if token["tuplet"]:
                self._start_tuplet(int(token["tuplet"]), token["q"], token["r"])
            elif token["bar"] or token["end2"]:
                self._new_bar(int(token["end"] or token["end2"] or 0))
            elif token["chord"]:
                self._chord(token["chord"], _length(token["cnum"], token["cdiv"], token["cden"]))
            elif token["note"]:
                length = _length(token["num"], token["div"], token["den"])
                self._note(token["acc"], token["note"], token["oct"], length)
            elif token["tie"]:
                self.tied = self.last
            elif token["broken"]:
                self._broken(token["broken"])
        return self.bars

    def _start_tuplet(self, count: int, q: str | None, r: str | None) -> None:
        usual = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(count, 3 if self.compound else 2)
        self.tuplet, self.left = Fraction(int(q or usual), count), int(r or count)

    def _new_bar(self, ending: int) -> None:
        previous = self.bars[-1]
        self.local = {}
        if not previous.length:
            previous.ending = ending or previous.ending
            return
        self.bars.append(Bar(ending=ending))

    def _chord(self, inside: str, length: Fraction) -> None:
        notes = re.findall(r"([\^_=]*)([A-Ga-g])([,']*)(\d*)(/*)(\d*)", inside)
        acc, name, octave, *size = max(notes, key=lambda n: self._pitch(n[0], n[1], n[2]))
        self._note(acc, name, octave, length * _length(*size))

    def _pitch(self, acc: str, name: str, octave: str) -> int:
        letter = name.upper()
        slot = name + octave
        if acc:
            self.local[slot] = acc.count("^") - acc.count("_")
        alter = self.local.get(slot, self.key.get(letter, 0))
        shift = 12 * (name.islower() + octave.count("'") - octave.count(","))
        return 60 + NATURAL[letter] + alter + shift

    def _note(self, acc: str, name: str, octave: str, length: Fraction) -> None:
        if self.left:
            length, self.left = length * self.tuplet, self.left - 1
        length *= self.unit * self.next_scale
        self.next_scale = Fraction(1)
        bar, tied = self.bars[-1], self.tied
        self.tied = None
        if name in "zx":
            bar.length += length
            self.last = None
            return
        slot = name + octave
        same = tied is not None and tied[2] == slot and not acc
        pitch = tied[0].notes[tied[1]][2] if tied and same else self._pitch(acc, name, octave)
        if tied and tied[0].notes[tied[1]][2] == pitch:
            onset, duration, _ = tied[0].notes[tied[1]]
            tied[0].notes[tied[1]] = (onset, duration + float(length), pitch)
            self.last = tied
        else:
            bar.notes.append((float(bar.length), float(length), pitch))
            self.last = (bar, len(bar.notes) - 1, slot)
        bar.length += length

    def _broken(self, sign: str) -> None:
        """``a>b`` lengthens a and shortens b by the same part (half, three quarters, ...)."""
        if self.last is None or self.last[0] is not self.bars[-1]:
            return
        short = Fraction(1, 2 ** len(sign))
        first, second = (2 - short, short) if sign[0] == ">" else (short, 2 - short)
        bar, index, _ = self.last
        onset, duration, pitch = bar.notes[index]
        bar.notes[index] = (onset, duration * float(first), pitch)
        bar.length += Fraction(duration).limit_denominator(960) * (first - 1)
        self.next_scale = second


def _merge_bars(bars: list[Bar], full: Fraction) -> list[list[Note]]:
    """Keep last endings, join pick-ups with the short bar before them, pad the rest; refuse bars that do not fit."""
    two_endings = any(bar.ending > 1 for bar in bars)
    kept, ending = [], 0
    for bar in (b for b in bars if b.length):
        ending = bar.ending or (0 if ending != 1 else ending)
        if not (two_endings and ending == 1):
            kept.append(bar)
    merged: list[list[Note]] = []
    bad = index = 0
    while index < len(kept):
        bar = kept[index]
        notes, length = list(bar.notes), bar.length
        if length < full and index == 0:
            notes = [(o + float(full - length), d, p) for o, d, p in notes]
        elif length < full and index + 1 < len(kept) and kept[index + 1].length == full - length:
            index += 1
            notes += [(o + float(length), d, p) for o, d, p in kept[index].notes]
        elif length != full:
            bad += 1
        merged.append([n for n in notes if n[0] < float(full)])
        index += 1
    if bad > max(1, len(merged) // 12):
        raise AbcError(f"{bad} of {len(merged)} bars do not add up to the meter")
    return merged


def parse_tune(text: str) -> AbcTune:
    """Read one tune; raises AbcError with the reason when it cannot be trusted."""
    head, _, body = text.partition("\nK:")
    key, _, body = body.partition("\n")
    fields: dict[str, str] = dict(re.findall(r"(?m)^([XTML]):\s*(.*?)\s*(?:%.*)?$", head)[::-1])
    tonic, mode, accidentals = parse_key(key.split("%")[0])
    meter = {"C": "4/4", "C|": "2/2"}.get(fields.get("M", ""), fields.get("M", ""))
    if not re.fullmatch(r"\d+/\d+", meter):
        raise AbcError(f"unknown meter {meter!r}")
    bar = Fraction(meter) * 4
    unit = Fraction(fields["L"]) * 4 if "L" in fields else Fraction(1, 4 if Fraction(meter) < Fraction(3, 4) else 2)
    lines = []
    for line in body.splitlines():
        if re.match(r"[KML]:", line):
            raise AbcError("key, meter or unit changes inside the tune")
        if not re.match(r"[A-Za-z]:", line) or line.startswith(":"):
            lines.append(JUNK.sub("", line))
    bars = _merge_bars(_Reader(unit, accidentals, meter in ("6/8", "9/8", "12/8")).read("\n".join(lines)), bar)
    number = int(re.match(r"X:\s*(\d+)", text)[1])  # type: ignore[index]
    return AbcTune(number, fields.get("T", "").strip(), meter, tonic, mode, float(bar), bars)
