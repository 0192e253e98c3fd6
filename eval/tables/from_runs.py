"""Tables of finished runs: each crossing takes the run whose resolved options are those of its command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tqdm import tqdm

from ditto.data.labels import load_pieces
from eval.cells import Cell
from eval.comparable import say
from eval.finished import Finished
from eval.sets import Row as Line
from eval.tables.base import PROVENANCE, Context, Filled, Found, Lacking, Value
from eval.tables.definition import Block, Row, Table

Runs = dict[Cell, Finished | None]


class FromRuns:
    """The source of every table that is not about inversion, reuse or listeners."""

    def fill(self, table: Table, context: Context, *, measure: bool = True) -> Filled:
        crossings = list(table.crossings(context.defined))
        cells = [table.cell(row, block) for row, block in crossings]
        runs = context.runs.of(dict.fromkeys([*cells, *map(_text_only, cells)]))
        missing = [_sized(cell, context) for cell, block in _needs(table, context, runs) if _lacks(runs[cell], block)]
        founds = [Found(cell, runs[cell], runs[_text_only(cell)], context) for cell in cells]
        others = list(dict.fromkeys(_other_commands(crossings, founds)))
        if not measure:
            return Filled([], missing, others)
        _say_costs(runs, context)
        values: list[Value] = []
        bar = tqdm(crossings, desc=f"table {table.number}", unit="cell", leave=False)
        for (row, block), found in zip(bar, founds, strict=True):
            values += _values(row, block, found, _sized(found.cell, context))
        has_fad = any(column.name.startswith("fad") for _, block in crossings for column in block.columns)
        return Filled(values, missing, others, list(context.warned) if has_fad else [])


def _other_commands(crossings: list[tuple[Row, Block]], founds: list[Found]) -> Iterator[str]:
    """What would fill the columns that no run fills."""
    for (_, block), found in zip(crossings, founds, strict=True):
        for column in block.columns:
            line = column.figure(found) if column.figure.needs == "nothing" else None
            if isinstance(line, Lacking) and line.command:
                yield line.command


def _needs(table: Table, context: Context, runs: Runs) -> Iterator[tuple[Cell, Block]]:
    """Every cell with the block that needs it; and text-only, which ratios are to, of the runs that are there.

    A run that is still to be made keeps its text-only clips beside its own.
    """
    for row, block in table.crossings(context.defined):
        cell = table.cell(row, block)
        yield cell, block
        ratios = tuple(column for column in block.columns if column.name.endswith("_ratio"))
        if ratios and runs[cell] is not None:
            yield _text_only(cell), replace(block, columns=ratios)


def _lacks(one: Finished | None, block: Block) -> bool:
    """Is a run wanted: is there none, or only clips kept beside another's where a column is about the run itself?"""
    needs = {column.figure.needs for column in block.columns} - {"nothing"}
    return bool(needs) and (one is None or (one.beside and "run" in needs))


def _text_only(cell: Cell) -> Cell:
    return replace(cell, method="text_only")


def _sized(cell: Cell, context: Context) -> Cell:
    """The cell as a command for the n that is asked for, where the experiment's own is smaller."""
    n = context.options["n"]
    asked = context.runs.asked(cell)
    split = asked.get("prompts_split")
    if not split or n <= asked["prompts_n"]:
        return cell
    again = ("prompts_repeat=true",) if n > len(load_pieces(split)) else ()
    return replace(cell, overrides=(*cell.overrides, f"prompts_n={n}", *again))


def _values(row: Row, block: Block, found: Found, cell: Cell) -> Iterator[Value]:
    for column in block.columns:
        empty = Value(row, block, column, cell)
        if _lacks(found.one, replace(block, columns=(column,))):
            yield empty
            continue
        line = column.figure(found)
        if isinstance(line, Lacking):
            notes = () if line.command else (f"{column.label}: {line.why}",)
            yield replace(empty, notes=notes, other=line.command)
        else:
            yield _value(empty, line, found)


def _value(empty: Value, line: Line, found: Found) -> Value:
    """The line with where it comes from: what it says itself, else its run."""
    of_run = found.one.provenance if found.one and empty.column.figure.needs != "nothing" else {}
    provenance = {**of_run, **{name: line[name] for name in PROVENANCE if name in line}}
    failed = found.failed
    notes = tuple(filter(None, [_said(found.cell, failed), str(line.get("note", ""))]))
    other = str(line.get("command", ""))
    return replace(empty, line=line, provenance=provenance, other=other, notes=notes, failed=len(failed))


def _said(cell: Cell, failed: list[str]) -> str:
    clips = "clip" if len(failed) == 1 else "clips"
    return f"{len(failed)} {clips} of {cell.method} on {cell.task} failed: {', '.join(failed)}" if failed else ""


def _say_costs(runs: Runs, context: Context) -> None:
    for cell, one in runs.items():
        for note in context.runs.cost_notes(one, cell) if one and not one.beside else []:
            say(note)
