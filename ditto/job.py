"""One job: from a composed configuration to a finished run directory, or to a recorded reason why not."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from ditto import allocator, locks
from ditto.identity import Prepared, prepare
from ditto.outcome import Outcome, remember
from ditto.run_directory import RunDirectory, read_json
from ditto.types import NoSpace, UndefinedTask, UserError

# True where the jobs of a sweep run in the process that launched it: there Ctrl-C ends the sweep, elsewhere a job.
in_launching_process: ContextVar[bool] = ContextVar("in_launching_process", default=False)


def run_job(cfg: DictConfig) -> Outcome:
    """Make the run of `cfg` and print what happened. In a sweep nothing is raised but Ctrl-C in the launching process.

    The launcher of a sweep gets the outcome as the job's return value, from whatever process ran it.
    """
    sweeping = cfg.run_id is not None
    end_on_sigterm()
    allocator.keep_buffers()
    try:
        outcome = execute(cfg, sweeping)
    except KeyboardInterrupt:
        if not sweeping or in_launching_process.get():
            raise
        outcome = Outcome(str(cfg.run_id), Path(str(cfg.runs_dir)), "interrupted", "asked to stop")
    bad = outcome.exit_code != 0
    text = f"error: {outcome.reason}" if bad else describe(outcome, short=sweeping)
    print(text, file=sys.stderr if bad else sys.stdout, flush=True)
    if not in_launching_process.get():  # there the launcher remembers the outcomes of all its jobs
        remember(outcome)
    return outcome


def execute(cfg: DictConfig, sweeping: bool = False) -> Outcome:
    """Make the run of `cfg` unless it is there. A mistake in the command leaves nothing, or its reason in a sweep."""
    run_id, path = str(cfg.get("run_id") or ""), Path(str(cfg.runs_dir))
    try:
        prepared = prepare(cfg)
        run, options = prepared.run, prepared.options
        if options["run_id"] not in (None, run.id):
            changed = (
                f"it was planned as run {options['run_id']} and is now {run.id}: a file of its configuration changed"
            )
            return Outcome(run_id, path, "error", f"{changed}; start the sweep again")
        run_id, path = run.id, run.path
        found = already(run, options, sweeping)
        if found:
            return found
        with run.lock():
            return already(run, options, sweeping) or _make(prepared, sweeping)
    except locks.Busy as busy:
        return Outcome(run_id, path, "busy", f"{busy} is making it")
    except UserError as error:
        return Outcome(run_id, path, "error", str(error))


def already(run: RunDirectory, options: Mapping[str, Any], sweeping: bool) -> Outcome | None:
    """The outcome of a run that is not to be made: it is there, has no meaning, or failed and nobody asks to retry.

    retry: null tries again when it is asked for by itself, but not as one job of a sweep.
    """
    status = run.status
    reason, retry = status.get("reason", ""), options["retry"]
    if options["overwrite"]:
        return None
    if run.whole:
        return Outcome(run.id, run.path, "skipped", "already done")
    if status.get("status") == "undefined":
        return Outcome(run.id, run.path, "undefined", reason)
    if status.get("status") == "failed" and not (not sweeping if retry is None else retry):
        return Outcome(run.id, run.path, "failed", f"failed earlier ({reason}); retry=true tries again")
    return None


def describe(outcome: Outcome, short: bool = False) -> str:
    """The line (and, for a finished run, the table) to print for an outcome."""
    if outcome.status != "done":
        return f"run {outcome.run_id}: {outcome.status}, {outcome.reason} ({outcome.path})"
    line = f"run {outcome.run_id}: done{outcome.reason} -> {outcome.path}"
    return line if short else "\n".join([line, *metric_lines(outcome.path)])


def metric_lines(path: Path) -> list[str]:
    """Mean of every control metric over the clips that did not fail, text-only beside it."""
    metrics = [m for m in (read_json(path / "metrics.json") or {}).values() if "failed" not in m]
    means = _means(metrics)
    method = (read_json(path / "status.json") or {})["names"]["method"]
    width = max(12, len(method) + 2)
    lines = [f"  {'mean of ' + str(len(metrics)) + ' clips':<28}{'text_only':>12}{method:>{width}}"]
    for name in [key for key in means if f"{key}_text_only" in means]:
        lines.append(f"  {name:<28}{means[f'{name}_text_only']:>12.4g}{means[name]:>{width}.4g}")
    if len(lines) == 1:
        lines = [f"  {name:<28}{means[name]:>12.4g}" for name in means if name not in ("seed", "batch_size")]
    return lines


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every figure over the clips that have it; no pandas, which takes longer to load than a small run."""
    means = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            finite = [value for value in values if not math.isnan(value)]
            means[name] = sum(finite) / len(finite) if finite else math.nan
    return means


def end_on_sigterm() -> None:
    """A scheduler's polite kill ends a job as Ctrl-C does: what is finished is kept, and the run says so."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def interrupt(*_: Any) -> NoReturn:
    """End the job as Ctrl-C does. Schedulers repeat SIGTERM: the next one must not spoil what is being saved."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _make(prepared: Prepared, sweeping: bool) -> Outcome:
    """Make the clips under the lock; whatever ends the run is written to its status."""
    from ditto.batches import STATE, make_run

    run, options, clips = prepared.run, prepared.options, prepared.clips
    if options["overwrite"]:
        run.clear()
    start = time.perf_counter()
    try:
        make_run(run, options, clips, prepared.model)
    except UserError as error:
        lasting = (run.path / STATE).exists() or any(run.has_clip(clip.clip_id) for clip in clips)
        if sweeping or (lasting and not isinstance(error, UndefinedTask)):
            _record(prepared, _mistake(error), str(error))
        else:
            run.discard()
        told = _mistake(error) if sweeping and isinstance(error, NoSpace | UndefinedTask) else "error"
        return Outcome(run.id, run.path, told, str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        _record(prepared, "failed", reason, traceback.format_exc())
        return Outcome(run.id, run.path, "failed", f"run {run.id} failed: {reason} (traceback: {run.path}/status.json)")
    except BaseException:
        if not run.whole:  # asked to stop after the last file was written: it stays done
            _record(prepared, "interrupted", "asked to stop; the same command goes on with it")
        raise
    status = run.status
    if status["status"] == "failed":
        return Outcome(run.id, run.path, "failed", f"run {run.id}: {status['reason']}")
    lost = f" ({len(status['failed_clips'])} clips failed)" if status["failed_clips"] else ""
    return Outcome(run.id, run.path, "done", f" in {time.perf_counter() - start:.1f} s{lost}")


def _mistake(error: UserError) -> str:
    """The status of a run that ended with it."""
    return {UndefinedTask: "undefined", NoSpace: "interrupted"}.get(type(error), "failed")


def _record(prepared: Prepared, status: str, reason: str, trace: str = "") -> None:
    """Say in status.json why the run ended; a full disk must not hide the reason from the user."""
    run, options = prepared.run, prepared.options
    with contextlib.suppress(OSError, UserError):
        if run.status.get("status") != "running":  # it ended before it began
            run.begin(OmegaConf.to_yaml(options), options["names"], len(prepared.clips))
        run.stop(status, reason, trace)
