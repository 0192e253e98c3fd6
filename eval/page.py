"""What pages of results share: the generated part between two markers, and how a figure is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path


def markers(name: str) -> tuple[str, str]:
    """The lines between which a command writes; everything else on the page is written by hand and kept."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def write_block(path: Path, name: str, lines: Iterable[str], title: str, ending: str = "") -> None:
    """Rewrite the generated part of the page, or begin one with this title and the heading under the figures."""
    begin, end = markers(name)
    text = path.read_text() if path.exists() else f"# {title}\n\n{begin}\n{end}\n{ending}"
    if begin not in text or end not in text:
        text += f"\n{begin}\n{end}\n"
    head, tail = text.split(begin)[0], text.split(end)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}{begin}\n" + "\n".join(lines) + f"\n{end}{tail}")


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of the page."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(cells) + " |" for cells in rows)]


def number(value: float) -> str:
    """Three digits; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def figure(value: float, low: float = math.nan, high: float = math.nan, *, best: bool = False) -> str:
    """A value with its interval, where it has one; bold for the best."""
    shown = f"**{number(value)}**" if best else number(value)
    return shown if math.isnan(low) else f"{shown} [{number(low)}, {number(high)}]"
