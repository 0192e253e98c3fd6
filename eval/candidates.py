"""Finished runs with the options that they were made with, and which of them belong together."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from omegaconf import OmegaConf

from ditto.run_directory import read_json
from ditto.runs import load_runs
from eval.asked import LEFT_OUT, flat
from eval.finished import Finished

T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """One finished run: what it says it is, its resolved options and its clips, failed ones included."""

    path: Path
    task: str
    named: str
    rows: pd.DataFrame

    @cached_property
    def config(self) -> dict[str, Any]:
        """Dotted option -> value, of the run's config.yaml."""
        file = self.path / "config.yaml"
        return flat(OmegaConf.to_container(OmegaConf.load(file))) if file.exists() else {}

    @cached_property
    def made(self) -> Finished:
        """Its clips under the name that the run has."""
        return Finished.of(self.task, self.named, self.path, self.rows)

    @property
    def key(self) -> tuple[Any, ...]:
        """Clips and weights: equal for runs that may be compared."""
        weights = (read_json(self.path / "environment.json") or {}).get("weights", "unknown")
        return weights, tuple(self.rows[["clip", "prompt", "seed"]].itertuples(index=False, name=None))

    def options(self, parts: Iterable[str], but: Iterable[str] = ()) -> tuple[str, ...]:
        """ "name=value" of the options under `parts`, without those under `but` and how memory is spent."""
        inside, outside = (tuple(f"{part}." for part in names) for names in (parts, but))
        names = [name for name in self.config if f"{name}.".startswith(inside) and LEFT_OUT not in name.split(".")]
        return tuple(f"{name}={self.config[name]}" for name in sorted(names) if not f"{name}.".startswith(outside))


def candidates(options: Mapping[str, Any]) -> Iterator[Candidate]:
    """The finished runs of the asked tasks and model, clips in their order."""
    runs = load_runs(options["runs"])
    if runs.empty:
        return
    chosen = runs[(runs["model"] == options["model_name"]) & runs["task"].isin(options["tasks"])]
    for (path, task, method), rows in chosen.groupby(["path", "task", "method"]):
        yield Candidate(Path(str(path)), str(task), str(method), rows.sort_values("clip", key=_place))


def _place(clips: pd.Series) -> pd.Series:
    """Clip ids begin with the clip's place in its run: 1000 comes after 999, not after 100."""
    return clips.str.partition("_")[0].astype(int)


def largest(
    runs: Iterable[T], group: Callable[[T], Hashable], key: Callable[[T], Hashable], made: Callable[[T], Finished]
) -> list[T]:
    """The runs of the group with the most different keys (the newest of equals): of each key the newest run.

    Runs of other groups are named on stderr.
    """
    groups: dict[Hashable, dict[Hashable, T]] = defaultdict(dict)
    for one in sorted(runs, key=lambda run: made(run).finished):
        groups[group(one)][key(one)] = one
    if not groups:
        return []
    best = max(groups.values(), key=lambda kept: (len(kept), max(made(one).finished for one in kept.values())))
    taken = {made(one).path.name for one in best.values()}
    others = {made(one).path.name for kept in groups.values() for one in kept.values()} - taken
    if others:
        print(f"left out, of other options: {', '.join(sorted(others))}", file=sys.stderr)
    return list(best.values())


def consistent(
    runs: Iterable[T],
    same: Callable[[T], Hashable],
    own: Callable[[T], Hashable],
    key: Callable[[T], Hashable],
    made: Callable[[T], Finished],
) -> list[T]:
    """The largest group equal in `same`; of each method in it, the runs with the `own` options that have most keys."""
    group = largest(runs, same, lambda one: (made(one).method, key(one), own(one)), made)
    methods = dict.fromkeys(made(one).method for one in group)
    of = {method: [one for one in group if made(one).method == method] for method in methods}
    return [one for several in of.values() for one in largest(several, own, key, made)]
