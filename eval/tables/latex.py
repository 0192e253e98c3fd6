"""A table as LaTeX, to be included where booktabs is loaded: results/tables/table<k>.tex."""

from __future__ import annotations

from collections.abc import Iterable

from eval.tables import footer
from eval.tables.base import Filled
from eval.tables.definition import Table
from eval.tables.grid import Panel, Shown, panels

READING = (
    r"In brackets the 95\,\% bootstrap interval over clips; bold: the best mean of the methods that control; "
    r"$^\circ$: its interval overlaps the best's."
)
ESCAPES = {
    "\\": r"\textbackslash{}",
    **{mark: rf"\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
MATHS = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "²": "$^2$", "τ": r"$\tau$", "°": r"$^\circ$", "±": r"$\pm$"}
WORDS = {"x_T*": "$x_T^*$", "x_0": "$x_0$", "…": r"\ldots{}", "×": r"$\times$", "–": "--"}


def page(table: Table, filled: Filled) -> str:
    """The whole file: a table environment with its caption and its notes."""
    parts = panels(table, filled)
    width = max(len(part.head) for part in parts)
    lines = [
        "% Needs \\usepackage{booktabs}. Made by python -m eval.tables tables=[" + str(table.number) + "].",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape(table.title)}. {escape(table.shows)} {READING}}}",
        rf"\label{{tab:{table.number}}}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
    ]
    for number, part in enumerate(parts):
        lines += [r"\midrule"] if number else []
        lines += _panel(part, width)
    lines += [r"\bottomrule", r"\end{tabular}", *_notes(table, filled), r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text for LaTeX, in ASCII: marks of its own escaped, signs as mathematics. Other letters are a ValueError."""
    for number, word in enumerate(WORDS):
        text = text.replace(word, f"\0{number}\1")
    text = "".join(ESCAPES.get(letter) or MATHS.get(letter, letter) for letter in text)
    for number, written in enumerate(WORDS.values()):
        text = text.replace(f"\0{number}\1", written)
    if not text.isascii():
        raise ValueError(f"no LaTeX for {sorted({letter for letter in text if not letter.isascii()})} in {text!r}")
    return text


def _panel(panel: Panel, width: int) -> list[str]:
    lines = [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(panel.title)}}}}} \\"] if panel.title else []
    if any(label for label, _ in panel.groups):
        over = [rf"\multicolumn{{{count}}}{{c}}{{{escape(label)}}}" for label, count in panel.groups]
        lines += [_row(["", *over, ""], 0)]
    lines += [_row(map(escape, panel.head), width), r"\midrule"]
    return lines + [_row(map(_cell, line), width) for line in panel.lines]


def _row(cells: Iterable[str], width: int) -> str:
    filled = list(cells)
    return " & ".join([*filled, *[""] * (width - len(filled))]) + r" \\"


def _cell(place: Shown) -> str:
    mean, space, interval = place.text.partition(" [")
    written = rf"\textbf{{{escape(mean)}}}" if place.best else escape(mean)
    return f"{written}{escape(space + interval)}" + (r"$^\circ$" if place.level else "")


def _notes(table: Table, filled: Filled) -> list[str]:
    said = [*footer.remarks(table, filled), *footer.origin(filled)]
    missing = footer.missing(filled)
    return [r"\par\footnotesize", *(escape(line) + r"\par" for line in said)] + [
        rf"Missing: \texttt{{{escape(line)}}}\par" for line in missing
    ]
