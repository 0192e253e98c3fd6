"""A table as Markdown: results/tables/table<k>.md."""

from __future__ import annotations

from eval.page import table_lines
from eval.tables import footer
from eval.tables.base import Filled
from eval.tables.definition import Table
from eval.tables.grid import Panel, Shown, panels

READING = (
    "↓ lower is better, ↑ higher; in brackets the 95 % bootstrap interval over clips; **bold**: the best mean of the "
    "methods that control; °: its interval overlaps the best's, so it may be as good; reported: the paper's figure."
)


def page(table: Table, filled: Filled) -> str:
    """The whole file."""
    name = f"table{table.number}"
    lines = [f"# Table {table.number}. {table.title}", "", table.shows, "", READING]
    for panel in panels(table, filled):
        lines += ["", *([f"## {panel.title}", ""] if panel.title else []), *_panel(panel)]
    notes = footer.remarks(table, filled)
    lines += ["", *[f"- {note}" for note in notes]] if notes else []
    lines += ["", "## Where the figures come from", "", *[f"- {line}" for line in footer.origin(filled)]]
    lines += [f"- every figure: [{name}.csv]({name}.csv), by `python -m eval.tables tables=[{table.number}]`"]
    lines += _commands("Runs made by", footer.made_by(filled))
    lines += _commands("## Missing", footer.missing(filled))
    return "\n".join(lines) + "\n"


def _commands(title: str, commands: list[str]) -> list[str]:
    return ["", title, "", "```", *commands, "```"] if commands else []


def _panel(panel: Panel) -> list[str]:
    head = list(panel.head)
    first = 1
    for label, width in panel.groups:
        if label:
            head[first : first + width] = [f"{label}: {name}" for name in head[first : first + width]]
        first += width
    return table_lines(head, [[_cell(place) for place in line] for line in panel.lines])


def _cell(place: Shown) -> str:
    """Bold stands around the mean, not its interval."""
    mean, space, interval = place.text.partition(" [")
    return f"**{mean}**{space}{interval}" if place.best else f"{place.text}{'°' if place.level else ''}"
