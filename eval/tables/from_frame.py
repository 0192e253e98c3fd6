"""Tables whose runs another page of results already chooses: inversion (table 7) and the reuse of x_T* (table 10).

Their functions give a frame of figures, one row a figure with its provenance; a crossing takes the row that has the
values under `match` of its row and block, and the column's name as its metric.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.types import UserError
from eval.asked import CONF, Asked
from eval.candidates import Candidate
from eval.cells import Cell
from eval.sets import Row as Line
from eval.tables.base import PROVENANCE, Context, Filled, Value
from eval.tables.definition import Block, Column, Row, Table


@dataclass(frozen=True)
class Figures:
    """Figures of runs that belong together, and the cells that would complete them."""

    rows: pd.DataFrame
    remarks: list[str]
    size: Mapping[Any, tuple[str, ...]] = field(default_factory=dict)  # overrides that made the found runs smaller


class Pages(Protocol):
    """Where the figures come from."""

    def figures(self, context: Context) -> Figures: ...

    def cell(self, table: Table, row: Row, block: Block, found: Figures, context: Context) -> Cell:
        """What makes the run of a crossing."""
        ...


@dataclass(frozen=True)
class FromFrame:
    """The source of a table that is another way to show a page."""

    page: Pages

    def fill(self, table: Table, context: Context, *, measure: bool = True) -> Filled:
        found = self.page.figures(context)
        values, missing = [], []
        for row, block in table.crossings({}):
            cell = self.page.cell(table, row, block, found, context)
            lines = [_line(found.rows, row, block, column) for column in block.columns]
            missing += [] if any(lines) else [cell]
            values += [
                Value(row, block, column, cell, line, _provenance(line))
                for column, line in zip(block.columns, lines, strict=True)
            ]
        return Filled(values if measure else [], list(dict.fromkeys(missing)), remarks=found.remarks)


def composed(name: str, context: Context) -> dict[str, Any]:
    """The options of another command of eval, on the runs of this one."""
    shared = [f"{key}={context.options[key]}" for key in ("runs", "results", "model_name")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(name, shared), resolve=True)  # type: ignore[return-value]


def nothing(error: UserError) -> Figures:
    """No figures, with what the page says about it."""
    return Figures(pd.DataFrame(), [str(error)])


def smaller(one: Candidate, experiment: str, choices: tuple[str, ...], names: Sequence[str]) -> tuple[str, ...]:
    """The options of these names that a run has otherwise than its experiment with these choices, as overrides."""
    asked = Asked(experiment).of(one.task, one.named, choices)
    unlike = [name for name in names if name in one.config and one.config[name] != asked.get(name)]
    return tuple(f"{name}={_said(one.config[name])}" for name in unlike)


def _said(value: Any) -> str:
    """A value as Hydra reads it on a command line."""
    return json.dumps(value) if isinstance(value, list) else str(value)


def _line(rows: pd.DataFrame, row: Row, block: Block, column: Column) -> Line | None:
    wanted = {"metric": column.name, "method": row.method, **block.match, **row.match}
    if rows.empty:
        return None
    matching = rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    return dict(matching.iloc[0]) if len(matching) else None


def _provenance(line: Line | None) -> dict[str, Any]:
    return {name: line[name] for name in PROVENANCE} if line else {}
