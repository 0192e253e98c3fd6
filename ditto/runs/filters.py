"""Which runs are meant: words like `task=melody method=ditto,freedom status=failed since=2d sampler.steps=50`.

    key=a,b    the key has one of these values; * and ? stand for any characters
    key!=a,b   it has none of them

task, method, model, sampler, memory   what was chosen of the group
status                                 done, running, failed, interrupted, killed, damaged, undefined
run                                    the first letters of its id
sweep                                  a sweep that planned it
since, before                          when it ended, or began if it has not: 30m, 2h, 2d, 1w ago, or a date 2026-11-23
anything else                          a key of the resolved configuration

Several words narrow the choice. Undefined runs are shown only where `status` or `run` asks for them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ditto.runs.plans import sweeps_by_run
from ditto.runs.reading import Run, read_run, run_paths

Test = Callable[[Run], bool]
_GROUPS = ("task", "method", "model", "sampler", "memory")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_COST = {"run": 0, "status": 1, "since": 1, "before": 1, **dict.fromkeys(_GROUPS, 1), "sweep": 2}


def is_filter(word: str) -> bool:
    """Is this word of a command line one of these, and no option like --by=method?"""
    return "=" in word and not word.startswith("-")


def select(runs_dir: str | Path, words: Sequence[str] = ()) -> list[Run]:
    """The runs that all words fit, by id. ValueError for a word that says nothing, or a key that no run has."""
    parsed = sorted((_parse(word) for word in words), key=lambda one: _COST.get(one[0], 3))
    runs: Iterable[Run] = (read_run(path) for path in run_paths(runs_dir))
    if not {"status", "run"} & {key for key, *_ in parsed}:
        runs = (run for run in runs if run.status != "undefined")
    for key, wanted, negate in parsed:
        runs = _kept(runs, key, _test(runs_dir, key, wanted), negate)
    return list(runs)


def fits(value: Any, wanted: str) -> bool:
    """Is this value of a configuration the one that the word means? 50 fits 50.0, null fits None, tru* fits True."""
    if value is None or isinstance(value, bool):
        return fnmatchcase({None: "null", True: "true", False: "false"}[value], wanted.lower())
    if isinstance(value, int | float):
        try:
            return float(wanted) == value
        except ValueError:
            return False
    return fnmatchcase(str(value), wanted)


def _parse(word: str) -> tuple[str, list[str], bool]:
    """(key, values, negated)."""
    key, equals, values = word.partition("=")
    negate = key.endswith("!")
    key = key.removesuffix("!").strip()
    if not equals or not key or not values:
        raise ValueError(f"{word!r} is no filter: give key=value, like task=melody or since=2d")
    return key, values.split(","), negate


def _test(runs_dir: str | Path, key: str, wanted: list[str]) -> Test:
    if key in _GROUPS:
        return lambda run: any(fits(run.names.get(key), one) for one in wanted)
    if key == "status":
        return lambda run: any(fnmatchcase(run.status, one) for one in wanted)
    if key == "run":
        return lambda run: any(run.id.startswith(one) for one in wanted)
    if key in ("since", "before"):
        moment = moment_of(wanted[0])
        return lambda run: (run.changed >= moment) == (key == "since")
    if key == "sweep":
        members = sweeps_by_run(runs_dir)
        return lambda run: any(fnmatchcase(name, one) for name in members.get(run.id, ()) for one in wanted)
    return lambda run: key in run.config and any(fits(run.config[key], one) for one in wanted)


def _kept(runs: Iterable[Run], key: str, test: Test, negate: bool) -> Iterable[Run]:
    """The runs that pass; a key that none of them has is a slip of the pen, not a question."""
    if key in _COST:
        return (run for run in runs if test(run) != negate)
    listed = list(runs)
    if listed and not any(key in run.config for run in listed):
        raise ValueError(f"no run has an option {key!r}; one run's are in its config.yaml")
    return [run for run in listed if test(run) != negate]


def moment_of(word: str, now: float | None = None) -> float:
    """2d (ago), or a date and time of this machine's zone, as seconds since 1970."""
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", word)
    if ago:
        return (time.time() if now is None else now) - float(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(word).timestamp()
    except ValueError:
        raise ValueError(f"{word!r} is no time: give 30m, 2h, 2d, 1w or a date like 2026-11-23") from None
