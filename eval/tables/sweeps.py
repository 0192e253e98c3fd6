"""Which job of a table's own sweep (sweeps/experiment/paper_table<k>.yaml) makes a cell.

A cell of a table is a run of the experiment `methods`; the table's sweep makes the same run under another name. They
are told to be the same by their options: all of the task, the sampler and the prompts that change a result.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.run import CONF, SEARCH
from eval.asked import Asked, differences, flat
from eval.cells import METHODS, Cell
from eval.comparable import SHARED

METHOD = "method"


def in_sweeps(number: int, cells: Iterable[Cell], size: str) -> list[Cell]:
    """The cells of table `number` as jobs of its sweep; one that the sweep does not make stays as it is."""
    return [_in_sweep(f"paper_table{number}", cell, size) for cell in cells]


def _in_sweep(experiment: str, cell: Cell, size: str) -> Cell:
    if cell.experiment != METHODS or not (CONF.parent / "sweeps" / "experiment" / f"{experiment}.yaml").exists():
        return cell
    asked = Asked(cell.experiment).of(cell.task, cell.method, cell.overrides)
    for choices in grid(experiment, size):
        if not differences(_options(experiment, size, choices), asked, SHARED):
            task = next((choice.removeprefix("task=") for choice in choices if choice.startswith("task=")), "")
            others = tuple(choice for choice in choices if not choice.startswith("task="))
            more = tuple(one for one in cell.overrides if one.startswith("prompts_"))
            return Cell(experiment, task, cell.method, (f"size={size}", *others, *more))
    return cell


@cache
def grid(experiment: str, size: str) -> list[tuple[str, ...]]:
    """The choices of every job of a sweep but its method, as overrides; each once."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        params = compose(
            "run", [f"+experiment={experiment}", f"size={size}", SEARCH], return_hydra_config=True
        ).hydra.sweeper.params
    return list(_combinations({key: str(value) for key, value in (params or {}).items() if key != METHOD}))


def _combinations(lists: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for values in itertools.product(*(text.split(",") for text in lists.values())):
        yield tuple(f"{key}={value}" for key, value in zip(lists, values, strict=True))


@cache
def _options(experiment: str, size: str, choices: tuple[str, ...]) -> dict[str, Any]:
    """Dotted option -> value, the method's left out."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", [f"+experiment={experiment}", f"size={size}", *choices, SEARCH])
    parts = [str(key) for key in config if key not in ("names", METHOD)]
    return flat(OmegaConf.to_container(OmegaConf.masked_copy(config, parts), resolve=True))
