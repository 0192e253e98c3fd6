"""Table 10 from the runs that `python -m eval.reuse` chooses."""

from __future__ import annotations

import pandas as pd

from ditto.types import UserError
from eval import reuse
from eval.cells import METHODS, Cell, sized
from eval.tables.base import Context
from eval.tables.definition import Block, Row, Table
from eval.tables.from_frame import Figures, composed, nothing, smaller

SIZE = ("prompts_n", "sampler.steps", "method.samples")  # what may be less than the experiment's
ALL = ""  # runs of every task are of one size
SOURCES = ("ditto", "ditto_stop")  # of the experiment `methods`: whose x_T* may be reused


class Reuse:
    """A row is a method, its prompts and the noise that it began from; a block a task."""

    def figures(self, context: Context) -> Figures:
        options = composed("reuse", context)
        try:
            found = reuse.collect(options)
            rows = reuse.table(found)
        except UserError as error:
            return nothing(error)
        size = sized(context.options["size"], options["experiment"])
        remarks = [_remark(str(task), of_task) for task, of_task in rows.groupby("task", sort=False)]
        return Figures(rows, remarks, {ALL: smaller(found[0].run, options["experiment"], size, SIZE)})

    def cell(self, table: Table, row: Row, block: Block, found: Figures, context: Context) -> Cell:
        """The run from an x_T*; while there is no x_T*, the DITTO run that optimises one."""
        settings = (
            *sized(context.options["size"], table.experiment),
            f"method.prompts={row.match['prompts']}",
            *found.size.get(ALL, ()),
        )
        fresh = row.match["noise"] == "fresh"
        run = (
            "null"
            if fresh
            else _source_of(found.rows, block.task, context.options["runs"]) or _source_among(context, block.task)
        )
        if run is None:
            return Cell(METHODS, block.task, SOURCES[0], sized(context.options["size"]))
        return Cell(table.experiment, block.task, row.method, (*settings, f"method.run={run}"))


def _source_of(rows: pd.DataFrame, task: str, runs: str) -> str | None:
    """The x_T* that the found runs of this task began from, by its run's id."""
    sources = rows[(rows["task"] == task) & (rows["source"] != "")]["source"] if len(rows) else []
    return f"{runs}/{next(iter(sources))}" if len(sources) else None


def _source_among(context: Context, task: str) -> str | None:
    """The newest run that optimised an x_T* for this task."""
    for method in SOURCES:
        cell = Cell(METHODS, task, method, sized(context.options["size"]))
        one = context.runs.of([cell])[cell]
        if one is not None:
            return str(one.path)
    return None


def _remark(task: str, rows: pd.DataFrame) -> str:
    counts = [" or ".join(str(int(n)) for n in sorted(rows[name].unique())) for name in ("n", "samples")]
    source = ", ".join(sorted({str(run) for run in rows["source"] if run}))
    return f"{task}: n = {counts[0]} clips, B = {counts[1]} samples of each; x_T* of run {source}."
