"""Instruments in groups: the sixteen families of General MIDI programs (MIDI Association, GM Level 1), and drums.

A single sound (which of three saxophones) is more than six seconds of a mix tell; its family can be heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ditto.data.instruments import PROGRAMS
from ditto.data.labels import Piece

GROUPS: tuple[str, ...] = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "synth lead", "synth pad", "synth effects", "ethnic", "percussive", "sound effects", "drums",
)  # fmt: skip


def group_of(instrument: str) -> str:
    """The group of an instrument's name as labels and captions have it; ValueError for a name that is none."""
    return "drums" if instrument == "drums" else GROUPS[PROGRAMS.index(instrument) // 8]


def groups_of(instruments: Iterable[str]) -> frozenset[str]:
    return frozenset(group_of(name) for name in instruments if name)


def groups_of_piece(piece: Piece) -> frozenset[str]:
    """All that plays: lead, accompaniment, drums."""
    return groups_of((*piece.instruments, piece.lead))


def named(piece: Piece, caption: str) -> frozenset[str]:
    """Groups of the piece's instruments that a caption names; "without drums" names none."""
    text, found = caption.lower().replace("without drums", ""), set()
    for name in sorted({*piece.instruments, piece.lead} - {""}, key=len, reverse=True):
        pattern = rf"\b{re.escape(name)}\b"
        if re.search(pattern, text):
            found.add(name)
            text = re.sub(pattern, "", text)  # "steel drums" names no drums
    return groups_of(found)
