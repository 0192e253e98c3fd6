"""One W&B run: how it is opened, named and closed. The calls may take long or raise; `mirror` keeps them off the run.

id = the run directory's, group = sweep, job type = method, tags = task and model, config = the resolved configuration
with the run's id and, for W&B's panels to group by, `comparison` = "<task> <method>".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ditto.loggers import mode, service
from ditto.loggers.curves import Curves
from ditto.loggers.logged import Logged
from ditto.loggers.marker import mark
from ditto.loggers.report import AXES, log_clips, mean_curve, summary
from ditto.loggers.rest import Rest

unreachable = Rest()  # online; the runs of this process go offline at once


@dataclass
class Session:
    """project, entity, mode: W&B's; mode may be "auto". W&B's run of that id goes on, if there is one.

    curves, media: so many clips have curves of their own, are heard and seen. patience_s: bounds what W&B itself waits
    for at both ends.
    """

    run_id: str
    path: Path
    config: Mapping[str, Any]
    project: str = "ditto"
    entity: str | None = None
    mode: str = "auto"
    curves: int = 4
    media: int = 16
    patience_s: float = 30.0
    run: Any = field(default=None, init=False)
    logged: Logged = field(init=False)
    lines: Curves = field(init=False)

    def open(self) -> None:
        """Start or resume the W&B run; offline where W&B cannot be reached, with a warning."""
        wanted = mode.chosen_mode(self.mode)
        if wanted == "online" and unreachable:
            return self._init("offline")
        try:
            if wanted == "online" and not mode.reachable():
                raise ConnectionError("nothing answers there")
            return self._init(wanted)
        except Exception as error:
            service.end()  # its half-made run of this id, or its death, would be in the way of the next attempt
            if wanted == "online":
                unreachable.begin()
                warn(f"W&B is not online ({one_line(error)})")
        return self._init("offline")

    def step(self, row: Mapping[str, Any]) -> None:
        """One optimisation step (`ditto.loggers.base`), unless W&B has it."""
        values = self.lines.row(row)
        if values:
            self.run.log(values)
            self.logged.remember()

    def finish(self, status: str, complete: bool) -> None:
        """Everything that the run directory holds by now, then the end. complete: there is nothing more to come."""
        if complete:
            self._log_curves()
        self.run.summary.update({**summary(self.path, self.config), "status": status})
        error = self._log_clips() if complete else None
        self.run.finish(exit_code=0 if status == "done" else 1)
        if error:
            raise error  # the run is there, without them
        if complete:
            mark(self.path, self.run.settings.mode, self.run.project, self.run.entity)

    def _log_curves(self) -> None:
        for row in self.lines.rest(self.path):
            self.run.log(row)
        for row in mean_curve(self.path) if not self.logged.has("curve") else ():
            self.run.log(row)
            self.logged.add("curve")
        self.logged.remember()

    def _log_clips(self) -> Exception | None:
        """Sound, pictures and table, which need more of a server than numbers do."""
        if self.logged.has("clips"):
            return None
        try:
            self.logged.add("clips", log_clips(self.run, self.path, self.media))
            self.logged.remember()
        except Exception as error:
            return error
        return None

    def _init(self, mode: str) -> None:
        import wandb
        from wandb.sdk.lib import import_hooks

        wandb.termsetup(wandb.Settings(silent=True), None)
        names = self.config["names"]
        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=self.run_id,
            name=f"{names['task']} {names['method']} {self.run_id[:6]}",
            group=self.config.get("sweep"),
            job_type=names["method"],
            tags=[names["task"], names["model"]],
            config={**self.config, "run_id": self.run_id, "comparison": f"{names['task']} {names['method']}"},
            dir=str(self.path),
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            reinit="create_new",
            settings=self._settings(),
        )
        self.logged = Logged(self.path, mode)
        self.lines = Curves(self.curves, self.logged)
        if mode == "online":
            self.logged.agree(self.run.starting_step, complete=self.run.summary.get("status") == "done")
        # They count which libraries are imported, in the importing thread: a dead W&B would make an import fail.
        import_hooks.unregister_all_post_import_hooks()
        for axis, metrics in AXES.items():
            self.run.define_metric(axis, hidden=True, summary="none")
            for metric in metrics:
                self.run.define_metric(metric, step_metric=axis, summary="none")

    def _settings(self) -> Any:
        """Only what a dashboard shows: console, code, git and the machine are in the run directory already."""
        import wandb

        return wandb.Settings(
            silent=True,
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            save_code=False,
            x_save_requirements=False,
            x_disable_stats=True,
            x_disable_machine_info=True,
            symlink=False,
            allow_media_symlink=True,  # with the line above: hard links, so that sound is not stored twice
            init_timeout=self.patience_s / 3,
            finish_timeout=self.patience_s * 0.8,
            finish_timeout_raises=True,
        )


def one_line(error: BaseException) -> str:
    """The first line of what went wrong."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


def warn(what: str) -> None:
    """One line; and what can be done about it."""
    later = "python -m ditto.runs sync-wandb uploads the run later"
    print(f"warning: {what}; the run goes on, {later}", file=sys.stderr, flush=True)
