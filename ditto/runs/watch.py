"""A running sweep on the terminal, from its files alone: over ssh, beside the launcher or after it, on any machine.

Without a terminal (a pipe, a log) one plain summary is printed. Ctrl-C leaves; the sweep does not notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ditto.runs.durations import spell
from ditto.runs.progress import STATES, SweepProgress, SweepReader, time_left

_COLOURS = {"done": "green", "running": "cyan", "failed": "red", "stopped": "yellow"}
_PLAIN_WIDTH = 120


def watch(runs_dir: str | Path, name: str | None = None, once: bool = False, every_s: float = 1.0) -> int:
    """Show the sweep until it is over; 0, or 1 where jobs of it failed. LookupError where there is none."""
    reader, console = SweepReader(runs_dir, name), Console()
    if once or not console.is_terminal:
        sweep = reader.read()
        width = console.width if console.is_terminal else _PLAIN_WIDTH
        Console(width=width).print(view(sweep, len(sweep.of("running")), rows=len(sweep.jobs)))
        return _code(sweep)
    try:
        return _live(reader, console, every_s)
    except KeyboardInterrupt:
        return 0


def _live(reader: SweepReader, console: Console, every_s: float) -> int:
    sweep, at_once = reader.read(), 0
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            sweep = reader.read()
            at_once = _at_once(sweep, at_once)
            live.update(view(sweep, at_once, rows=max(3, (console.height - 10) // 2)), refresh=True)
            if sweep.over:
                return _code(sweep)
            time.sleep(every_s)


def _at_once(sweep: SweepProgress, before: int) -> int:
    """How many jobs the engine runs side by side: between two jobs there may be fewer for a moment."""
    running = len(sweep.of("running"))
    return max(running, before) if running else 0


def view(sweep: SweepProgress, at_once: int, rows: int = 12) -> RenderableType:
    """Everything to be seen; at most `rows` running and as many failed jobs are listed."""
    return Group(*_parts(sweep, at_once, rows))


def _parts(sweep: SweepProgress, at_once: int, rows: int) -> Iterator[RenderableType]:
    yield Text.assemble((f"sweep {sweep.plan.name}", "bold"), f"  engine: {sweep.plan.engine}")
    yield _counts(sweep)
    yield _bar(sum(job.settled for job in sweep.jobs), len(sweep.jobs))
    if sweep.of("running"):
        yield _running(sweep, rows)
    for state in ("failed", "stopped"):
        if sweep.of(state):
            yield from _troubles(sweep, state, rows)
    yield _outlook(sweep, at_once)


def _counts(sweep: SweepProgress) -> Text:
    counts = sweep.counts
    parts = [(f"{counts[state]} {state}", _COLOURS.get(state, "")) for state in STATES if counts[state]]
    line = Text(f"{len(sweep.jobs)} jobs: ")
    for k, part in enumerate(parts):
        line.append(", " if k else "").append(*part)
    return line


def _bar(settled: int, jobs: int) -> Table:
    line = Table.grid(padding=(0, 1))
    line.add_row(ProgressBar(total=max(1, jobs), completed=settled, width=60), f"{100 * settled // max(1, jobs)} %")
    return line


def _running(sweep: SweepProgress, rows: int) -> Table:
    jobs = sweep.of("running")
    table = Table(box=None, pad_edge=False, expand=True, header_style="bold cyan")
    for title, least in (("run", 16), ("job", 10), ("clips", 5), ("for", 12), ("by", 12)):
        table.add_column(title, min_width=least, ratio=int(title == "job") or None, no_wrap=True, overflow="ellipsis")
    for job in sorted(jobs, key=lambda one: -(one.seconds or 0.0))[:rows]:
        clips = f"{job.clips_made}/{'?' if job.clips is None else job.clips}"
        table.add_row(job.run, Text(sweep.told_apart(job)), clips, spell(job.seconds or 0.0), Text(job.reason))
    if len(jobs) > rows:
        table.add_row("", f"and {len(jobs) - rows} more", "", "", "")
    return table


def _troubles(sweep: SweepProgress, state: str, rows: int) -> Iterator[Text]:
    """A line for each job: the first line of its reason, and what it was."""
    jobs = sweep.of(state)
    yield Text(f"{state}:", style=_COLOURS[state])
    for job in jobs[:rows]:
        reason = next(iter(job.reason.splitlines()), "")
        yield Text(f"  {job.run}  {reason}  [{sweep.told_apart(job)}]", no_wrap=True, overflow="ellipsis")
    if len(jobs) > rows:
        yield Text(f"  and {len(jobs) - rows} more: python -m ditto.runs failed")


def _outlook(sweep: SweepProgress, at_once: int) -> Text:
    counts = sweep.counts
    if sweep.over:
        failed = f"{counts['failed']} failed: python -m ditto.runs failed" if counts["failed"] else "nothing failed"
        return Text(f"over: {failed}")
    if not counts["running"]:
        return Text.assemble(("nothing is running; it goes on with: ", "yellow"), sweep.plan.line)
    left = time_left(sweep.jobs, at_once)
    return Text("time left: " + ("known when a job has ended" if left is None else f"about {spell(left)}"))


def _code(sweep: SweepProgress) -> int:
    return 1 if sweep.counts["failed"] else 0
