"""What a prompt asks for, read from the labels of the piece that it was written for and from its own words.

A wording leaves things out: only what it says is asked. An instrument that plays in the piece but is not named is
neither asked for nor ruled out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ditto.data.labels import Piece
from eval.recognition.instruments import GROUPS, groups_of_piece, named
from eval.text.words import TEMPO


@dataclass(frozen=True)
class Asked:
    """`genre` and `bpm` are None where the prompt does not say them; `instruments` and `absent` are groups."""

    prompt: str
    genre: str | None
    bpm: float | None
    instruments: frozenset[str]  # named by the prompt
    absent: frozenset[str]  # in no part of the piece


def asked(piece: Piece, wording: int = 0) -> Asked:
    """What caption number `wording` of a piece asks for."""
    caption = piece.captions[wording]
    bpm = TEMPO.search(caption)
    genre = piece.genre if re.search(rf"\b{re.escape(piece.genre)}\b", caption.lower()) else None
    missing = frozenset(GROUPS) - groups_of_piece(piece)
    return Asked(caption, genre, float(bpm[1]) if bpm else None, named(piece, caption), missing)


def band_wording(piece: Piece) -> int | None:
    """The first of the captions that name most groups of instruments; None where none names any."""
    counts = [len(named(piece, caption)) for caption in piece.captions]
    return counts.index(max(counts)) if max(counts) else None
