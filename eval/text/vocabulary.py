"""A tokenizer without words is refused: transformers 5 makes one, and says nothing, where its files are missing."""

from __future__ import annotations

from ditto.types import UserError

COVERED = 0.9  # share of the text model's vocabulary that its tokenizer must know


def check_tokenizer(known: int, vocabulary: int, where: str) -> None:
    """UserError unless a tokenizer of `known` words fits a text model of `vocabulary` words."""
    if known < COVERED * vocabulary:
        raise UserError(
            f"the tokenizer of '{where}' knows {known} of {vocabulary} words: its files (tokenizer.json, or vocab.json "
            "and merges.txt) are missing; with a network, load it once, then go offline"
        )
