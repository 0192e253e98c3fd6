"""What a cell of a table wants: the clips of one method on one task, made by one command."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

METHODS, HERE = "methods", "here"  # the experiment of most cells, and the size that it has where none is named


@dataclass(frozen=True)
class Cell:
    """`python -m ditto.run +experiment=… task=… method=… <overrides>`, in parts."""

    experiment: str
    task: str  # "": an override chooses it
    method: str
    overrides: tuple[str, ...] = ()  # "option=value", as Hydra reads them

    @property
    def command(self) -> str:
        """The command that makes this cell's run."""
        return commands([self])[0]


def sized(size: str, experiment: str = METHODS) -> tuple[str, ...]:
    """The override that chooses a size of sweeps/size, where it has to be said."""
    return () if (experiment, size) == (METHODS, HERE) else (f"size={size}",)


def commands(cells: Iterable[Cell]) -> list[str]:
    """The fewest sweeps that make just these cells: methods of one setting together, then settings of one option."""
    return [_command(*sweep) for sweep in _by_option(_by_method(dict.fromkeys(cells)))]


Sweep = tuple[str, str, dict[str, str], list[str]]  # experiment, task, overrides, methods


def _by_method(cells: Iterable[Cell]) -> list[Sweep]:
    methods: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for cell in cells:
        methods[cell.experiment, cell.task, cell.overrides].append(cell.method)
    return [(e, t, dict(o.split("=", 1) for o in options), names) for (e, t, options), names in methods.items()]


def _by_option(sweeps: list[Sweep]) -> list[Sweep]:
    """Join sweeps that differ in the value of one option, or in their task, alone."""
    for name in dict.fromkeys(["task", *(name for sweep in sweeps for name in sweep[2])]):
        joined: dict[tuple[object, ...], tuple[Sweep, list[str]]] = {}
        for sweep in sweeps:
            experiment, task, options, methods = sweep
            others = [(key, value) for key, value in options.items() if key != name]
            alike = (experiment, name == "task" or task, *others, name in options, *sorted(methods))
            joined.setdefault(alike, (sweep, []))[1].append(task if name == "task" else options.get(name, ""))
        sweeps = [_with(first, name, ",".join(dict.fromkeys(values))) for first, values in joined.values()]
    return sweeps


def _with(sweep: Sweep, name: str, value: str) -> Sweep:
    experiment, task, options, methods = sweep
    if name == "task":
        return experiment, value, options, methods
    return experiment, task, {**options, **({name: value} if name in options else {})}, methods


def _command(experiment: str, task: str, options: dict[str, str], methods: Sequence[str]) -> str:
    choices = {"+experiment": experiment, "task": task, **options, "method": ",".join(methods)}
    words = [shlex.quote(f"{name}={value}") for name, value in choices.items() if value]
    several = any(_several(value) for value in choices.values())
    return " ".join(["python -m ditto.run", *(["-m"] if several else []), *words])


def _several(value: str) -> bool:
    """Does Hydra read this as a sweep? A list in brackets is one value."""
    return "," in value and not value.startswith(("[", '"', "'"))
