"""Which finished runs may stand in one table: same prompts, seeds and weights for every cell.

A run counts as a cell's if its options are those that the cell's command composes now, in everything that changes
results: prompts, seeds, sampler, target, and the method's own settings (so an early-stopped DITTO is `ditto_stop`, by
whatever name it was made). How memory is spent changes costs only: the newest run wins, and another budget is said. Of
every run the first n clips are taken; the clips and weights that most cells have are the table's, and a run of others
is named and left out. Nothing here imports a method.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ditto.types import UserError
from eval.asked import Asked, differences
from eval.candidates import Candidate, candidates
from eval.cells import HERE, Cell, commands, sized
from eval.finished import BESIDE, Finished

PROMPTS = ("prompt", "prompts_file", "prompts_split", "prompts_offset", "seed")
SHARED = (*PROMPTS, "frames", "precision", "sampler", "task.control")
Matched = dict[Cell, list[Candidate]]


def collect(options: dict[str, Any]) -> list[Finished]:
    """The runs that make up the table; what is left out or missing is printed to stderr with its reason."""
    size = sized(options.get("size", HERE))
    cells = [Cell(options["experiment"], task, method, size) for task, method in wanted(options)]
    runs = Runs(list(first_clips(options)))
    found = runs.of(cells)
    notes = [note for cell, one in found.items() if one and not one.beside for note in runs.cost_notes(one, cell)]
    missing = [cell for cell, one in found.items() if one is None or one.beside]
    for line in (*runs.left_out(cells), *notes, *(f"missing: {command}" for command in commands(missing))):
        say(line)
    kept = [one for one in found.values() if one is not None and not one.clips.empty]
    if not kept:
        raise UserError(f"no finished run of the experiment {options['experiment']} in {options['runs']}")
    return kept


def first_clips(options: Mapping[str, Any]) -> Iterator[Candidate]:
    """The finished runs of the asked tasks and model, cut to their first n clips; smaller ones are left out."""
    n = options["n"]
    for one in candidates(options):
        if len(one.rows) >= n:
            yield replace(one, rows=one.rows.head(n))


def wanted(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every defined pair (task, method), in the order of the options."""
    defined = options["defined"]
    return [(task, m) for task in options["tasks"] for m in options["methods"] if task in defined.get(m, [task])]


@dataclass
class Runs:
    """Finished runs, cut to their first n clips, from which the cells of tables take theirs."""

    every: list[Candidate]
    _asked: dict[str, Asked] = field(default_factory=dict)
    _unlike: dict[tuple[Path, Cell], list[str]] = field(default_factory=dict)  # how a run differs from a cell

    def of(self, cells: Iterable[Cell]) -> dict[Cell, Finished | None]:
        """The run of each cell of one table: the newest with the clips and weights that most cells have."""
        counted = _same_clips({cell: [one for one in self.every if self.fits(one, cell)] for cell in cells})
        return {cell: _newest(cell, counted) for cell in counted}

    def asked(self, cell: Cell) -> dict[str, Any]:
        """The options that the cell's command composes."""
        of_experiment = self._asked.setdefault(cell.experiment, Asked(cell.experiment))
        return of_experiment.of(cell.task, cell.method, cell.overrides)

    def fits(self, one: Candidate, cell: Cell) -> bool:
        """Has this run the options of the cell, in all that changes results?"""
        return one.task == cell.task and not self._differences(one, cell)

    def left_out(self, cells: Iterable[Cell]) -> list[str]:
        """The runs that fit none of these cells although a cell asks for their method: one line each, with the reason.

        Runs of other prompts or seeds are not named: tuning makes many.
        """
        asked = list(cells)
        lines = []
        for one in self.every:
            of_task = [cell for cell in asked if cell.task == one.task]
            named = [self._differences(one, cell) for cell in of_task if cell.method == one.named]
            near = [why for why in named if not any(line.startswith(PROMPTS) for line in why)]
            if near and not any(self.fits(one, cell) for cell in of_task):
                least = min(near, key=len)
                lines.append(f"left out: run {one.path.name} ({one.named} on {one.task}), {'; '.join(least)}")
        return lines

    def cost_notes(self, one: Finished, cell: Cell) -> list[str]:
        """What is said where a run that counts was given other memory than the cell's command gives."""
        had = next(run.config for run in self.every if run.path == one.path)
        spent = {name: value for name, value in self.asked(cell).items() if name.startswith("memory.")}
        about = f"note: run {one.path.name} ({one.method} on {one.task})"
        return [
            f"{about} had {name}={had.get(name)}, not {value}: costs differ"
            for name, value in spent.items()
            if had.get(name) != value
        ]

    def _differences(self, one: Candidate, cell: Cell) -> list[str]:
        key = (one.path, cell)
        if key not in self._unlike:
            asked = self.asked(cell)
            shared = differences(one.config, asked, SHARED)
            self._unlike[key] = shared or differences(one.config, asked, ("method",))
        return self._unlike[key]


def _same_clips(matched: Matched) -> Matched:
    """Keep the runs of the clips and weights that most cells have."""
    votes = Counter(key for several in matched.values() for key in {one.key for one in several})
    if not votes:
        return matched
    most = votes.most_common(1)[0][0]
    others = {one.path.name: one for several in matched.values() for one in several if one.key != most}
    for name, one in others.items():
        what = "other weights" if one.key[0] != most[0] else "other prompts or seeds"
        say(f"left out: run {name} ({one.named} on {one.task}), {what} than most runs")
    return {cell: [one for one in several if one.key == most] for cell, several in matched.items()}


def _newest(cell: Cell, counted: Matched) -> Finished | None:
    """The newest run of a cell; where text-only has none, the clips kept beside another method's run."""
    made = [Finished.of(cell.task, cell.method, one.path, one.rows) for one in counted[cell]]
    if made or cell.method != "text_only":
        return max(made, key=_better, default=None)
    others = [
        Finished.of(other.task, other.method, one.path, one.rows)
        for other, several in counted.items()
        for one in several
        if replace(other, method="text_only") == cell
    ]
    beside = [one for one in others if any(str(name).endswith(BESIDE) for name in one.clips)]
    return max(beside, key=_better).beside_text_only() if beside else None


def _better(one: Finished) -> tuple[int, float]:
    return -one.failed, one.finished


def say(line: str) -> None:
    """A line for the user, apart from what the command writes."""
    print(line, file=sys.stderr)
