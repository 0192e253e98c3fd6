"""One job: from a composed configuration to a finished run directory, or to a recorded reason why not."""

from __future__ import annotations

import contextlib
import hashlib
import pydoc
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ditto import locks
from ditto.build import build_model, pick_device
from ditto.options import check_run_options
from ditto.outcome import Outcome
from ditto.prompts import SOURCES, clip_requests
from ditto.run_directory import NOT_IDENTITY, RunDirectory, read_json
from ditto.types import ClipRequest, UserError

if TYPE_CHECKING:
    from ditto.models.base import MusicModel

# Replaced in the identity by the clips they lead to: the same prompt from a file and from the command line is one run.
_CLIP_OPTIONS = (*SOURCES, "prompts_n", "prompts_offset", "prompts_repeat", "default_prompt", "seed")
_LEFT_OUT = (*NOT_IDENTITY, *_CLIP_OPTIONS, "tuned")  # tuned values stand where a method or a task reads them
_outcomes: list[Outcome] = []


def run_job(cfg: DictConfig) -> Outcome:
    """Make the run of `cfg`, print what happened and remember the outcome for the end of a sweep."""
    sweeping, in_process = _launch()
    outcome = execute(cfg, keep_errors=sweeping)
    bad = outcome.exit_code != 0
    print(f"error: {outcome.reason}" if bad else describe(outcome), file=sys.stderr if bad else sys.stdout, flush=True)
    _outcomes.append(outcome)
    if bad and not in_process:
        raise RuntimeError(outcome.reason)  # the only way to tell a launcher with processes of its own
    return outcome


def execute(cfg: DictConfig, keep_errors: bool = False) -> Outcome:
    """Make the run of `cfg` unless it is there. A mistake in the command leaves nothing, or its reason in a sweep."""
    run_id, path = "", Path(str(cfg.runs_dir))
    try:
        check_run_options(_plain(cfg))
        cfg = OmegaConf.merge(cfg, {"device": pick_device(cfg.device)})  # type: ignore[assignment]
        options = _plain(cfg)
        clips = clip_requests(options)
        model = build_model(options["model"], options["device"], options["precision"])
        run = RunDirectory(options["runs_dir"], identity(cfg, clips, model.weights_hash))
        run_id, path = run.id, run.path
        skipped = _reason_to_skip(run, options)
        if skipped:
            return Outcome(run_id, path, "skipped", skipped)
        with run.lock():
            if run.done and not options["overwrite"]:
                return Outcome(run_id, path, "skipped", "already done")
            return _make(run, options, clips, model, keep_errors)
    except locks.Busy as busy:
        return Outcome(run_id, path, "busy", f"{busy} is making it")
    except UserError as error:
        return Outcome(run_id, path, "error", str(error))


def identity(cfg: DictConfig, clips: list[ClipRequest], weights_hash: str = "") -> dict[str, Any]:
    """What a run's id is the hash of: options that change results, clips, weights, the files it reads."""
    unset = OmegaConf.merge(cfg, {key: None for key in NOT_IDENTITY if key in cfg})
    kept = {key: value for key, value in _plain(unset).items() if key not in _LEFT_OUT}
    wanted = [[clip.prompt, clip.seed] for clip in clips]
    files = {name: _file_hash(name) for name in sorted(set(_files(kept["task"])))}
    same = {**kept, "clips": wanted, "weights": weights_hash, "files": files}
    trained = _trained_parts(kept["method"])
    return {**same, "method_weights": trained} if trained else same


def describe(outcome: Outcome) -> str:
    """The line (and, for a finished run, the table) to print for an outcome."""
    if outcome.status != "done":
        return f"run {outcome.run_id}: {outcome.status}, {outcome.reason} ({outcome.path})"
    return "\n".join([f"run {outcome.run_id}: done{outcome.reason} -> {outcome.path}", *metric_lines(outcome.path)])


def metric_lines(path: Path) -> list[str]:
    """Mean of every control metric over the clips that did not fail, text-only beside it."""
    import pandas as pd

    metrics = {c: m for c, m in (read_json(path / "metrics.json") or {}).items() if "failed" not in m}
    means = pd.DataFrame.from_dict(metrics, orient="index").select_dtypes("number").mean()
    method = (read_json(path / "status.json") or {})["names"]["method"]
    width = max(12, len(method) + 2)
    lines = [f"  {'mean of ' + str(len(metrics)) + ' clips':<28}{'text_only':>12}{method:>{width}}"]
    for name in [key for key in means.index if f"{key}_text_only" in means.index]:
        lines.append(f"  {name:<28}{means[f'{name}_text_only']:>12.4g}{means[name]:>{width}.4g}")
    if len(lines) == 1:
        lines = [f"  {name:<28}{means[name]:>12.4g}" for name in means.index if name not in ("seed", "batch_size")]
    return lines


