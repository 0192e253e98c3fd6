"""What tables are filled through: a source finds the runs of a table, a figure says one column of one run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ditto.run_directory import read_json
from eval.cells import Cell
from eval.comparable import Runs
from eval.fad import SmallSetWarning
from eval.finished import Finished
from eval.measure import Judges, rows
from eval.sets import Row as Line

if TYPE_CHECKING:
    from eval.tables.definition import Block, Column, Row, Table


PROVENANCE = ("model", "device", "commit", "weights", "run")
Needs = Literal["nothing", "clips", "run"]  # clips: those kept beside another method's run will do; run: its own


@dataclass
class Context:
    """What all tables of one command share, read when it is first wanted."""

    options: Mapping[str, Any]
    runs: Runs
    defined: Mapping[str, list[str]]  # method -> its tasks, where not all
    warned: dict[str, None] = field(default_factory=dict)  # what was warned of while measuring, once each
    _measured: dict[tuple[Path, bool, Path | None], list[Line]] = field(default_factory=dict)

    @cached_property
    def judges(self) -> Judges:
        return Judges.of(self.options)

    @property
    def results(self) -> Path:
        return Path(self.options["results"])

    def unheard(self, one: Finished) -> list[str]:
        """Ids of the clips whose control cannot be measured from their sound."""
        return [str(clip) for clip in self.judges.control(one, self.judges.cache)["failed"].dropna().index]

    def measured(self, one: Finished, text_only: Finished | None) -> list[Line]:
        """Every figure of a run (eval.measure), once in a command."""
        key = (one.path, one.beside, text_only.path if text_only else None)
        if key not in self._measured:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", UserWarning)
                self._measured[key] = rows(one, text_only, self.judges)
            self.warned |= dict.fromkeys(str(one.message) for one in said if one.category is SmallSetWarning)
        return self._measured[key]


@dataclass(frozen=True)
class Found:
    """One crossing of a table, with its run where there is one."""

    cell: Cell
    one: Finished | None
    text_only: Finished | None  # of the same task and setting
    context: Context

    @property
    def run(self) -> Finished:
        """The run, for figures that need one: they are not asked without."""
        assert self.one is not None
        return self.one

    @property
    def lines(self) -> list[Line]:
        return self.context.measured(self.run, self.text_only)

    @property
    def failed(self) -> list[str]:
        """Ids of the clips without a result, or whose sound cannot be measured, among the first n of the run."""
        if self.one is None:
            return []
        metrics = (read_json(self.one.path / "metrics.json") or {}) if self.one.failed else {}
        names = [clip for clip, values in metrics.items() if values.get("failed")][: self.one.failed]
        return names if self.one.clips.empty else [*names, *self.context.unheard(self.one)]


@dataclass(frozen=True)
class Lacking:
    """Why a column has no figure, and the command that gives one where there is one."""

    why: str
    command: str = ""


class Figure(Protocol):
    """One column's figure of a run."""

    needs: Needs

    def __call__(self, found: Found) -> Line | Lacking:
        """metric, value, low, high, n; where they are not the run's: device, commit, weights, run, command.

        Also `reference` (what it was judged by) and `note`, where there is something to say.
        """
        ...


@dataclass(frozen=True)
class Value:
    """What stands in one place of a table."""

    row: Row
    block: Block
    column: Column
    cell: Cell  # what makes its run
    line: Line | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)  # model, device, commit, weights, run
    other: str = ""  # the command, where it is not the cell's
    notes: tuple[str, ...] = ()
    failed: int = 0

    @property
    def of_clips(self) -> bool:
        """Is its n one of clips? Of costs it is the rounds in which they were measured."""
        return bool(self.line and self.line.get("n")) and self.column.figure.needs != "nothing"

    @property
    def command(self) -> str:
        """What made the figure, or would."""
        return self.other or self.cell.command


@dataclass(frozen=True)
class Filled:
    """A table's values, and what is missing: cells to be run, and commands of another kind."""

    values: list[Value]
    cells: list[Cell] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # of the whole table: its own n, K, source


class Source(Protocol):
    """Where the figures of a table come from."""

    def fill(self, table: Table, context: Context, *, measure: bool = True) -> Filled:
        """The values; without `measure` only what is missing, which reads no sound."""
        ...
