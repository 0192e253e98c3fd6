"""What a table of the paper shows, read from conf/paper_tables/table<k>.yaml: blocks of columns, and rows.

A block is a task in one setting (overlap, gap, T, guidance scale) with its columns; a row is a method. Where a row and
a block meet, the method's run gives a figure for each column of the block. The paper's figure is found in
eval/paper_reported.csv by the names that the paper's rows, settings and metrics have there; it is typed nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from ditto.build import build
from ditto.types import UserError
from eval.asked import CONF
from eval.cells import HERE, METHODS, Cell, sized
from eval.tables.base import Figure, Source


@dataclass(frozen=True, eq=False)
class Column:
    """One of our figures, and the paper's that it stands beside."""

    name: str  # in the csv
    label: str
    better: str  # "lower", "higher" or "": neither
    figure: Figure
    paper: str | None = None  # the paper's metric


@dataclass(frozen=True, eq=False)
class Block:
    """A task in one setting."""

    task: str
    columns: tuple[Column, ...]
    label: str = ""
    panel: str = ""  # blocks of one panel stand side by side; panels below each other
    setting: str = ""  # in the paper's words
    experiment: str = ""  # where it is not the table's
    overrides: tuple[str, ...] = ()
    match: Mapping[str, Any] = field(default_factory=dict)  # columns of a frame of figures, where it is one

    @property
    def reported_task(self) -> str:
        """The task in the paper's words: several objectives have a plus."""
        first, _, rest = self.task.partition("_")
        return f"{first}+{rest}" if rest in ("outpainting", "structure", "melody") else self.task


@dataclass(frozen=True, eq=False)
class Row:
    """A method in the paper's order, or one of ours beyond the paper (`paper` is None)."""

    method: str
    label: str = ""
    paper: str | None = None
    setting: str = ""
    task: str | None = None  # where it is not the block's
    only: tuple[str, ...] = ()  # tasks of the blocks that it stands in; none: all
    overrides: tuple[str, ...] = ()
    control: bool = True  # False: not among the candidates for the best
    match: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.label or self.method


@dataclass(frozen=True, eq=False)
class Table:
    """One table of the paper."""

    number: int
    title: str
    shows: str
    blocks: tuple[Block, ...]
    rows: tuple[Row, ...]
    source: Source
    experiment: str = METHODS
    notes: tuple[str, ...] = ()  # what is to know before reading it
    size: str = HERE

    def crossings(self, defined: Mapping[str, list[str]]) -> Iterator[tuple[Row, Block]]:
        """Where a row and a block meet; not where the method is not defined on the task."""
        for row in self.rows:
            for block in self.blocks:
                task = row.task or block.task
                if task in defined.get(row.method, [task]) and block.task in (row.only or [block.task]):
                    yield row, block

    def cell(self, row: Row, block: Block) -> Cell:
        """What this crossing wants to be run."""
        experiment = block.experiment or self.experiment
        overrides = (*sized(self.size, experiment), *block.overrides, *row.overrides)
        return Cell(experiment, row.task or block.task, row.method, overrides)


def load(number: int, columns: Mapping[str, Mapping[str, Any]], size: str = HERE) -> Table:
    """conf/paper_tables/table<number>.yaml; `columns` are those of conf/tables.yaml, `size` one of sweeps/size."""
    path = CONF / "paper_tables" / f"table{number}.yaml"
    if not path.exists():
        raise UserError(f"no table {number}: tables=[…] takes {', '.join(map(str, numbers()))}")
    said: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(path), resolve=True)  # type: ignore[assignment]
    try:
        shared = said.pop("columns", {})
        blocks = tuple(_block(block, shared, columns) for block in said.pop("blocks"))
        rows = tuple(Row(**_tuples(row)) for row in said.pop("rows"))
        source = build(said.pop("source", {"_target_": "eval.tables.from_runs.FromRuns"}), "source")
        return Table(blocks=blocks, rows=rows, source=source, size=size, **_tuples(said))
    except (TypeError, KeyError) as error:
        raise UserError(f"{path}: {error}") from error


def numbers() -> list[int]:
    """The tables that are defined."""
    return sorted(int(path.stem.removeprefix("table")) for path in (CONF / "paper_tables").glob("table*.yaml"))


def methods_defined() -> dict[str, list[str]]:
    """Tasks of the methods that are not for all of them, as conf/methods.yaml has them."""
    config = OmegaConf.load(CONF / "methods.yaml")
    defined: dict[str, list[str]] = OmegaConf.to_container(config, resolve=True)["defined"]  # type: ignore
    return defined


def _block(said: dict[str, Any], shared: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> Block:
    """`columns` of a block: our column -> the paper's metric, or null."""
    chosen = said.pop("columns", shared)
    columns = tuple(_column(name, paper, known[name]) for name, paper in chosen.items())
    return Block(columns=columns, **_tuples(said))


def _column(name: str, paper: str | None, said: Mapping[str, Any]) -> Column:
    figure = said.get("figure", {"_target_": "eval.tables.measured.Measured", "names": [name]})
    return Column(name, said["label"], said["better"], build(dict(figure), f"columns.{name}.figure"), paper)


def _tuples(said: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