def outcomes() -> list[Outcome]:
    """How the jobs of the current command ended."""
    return list(_outcomes)


def forget_outcomes() -> None:
    """To be called at the start of a command."""
    _outcomes.clear()


def sweep_summary(ended: list[Outcome]) -> str:
    """How many jobs ended how, and which failed why."""
    kinds = sorted({outcome.status for outcome in ended})
    counts = ", ".join(f"{sum(o.status == kind for o in ended)} {kind}" for kind in kinds)
    bad = [f"  {outcome.run_id or '?'}: {outcome.reason}" for outcome in ended if outcome.exit_code]
    return "\n".join([f"{len(ended)} runs: {counts}", *bad])


def _reason_to_skip(run: RunDirectory, options: Mapping[str, Any]) -> str:
    status = run.status
    if options["overwrite"]:
        return ""
    if status.get("status") == "done":
        return "already done"
    if status.get("status") == "failed" and not options["retry"]:
        return f"failed earlier ({status['reason']}); retry=true tries again"
    return ""


def _make(
    run: RunDirectory, options: dict[str, Any], clips: list[ClipRequest], model: MusicModel, keep_errors: bool
) -> Outcome:
    """Make the clips under the lock; whatever ends the run is written to its status."""
    from ditto.batches import make_run

    if options["overwrite"]:
        run.clear()
    start = time.perf_counter()
    try:
        make_run(run, options, clips, model)
    except UserError as error:
        if keep_errors or any(run.has_clip(clip.clip_id) for clip in clips):
            _record(run, options, len(clips), "failed", str(error))
        else:
            run.discard()
        return Outcome(run.id, run.path, "error", str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        _record(run, options, len(clips), "failed", reason, traceback.format_exc())
        return Outcome(run.id, run.path, "failed", f"run {run.id} failed: {reason} (traceback: {run.path}/status.json)")
    except BaseException:
        _record(run, options, len(clips), "interrupted", "stopped by the user; the same command goes on with it")
        raise
    status = run.status
    if status["status"] == "failed":
        return Outcome(run.id, run.path, "failed", f"run {run.id}: {status['reason']}")
    lost = f" ({len(status['failed_clips'])} clips failed)" if status["failed_clips"] else ""
    return Outcome(run.id, run.path, "done", f" in {time.perf_counter() - start:.1f} s{lost}")


def _record(run: RunDirectory, options: dict[str, Any], clips: int, status: str, reason: str, trace: str = "") -> None:
    """Say in status.json why the run ended; a full disk must not hide the reason from the user."""
    with contextlib.suppress(OSError, UserError):
        if run.status.get("status") != "running":  # it ended before it began
            run.begin(OmegaConf.to_yaml(options), options["names"], clips)
        run.stop(status, reason, trace)


def _plain(cfg: DictConfig | ListConfig) -> dict[str, Any]:
    """A resolved configuration as ordinary dictionaries and lists."""
    options = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items()}


def _launch() -> tuple[bool, bool]:
    """(is this a sweep, do its jobs run in the process that prints the summary)."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        return False, True
    settings = HydraConfig.get()
    return settings.mode == RunMode.MULTIRUN, "BasicLauncher" in settings.launcher.get("_target_", "BasicLauncher")


def _files(value: Any) -> Iterator[str]:
    """Every string in a configuration that names an existing file (curves, melodies, recordings)."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _files(item)
    elif isinstance(value, list):
        for item in value:
            yield from _files(item)
    elif isinstance(value, str) and "." in value and len(value) < 1000 and Path(value).is_file():
        yield value


def _trained_parts(method: Mapping[str, Any]) -> dict[str, str]:
    """The weights that a method brings along: those in its option `weights`, or in its class's `packaged` folder."""
    if "weights" not in method:
        return {}
    folder = Path(method["weights"] or getattr(pydoc.locate(method["_target_"]), "packaged", ""))
    return {path.name: _file_hash(str(path)) for path in sorted(folder.glob("*.safetensors"))}


def _file_hash(name: str) -> str:
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
