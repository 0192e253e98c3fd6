"""Table 7 from the runs that `python -m eval.inversion` chooses."""

from __future__ import annotations

from ditto.types import UserError
from eval import inversion
from eval.candidates import Candidate
from eval.cells import Cell, sized
from eval.tables.base import Context
from eval.tables.definition import Block, Row, Table
from eval.tables.from_frame import Figures, composed, nothing, smaller

SIZE = ("task.steps", "sampler.steps", "prompt", "seed")  # what may be less than the experiment's


class Inversion:
    """A row is a method, a block a length and a guidance scale."""

    def figures(self, context: Context) -> Figures:
        options = composed("inversion", context)
        try:
            chosen = inversion.collect(options)
            rows = inversion.table(chosen, options)
        except UserError as error:
            return nothing(error)
        size = sized(context.options["size"], options["experiment"])
        recordings = {int(length): (*size, name) for length, name in options["lengths"].items()}
        lacking = {n: smaller(found[0], options["experiment"], recordings[n], SIZE) for n, found in chosen.items()}
        return Figures(rows, [_remark(length, found[0]) for length, found in chosen.items()], lacking)

    def cell(self, table: Table, row: Row, block: Block, found: Figures, context: Context) -> Cell:
        cell = table.cell(row, block)
        return Cell(
            cell.experiment, cell.task, cell.method, (*cell.overrides, *found.size.get(block.match["length_s"], ()))
        )


def _remark(length: int, one: Candidate) -> str:
    steps = f"K = {one.config['task.steps']} optimisation steps, T = {one.config['sampler.steps']}"
    return f"{length} s: n = {len(one.rows)} recordings, {steps}."
