"""What a judge of text and sound can tell: retrieval recall, and the true caption against one with a single lie.

Recall at k (text to audio): share of captions whose own clip is among the k clips with the highest score; audio to text
the other way round. Over n clips whose captions all differ, chance is k / n. A clip of another piece that fits the
caption as well counts as a miss, so recall is a lower bound.

Pairwise accuracy: share of clips whose true caption scores higher than the same caption with one word changed; a tie
counts half; chance is 0.5.

Legend: n clips and captions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ditto.data.captions import MOODS, article, template
from ditto.data.labels import Piece

TEMPO_STEPS = (1.1, 1.25, 1.5, 2.0)
FASTEST = 200
Score = Callable[[Sequence[str], Sequence[int]], np.ndarray]
"""(captions [m], row of the clip of each [m]) -> score of each pair [m]."""
Lies = dict[str, dict[int, tuple[str, str]]]
"""What is changed -> {row of the clip: (true caption, false caption)}."""


def recall(scores_nn: np.ndarray, k: int) -> float:
    """Share of rows whose diagonal value is among the row's k highest; a tie counts against it."""
    own = np.diag(scores_nn)[:, None]
    return float(((scores_nn >= own).sum(1) <= k).mean())


def recalls(scores_nn: np.ndarray) -> dict[str, float]:
    """Scores of every caption (row) with every clip (column) -> recall at 1 and 10 both ways, chance, and n."""
    n = len(scores_nn)
    ways = {"text_to_audio": scores_nn, "audio_to_text": scores_nn.T}
    found = {f"{way}_recall_at_{k}": recall(scores, k) for way, scores in ways.items() for k in (1, 10)}
    return {**found, "chance_at_1": 1 / n, "chance_at_10": min(1.0, 10 / n), "n": n}


def pairwise(score: Score, lies: Lies) -> dict[str, float]:
    """What was changed -> accuracy."""
    result = {}
    for what, pairs in lies.items():
        rows = list(pairs)
        true = score([pairs[row][0] for row in rows], rows)
        false = score([pairs[row][1] for row in rows], rows)
        result[what] = float(((true > false) + 0.5 * (true == false)).mean())
    return result


def one_lie(pieces: Sequence[Piece], seed: int = 0) -> Lies:
    """Captions of clips of these pieces, in their order; the other words are drawn by the seed."""
    generator = np.random.default_rng(seed)
    genres = sorted({piece.genre for piece in pieces})
    leads = sorted({piece.lead for piece in pieces} - {""})
    moods = [mood for words in MOODS.values() for mood in words]

    def other(words: Sequence[str], *taken: str) -> str:
        return str(generator.choice([word for word in words if word not in taken] or ["other"]))

    changes: dict[str, Callable[[Piece], tuple[str, str]]] = {
        "genre": lambda p: (p.captions[0], template(other(genres, p.genre), p.mood, p.bpm)),
        "mood": lambda p: (p.captions[0], template(p.genre, other(moods, p.mood), p.bpm)),
        **{f"tempo x {step:g}": lambda p, step=step: _tempo(p, step) for step in TEMPO_STEPS},  # type: ignore[misc]
        "mode": lambda p: _pair(f"{p.genre} in {article('{}')} key", p.mode == "major", "major", "minor"),
        "drums": lambda p: _pair(f"{article(p.mood)} {p.genre} piece {{}} drums", _drums(p), "with", "without"),
        "lead instrument": lambda p: (f"{p.genre} {p.lead}", f"{p.genre} {other(leads, p.lead, *p.instruments)}"),
    }
    usable = {"lead instrument": lambda p: bool(p.lead)}
    return {
        what: {row: change(p) for row, p in enumerate(pieces) if usable.get(what, bool)(p)}
        for what, change in changes.items()
    }


def _tempo(piece: Piece, step: float) -> tuple[str, str]:
    """The tempo times the step, or divided by it where that would be faster than any piece."""
    wrong = piece.bpm * step if piece.bpm * step <= FASTEST else piece.bpm / step
    return piece.captions[0], template(piece.genre, piece.mood, round(wrong))


def _drums(piece: Piece) -> bool:
    return "drums" in piece.instruments


def _pair(text: str, first: bool, yes: str, no: str) -> tuple[str, str]:
    """(true, false) wordings of a yes-or-no fact."""
    words = (yes, no) if first else (no, yes)
    return text.format(words[0]), text.format(words[1])
