"""Which clips are generated: a prompt, a seed and a name each, in an order that does not change when n does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from eval.real import Excerpt
from eval.recognition.asked import Asked, asked, band_wording

BAND_SEED = 1_000_000  # far from the seeds of the other clips


@dataclass(frozen=True)
class Prompted:
    """A clip to make: caption number `wording` of the piece that `excerpt` is cut from, and the noise of `seed`."""

    name: str
    excerpt: Excerpt
    wording: int
    seed: int

    @cached_property
    def asked(self) -> Asked:
        return asked(self.excerpt.piece, self.wording)


def prompted(excerpts: Sequence[Excerpt], n: int, seed: int) -> list[Prompted]:
    """One clip an excerpt with the paper's template; a larger n takes the next wordings, with seeds of their own."""
    clips = []
    for i in range(n):
        turn, place = divmod(i, len(excerpts))
        excerpt = excerpts[place]
        name = f"{excerpt.clip_id}+{turn}" if turn else excerpt.clip_id
        clips.append(Prompted(name, excerpt, turn % len(excerpt.piece.captions), seed + i))
    return clips


def band_prompted(excerpts: Sequence[Excerpt], n: int, seed: int) -> list[Prompted]:
    """At most n clips from the wordings that name most instruments."""
    found = [(i, excerpt, band_wording(excerpt.piece)) for i, excerpt in enumerate(excerpts)]
    clips = [Prompted(e.clip_id, e, w, seed + BAND_SEED + i) for i, e, w in found if w is not None]
    return clips[:n]
