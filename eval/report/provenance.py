"""What the page's runs were made with: model, weights, device, commits, dates and counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ditto.run_directory import read_json
from eval.cells import Cell, commands
from eval.comparable import wanted
from eval.finished import Finished


def provenance(found: Sequence[Finished], options: Mapping[str, Any]) -> dict[str, str]:
    """Facts in the order of the page's header."""
    made = [one.provenance for one in found]
    statuses = [read_json(one.path / "status.json") or {} for one in found]
    facts = {
        "model": _several(row["model"] for row in made),
        "checkpoint": _several(row["weights"] for row in made),
        "device": _several(row["device"] for row in made),
        "code": _several(_short(str(row["commit"])) for row in made),
        "runs": f"{len({row['run'] for row in made})}, finished {_dates(one.finished for one in found)}",
        "n": f"{options['n']} prompts a run; the first {options['prompts']} are shown",
        "sampler": _several(status.get("names", {}).get("sampler", "unknown") for status in statuses),
        "settings": f"experiment={options['experiment']}",
    }
    failed = {f"{one.method} on {one.task}": one.failed for one in found if one.failed}
    if failed:
        facts["failed clips"] = ", ".join(f"{count} of {name}" for name, count in failed.items())
    return facts


def missing(found: Sequence[Finished], options: Mapping[str, Any]) -> list[tuple[str, list[str], list[str]]]:
    """(method, tasks without a run, the commands that make them)."""
    there = {(one.task, one.method) for one in found}
    without: dict[str, list[Cell]] = {}
    for task, method in wanted(options):
        if (task, method) not in there:
            without.setdefault(method, []).append(Cell(options["experiment"], task, method))
    return [(method, [cell.task for cell in cells], commands(cells)) for method, cells in without.items()]


def _several(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _short(commit: str) -> str:
    """Seven digits of a commit, and the + of one with changes."""
    return commit[:7] + ("+" if commit.endswith("+") else "")


def _dates(times: Iterable[float]) -> str:
    """The first and the last day (UTC)."""
    days = sorted({f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in times})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
