"""What stands below a table: where its figures come from, what is missing and how to make it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from eval.cells import commands
from eval.tables.base import Filled
from eval.tables.definition import Table

SAID = {"device": "device", "commit": "commits", "weights": "checkpoint", "model": "model"}


def remarks(table: Table, filled: Filled) -> list[str]:
    """What is to know about the whole table, and about single figures of it."""
    of_values = (note for value in filled.values for note in value.notes)
    return _distinct([*table.notes, *filled.remarks, *of_values])


def origin(filled: Filled) -> list[str]:
    """Device, commits, checkpoint; what FAD and text score are measured against."""
    lines = []
    for name, word in SAID.items():
        values = _distinct(value.provenance.get(name) for value in filled.values)
        lines += [f"{word}: {', '.join(values)}"] if values else []
    judged: dict[str, list[str]] = defaultdict(list)
    for value in filled.values:
        if value.line and value.line.get("reference"):
            judged[str(value.line["reference"])].append(value.column.label)
    return lines + [
        f"reference or judge of {', '.join(dict.fromkeys(labels))}: {reference}" for reference, labels in judged.items()
    ]


def made_by(filled: Filled) -> list[str]:
    """The commands that made the runs."""
    made = [value for value in filled.values if value.line and (value.other or value.provenance)]
    return [*commands(value.cell for value in made if not value.other), *_distinct(value.other for value in made)]


def missing(filled: Filled) -> list[str]:
    """The commands that fill the empty places, in the order in which to run them."""
    return [*commands(filled.cells), *filled.commands]


def _distinct(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value not in (None, "")))
