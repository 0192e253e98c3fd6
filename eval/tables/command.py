"""From the options of conf/tables.yaml to the tables, or to the commands that would fill them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eval.cells import Cell, commands
from eval.comparable import Runs, first_clips, say
from eval.tables.base import Context
from eval.tables.definition import Table, load, methods_defined, numbers
from eval.tables.sizes import clips_of
from eval.tables.sweeps import in_sweeps
from eval.tables.write import write_index, write_table


def run(cfg: DictConfig) -> list[Path]:
    """Fill and write the tables that are asked for; the files."""
    tables, context = prepare(cfg)
    folder = context.results / str(cfg.name)
    written = [write_table(table, table.source.fill(table, context), folder) for table in tables]
    for line in context.runs.left_out(cells(tables, context)):
        say(line)
    return [*written, write_index(folder)]


def missing(cfg: DictConfig) -> list[str]:
    """The commands that would fill what is missing, each once: parts of the sweeps of the tables."""
    tables, context = prepare(cfg)
    filled = {table.number: table.source.fill(table, context, measure=False) for table in tables}
    others = dict.fromkeys(line for one in filled.values() for line in one.commands)
    wanted: list[Cell] = []
    asked: set[Cell] = set()  # a run that two tables share belongs to the first
    for number, one in filled.items():
        wanted += in_sweeps(number, [cell for cell in one.cells if cell not in asked], str(context.options["size"]))
        asked.update(one.cells)
    return [*commands(wanted), *others]


def prepare(cfg: DictConfig) -> tuple[list[Table], Context]:
    """The tables as they are defined, and the finished runs."""
    options: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    options["n"] = options["n"] or clips_of(options["size"])
    tables = [load(int(number), options["columns"], options["size"]) for number in options["tables"] or numbers()]
    tasks = {row.task or block.task for table in tables for row in table.rows for block in table.blocks}
    runs = Runs(list(first_clips({**options, "tasks": sorted(tasks)})))
    return tables, Context(options, runs, methods_defined())


def cells(tables: list[Table], context: Context) -> list[Cell]:
    """What the tables want."""
    return [table.cell(*crossing) for table in tables for crossing in table.crossings(context.defined)]
