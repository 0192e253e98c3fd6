"""Which finished runs may stand in one table: same prompts, targets, seeds, sampler and weights for every method.

A run counts as a method's if its options are those that `python -m ditto.run +experiment=methods task=… method=…`
composes now, in everything that changes results: prompts, seeds, sampler, target, and the method's own settings (so an
early-stopped DITTO is `ditto_stop`, by whatever name it was made). How memory is spent changes costs only: the newest
run wins, and another budget is said. Of every run the first n clips are taken; the clips and weights that most runs
have are the table's, and a run of others is named and left out. Nothing here imports a method.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ditto.types import UserError
from eval.asked import Asked, differences
from eval.candidates import Candidate, candidates
from eval.finished import BESIDE, Finished

PROMPTS = ("prompt", "prompts_file", "prompts_split", "prompts_offset", "seed")
SHARED = (*PROMPTS, "frames", "precision", "sampler", "task.control")


def collect(options: dict[str, Any]) -> list[Finished]:
    """The runs that make up the table; what is left out or missing is printed to stderr with its reason."""
    asked = Asked(options["experiment"])
    matched: dict[tuple[str, str], list[Candidate]] = {}
    for one in first_clips(options):
        method, why = name_of(one, asked, options["methods"])
        if method is not None:
            matched.setdefault((one.task, method), []).append(one)
        elif why:
            _say(f"left out: run {one.path.name} ({one.named} on {one.task}), {why}")
    counted = _same_clips(matched)
    found = [_newest(pair, counted, options) for pair in wanted(options)]
    missing = [pair for pair, one in zip(wanted(options), found, strict=True) if one is None or one.beside]
    for line in commands(missing, options["experiment"]):
        _say(line)
    kept = [one for one in found if one is not None and not one.clips.empty]
    if not kept:
        raise UserError(f"no finished run of the experiment {options['experiment']} in {options['runs']}")
    return kept


def first_clips(options: dict[str, Any]) -> Iterator[Candidate]:
    """The finished runs of the asked tasks and model, cut to their first n clips; smaller ones are left out."""
    n = options["n"]
    for one in candidates(options):
        if len(one.rows) >= n:
            yield replace(one, rows=one.rows.head(n))


def name_of(one: Candidate, asked: Asked, methods: list[str]) -> tuple[str | None, str]:
    """The method whose experiment made this run; or None and what is different ("" for runs of other prompts)."""
    shared = differences(one.config, asked.of(one.task, "text_only"), SHARED)
    if any(line.startswith(PROMPTS) for line in shared):
        return None, ""
    if shared:
        return None, "; ".join(shared)
    own = {}
    for method in sorted(methods, key=lambda name: name != one.named):  # its own name first
        own[method] = differences(one.config, asked.of(one.task, method), ("method",))
        if not own[method]:
            _cost_note(one, asked.of(one.task, method))
            return method, ""
    return None, "; ".join(own.get(one.named, ["a method that is not asked for"]))


def wanted(options: dict[str, Any]) -> list[tuple[str, str]]:
    """Every defined pair (task, method), in the order of the options."""
    defined = options["defined"]
    return [(task, m) for task in options["tasks"] for m in options["methods"] if task in defined.get(m, [task])]


def commands(missing: list[tuple[str, str]], experiment: str) -> list[str]:
    """What makes the missing runs: one line a method."""
    methods = list(dict.fromkeys(method for _, method in missing))
    lines = []
    for method in methods:
        tasks = [task for task, other in missing if other == method]
        sweep = "-m " if len(tasks) > 1 else ""
        lines.append(
            f"missing: python -m ditto.run {sweep}+experiment={experiment} task={','.join(tasks)} method={method}"
        )
    return lines


def _same_clips(matched: dict[tuple[str, str], list[Candidate]]) -> dict[tuple[str, str], list[Candidate]]:
    """Keep the runs of the clips and weights that most pairs have."""
    votes = Counter(key for several in matched.values() for key in {one.key for one in several})
    if not votes:
        return {}
    most = votes.most_common(1)[0][0]
    for several in matched.values():
        for one in several:
            if one.key != most:
                what = "other weights" if one.key[0] != most[0] else "other prompts or seeds"
                _say(f"left out: run {one.path.name} ({one.named} on {one.task}), {what} than most runs")
    return {pair: [one for one in several if one.key == most] for pair, several in matched.items()}


def _newest(
    pair: tuple[str, str], counted: dict[tuple[str, str], list[Candidate]], options: dict[str, Any]
) -> Finished | None:
    """The newest run of a pair; where text-only has none, the clips kept beside another method's run."""
    task, method = pair
    made = [Finished.of(task, method, one.path, one.rows) for one in counted.get(pair, [])]
    if made or method != "text_only":
        return max(made, key=lambda one: (-one.failed, one.finished), default=None)
    others = [
        Finished.of(task, other, one.path, one.rows)
        for other in options["methods"]
        for one in counted.get((task, other), [])
    ]
    beside = [one for one in others if any(str(name).endswith(BESIDE) for name in one.clips)]
    return max(beside, key=lambda one: (-one.failed, one.finished)).beside_text_only() if beside else None


def _cost_note(one: Candidate, asked: dict[str, Any]) -> None:
    """Say where a run that counts was given other memory than the experiment gives."""
    spent = {name: (one.config.get(name), value) for name, value in asked.items() if name.startswith("memory.")}
    for name, (had, value) in spent.items():
        if had != value:
            _say(f"note: run {one.path.name} ({one.named} on {one.task}) had {name}={had}, not {value}: costs differ")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
