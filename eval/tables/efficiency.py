"""What a method costs, from the csv of `python -m eval.efficiency`: measured apart from the runs, interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ditto.types import UserError
from eval.efficiency import table
from eval.sets import Row as Line
from eval.tables.base import Found, Lacking, Needs

COMMAND = "python -m eval.efficiency"
SPREAD = "times are medians over rounds of their own (eval.efficiency), in brackets their quartiles"
KEPT = ("metric", "value", "low", "high", "n", "run", "model", "device", "commit", "weights")


@dataclass(frozen=True)
class Efficiency:
    """The first of these metrics that the csv has for the cell's method, task and number of sampling steps."""

    names: Sequence[str]
    memory: str = "checkpoint"
    needs: Needs = "nothing"

    def __call__(self, found: Found) -> Line | Lacking:
        try:
            measured = table.read(found.context.results / "efficiency.csv", COMMAND)
        except UserError as error:
            return Lacking(str(error), COMMAND)
        steps = found.context.runs.asked(found.cell).get("sampler.steps")
        choice = {"task": found.cell.task, "method": found.cell.method, "sampler_steps": steps, "memory": self.memory}
        lines = [
            table.figure(measured, name, model=found.context.options["model_name"], **choice) for name in self.names
        ]
        line = next((one for one in lines if one is not None), None)
        if line is None:
            return Lacking(f"no {' or '.join(self.names)} of {found.cell.method} at T = {steps}", COMMAND)
        return {**{name: line[name] for name in KEPT}, "command": COMMAND, "note": SPREAD}
