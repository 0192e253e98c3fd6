"""A filled table as panels of text: ours beside the reported figure, the best of each column marked, n at the end.

The best is the best mean of the methods that control (not text-only), where there are two or more of one metric;
another whose 95 % interval overlaps the best's may be as good, and is marked too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.orders import printed
from eval.page import figure
from eval.tables.base import Filled, Value
from eval.tables.definition import Block, Column, Row, Table

REPORTED = "reported"
Key = tuple[Row, Block, str]


@dataclass(frozen=True)
class Shown:
    """A place in a panel."""

    text: str
    best: bool = False
    level: bool = False  # its interval overlaps the best's


@dataclass(frozen=True)
class Panel:
    """A head and lines of equal length; the groups say how many columns of the head belong to which block."""

    title: str
    groups: list[tuple[str, int]]
    head: list[str]
    lines: list[list[Shown]]


def panels(table: Table, filled: Filled) -> list[Panel]:
    """The blocks of one panel side by side."""
    values = {(v.row, v.block, v.column.name): v for v in filled.values}
    parts: dict[str, list[Block]] = defaultdict(list)
    for block in table.blocks:
        parts[block.panel].append(block)
    return [_panel(table, name, part, values) for name, part in parts.items()]


def reported(table: Table) -> dict[Key, float]:
    """The paper's figures at their places."""
    known = printed([table.number]).set_index(["task", "method", "setting", "metric"])["value"].to_dict()
    places = {
        (row, block, column.name): (block.reported_task, row.paper, row.setting or block.setting, column.paper)
        for row in table.rows
        for block in table.blocks
        for column in block.columns
        if row.paper and column.paper
    }
    return {place: float(known[names]) for place, names in places.items() if names in known}


def _panel(table: Table, title: str, blocks: Sequence[Block], values: dict[Key, Value]) -> Panel:
    theirs = reported(table)
    rows = [row for row in table.rows if any((row, block, c.name) in values for block in blocks for c in block.columns)]
    lines = [[Shown(row.title)] for row in rows]
    head, groups = ["method"], []
    for block in blocks:
        before = len(head)
        for column in block.columns:
            ours = [values.get((row, block, column.name)) for row in rows]
            head.append(heading(column, ours))
            _extend(lines, _ours(ours, column))
            if column.paper:
                head.append(REPORTED)
                _extend(lines, _theirs([theirs.get((row, block, column.name)) for row in rows], rows, column))
        groups.append((block.label, len(head) - before))
    head.append("n")
    _extend(lines, [Shown(_count(values, row, blocks)) for row in rows])
    return Panel(title, groups, head, lines)


def heading(column: Column, ours: Iterable[Value | None]) -> str:
    """The column's label, what was measured where that has another name, and the better direction."""
    metrics = sorted({str(v.line.get("title", v.line["metric"])) for v in ours if v and v.line} - {column.name})
    arrow = {"lower": " ↓", "higher": " ↑"}.get(column.better, "")
    return column.label + (f" ({', '.join(metrics)})" if metrics else "") + arrow


def _ours(ours: Sequence[Value | None], column: Column) -> list[Shown]:
    lines = [v.line if v else None for v in ours]
    good = [v.line for v in ours if v and v.line and v.row.control]
    same = len({line["metric"] for line in good}) == 1
    best = _best([_number(line["value"]) for line in good], column) if same else math.nan
    ends = [_ends(line) for line in good if _number(line["value"]) == best]
    shown = []
    for value, line in zip(ours, lines, strict=True):
        if line is None or value is None:
            shown.append(Shown(""))
            continue
        is_best = value.row.control and _number(line["value"]) == best
        level = value.row.control and not is_best and any(_overlap(_ends(line), other) for other in ends)
        shown.append(Shown(figure(_number(line["value"]), *_ends(line)), is_best, level))
    return shown


def _theirs(values: Sequence[float | None], rows: Sequence[Row], column: Column) -> list[Shown]:
    best = _best([v for v, row in zip(values, rows, strict=True) if v is not None and row.control], column)
    pairs = zip(values, rows, strict=True)
    return [Shown("" if v is None else f"{v:g}", row.control and v == best) for v, row in pairs]


def _best(values: Sequence[float], column: Column) -> float:
    """NaN where nothing is compared."""
    if len(values) < 2 or not column.better:
        return math.nan
    return max(values) if column.better == "higher" else min(values)


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _ends(line: dict[str, object]) -> tuple[float, float]:
    return _number(line.get("low")), _number(line.get("high"))


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]  # False for missing intervals


def _count(values: dict[Key, Value], row: Row, blocks: Sequence[Block]) -> str:
    """Clips in the means of each block, and how many failed."""
    of_row = [
        [v for c in block.columns if (v := values.get((row, block, c.name))) and v.line and v.of_clips]
        for block in blocks
    ]
    counts = [
        f"{max(int(_number(v.line['n'])) for v in found if v.line)}" + _failed(found) for found in of_row if found
    ]
    return ", ".join(dict.fromkeys(counts))


def _failed(found: Sequence[Value]) -> str:
    failed = max(v.failed for v in found)
    return f" ({failed} failed)" if failed else ""


def _extend(lines: list[list[Shown]], column: Sequence[Shown]) -> None:
    for line, place in zip(lines, column, strict=True):
        line.append(place)
