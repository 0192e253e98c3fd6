"""Table 7 from the runs that `python -m eval.inversion` chooses."""

from __future__ import annotations

from ditto.types import UserError
from eval import inversion
from eval.candidates import Candidate
from eval.cells import Cell
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
        experiments = {int(length): name for length, name in options["experiments"].items()}
        size = {experiments[length]: smaller(found[0], experiments[length], SIZE) for length, found in chosen.items()}
        return Figures(rows, [_remark(length, found[0]) for length, found in chosen.items()], size)

    def cell(self, table: Table, row: Row, block: Block, found: Figures, context: Context) -> Cell:
        cell = table.cell(row, block)
        return Cell(cell.experiment, cell.task, cell.method, (*cell.overrides, *found.size.get(cell.experiment, ())))


def _remark(length: int, one: Candidate) -> str:
    steps = f"K = {one.config['task.steps']} optimisation steps, T = {one.config['sampler.steps']}"
    return f"{length} s: n = {len(one.rows)} recordings, {steps}."
